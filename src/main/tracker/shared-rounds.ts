/**
 * Work on a shared log, in rounds, one after the other: each takes all who wait, judges what they ask for at the head of
 * the log, and has it appended if the head is still the same; where another tracker was faster, what that wrote is
 * executed first and everything judged again. Who only looks waits for a round, too, so that the registry has all that
 * was acknowledged anywhere before; one round serves all of them.
 *
 * A round that nobody answers is repeated, the very same transaction: as it compares the head, it is done once at most.
 * Callers are told after WAIT_MS_MAX that the log can't be reached; the round goes on until it can.
 */
import { setImmediate } from 'node:timers/promises';
import { ProtocolViolation, RequestError } from '../../protocol/errors.ts';
import type { TrackerId } from '../../protocol/ids.ts';
import type { PublicKey } from '../../protocol/signed.ts';
import type { LogEntry } from '../../protocol/transaction.ts';
import type { Clock } from '../support/clock.ts';
import type { Executed } from './history.ts';
import type { Done, LedgerDuties, Order } from './ledger.ts';
import { UnknownTracker } from './log-line.ts';
import { type Appended, LogUnreachable, type SharedLog, type SharedTail, sameHead } from './shared-log.ts';
import type { SharedState } from './shared-state.ts';
import { closing, overWith, type Reader, unreachable, type Waiting, type Writer } from './shared-waiting.ts';

/** How long a caller waits for the log; an election of etcd takes less, and clients give up after five seconds. */
const WAIT_MS_MAX = 4_000;
const SWEEP_MS = 200;
const RETRY_MS = 100;
/** Entries of one transaction: etcd takes 128 operations, and the head is one. */
const ENTRIES_A_ROUND = 120;

export interface RoundsOptions {
  readonly log: SharedLog;
  readonly state: SharedState;
  readonly clock: Clock;
  readonly keyOf: (origin: TrackerId) => PublicKey | undefined;
  /** Learns the keys of the trackers that write to the log. */
  learnKeys(): Promise<void>;
}

export class Rounds {
  readonly #options: RoundsOptions;
  readonly #log: SharedLog;
  readonly #state: SharedState;
  readonly #clock: Clock;
  readonly #stopSweep: () => void;
  /** Told what nobody here asked for. */
  duties: LedgerDuties | undefined;
  /** Those who wait for the next round. */
  #reader: Reader | undefined;
  #writers: Writer[] = [];
  /** Those whom the round under way serves. */
  #served: Waiting[] = [];
  #working: Promise<void> | undefined;
  #writtenCount = 0;
  #fault: string | undefined;
  #failure: unknown;
  #isClosed = false;
  #wake: () => void = () => {};
  #answeredMs = 0;

  constructor(options: RoundsOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#state = options.state;
    this.#clock = options.clock;
    this.#stopSweep = options.clock.every(SWEEP_MS, () => this.#sweep());
  }

  /** Own entries that were appended. */
  get writtenCount(): number {
    return this.#writtenCount;
  }

  /** Why the log could not be reached last time; undefined when it could. */
  get fault(): string | undefined {
    return this.#fault;
  }

  /** When the log answered last. */
  get answeredMs(): number {
    return this.#answeredMs;
  }

  get isOver(): boolean {
    return this.#ended !== undefined;
  }

  /** Resolves when the registry has all that was acknowledged before this was asked. */
  current(): Promise<void> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    if (!this.#reader) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      promise.catch(() => {});
      const sinceMs = this.#clock.monotonicMs();
      this.#reader = { promise, resolve, reject, sinceMs, isOver: false, wasSent: undefined };
      this.#kick();
    }
    return this.#reader.promise;
  }

  perform(order: Order): Promise<Done> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const { promise, resolve, reject } = Promise.withResolvers<Done>();
    const sinceMs = this.#clock.monotonicMs();
    this.#writers.push({ order, resolve, reject, sinceMs, isOver: false, wasSent: false });
    this.#kick();
    return promise;
  }

  /** Whoever waits is told that the tracker is closing. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#stopSweep();
    this.#wake();
    await this.#working;
    this.#rejectAll(closing());
  }

  get #ended(): unknown {
    return this.#failure ?? (this.#isClosed ? closing() : undefined);
  }

  #kick(): void {
    this.#working ??= this.#work().catch((error) => this.#fail(error));
  }

  async #work(): Promise<void> {
    while (!this.#isClosed && (this.#reader || this.#writers.length > 0)) {
      // Those who come in the same turn are served together.
      await setImmediate();
      await this.#round();
    }
    this.#working = undefined;
  }

  async #round(): Promise<void> {
    const reader = this.#reader;
    const writers = this.#nextWriters();
    this.#reader = undefined;
    this.#served = [...writers, ...(reader ? [reader] : [])];
    while (!this.#isClosed) {
      const asked = writers.filter(({ isOver }) => !isOver);
      const judged = this.#state.judge(asked.map(({ order }) => order));
      // Those for whom there was no room are first next time.
      this.#writers.unshift(...asked.slice(judged.length));
      writers.splice(0, writers.length, ...asked.slice(0, judged.length));
      const entries = judged.flatMap((one) => ('entry' in one ? [one.entry] : []));
      for (const [at, writer] of writers.entries()) writer.wasSent = 'entry' in (judged[at] ?? {});
      const result = await this.#submit(entries);
      if (!result) return;
      if (result.type === 'moved') {
        this.#tell(await this.#catchUp(result.tail), writers);
        continue;
      }
      if (result.type === 'refused') {
        for (const [at, writer] of writers.entries()) if ('entry' in (judged[at] ?? {})) overWith(writer, result.error);
        continue;
      }
      this.#writtenCount += entries.length;
      this.#tell(this.#state.add(entries), writers);
      // The head was where all were judged.
      for (const [at, writer] of writers.entries()) {
        const one = judged[at];
        if (!one || writer.isOver) continue;
        if ('refusal' in one) overWith(writer, one.refusal);
        else if ('done' in one) {
          writer.isOver = true;
          writer.resolve(one.done);
        }
      }
      if (reader && !reader.isOver) reader.resolve();
      break;
    }
    this.#served = [];
  }

  /** At most one of each request: a second one is to find what the first one did. */
  #nextWriters(): Writer[] {
    const next = new Map<string, Writer>();
    const later: Writer[] = [];
    for (const writer of this.#writers) {
      const { requestId } = writer.order;
      if (next.size < ENTRIES_A_ROUND && !next.has(requestId)) next.set(requestId, writer);
      else later.push(writer);
    }
    this.#writers = later;
    return [...next.values()];
  }

  /** Until it is known what became of it. Undefined: the ledger is closing. */
  async #submit(entries: readonly LogEntry[]): Promise<Appended | undefined> {
    const { head } = this.#state;
    return this.#insist(async () => {
      if (entries.length > 0) return this.#log.append(head, entries);
      const tail = await this.#log.read(head.position);
      return sameHead(tail.head, head) ? { type: 'appended' } : { type: 'moved', tail };
    });
  }

  async #catchUp(first: SharedTail): Promise<readonly Executed[]> {
    const executed: Executed[] = [];
    for (let tail: SharedTail | undefined = first; tail; ) {
      executed.push(...(await this.#take(tail)));
      const { position } = this.#state.head;
      if (position >= tail.head.position) break;
      tail = await this.#insist(() => this.#log.read(position));
    }
    return executed;
  }

  async #take(tail: SharedTail): Promise<readonly Executed[]> {
    try {
      return this.#state.take(tail);
    } catch (error) {
      if (!(error instanceof UnknownTracker)) throw error;
      await this.#insist(() => this.#options.learnKeys());
      if (!this.#options.keyOf(error.tracker)) throw error.refusal();
      return this.#take(tail);
    }
  }

  async #insist<T>(ask: () => Promise<T>): Promise<T | undefined> {
    while (!this.#isClosed) {
      try {
        const answer = await ask();
        this.#fault = undefined;
        this.#answeredMs = this.#clock.monotonicMs();
        return answer;
      } catch (error) {
        if (error instanceof ProtocolViolation) throw new RequestError('log-damaged', `the log: ${error.message}`);
        if (!(error instanceof LogUnreachable)) throw error;
        this.#fault = error.message;
      }
      await this.#pause();
    }
    return undefined;
  }

  /** Who asked for what was executed is told; what nobody here waits for is news to the service. */
  #tell(executed: readonly Executed[], writers: readonly Writer[]): void {
    const waiting = new Map(writers.map((writer) => [writer.order.requestId, writer]));
    const news = executed.filter((one) => {
      const { requestId, actor } = one.transaction;
      const writer = waiting.get(requestId);
      if (!writer || writer.isOver || writer.order.device !== actor.device) return true;
      writer.isOver = true;
      writer.resolve(one);
      return false;
    });
    if (news.length > 0) this.duties?.executed({ executed: news, voided: [], replayed: 0 });
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const stop = this.#clock.after(RETRY_MS, resolve);
      this.#wake = () => {
        stop();
        resolve();
      };
    });
  }

  /** Whoever has waited too long is told so. */
  #sweep(): void {
    const lateMs = this.#clock.monotonicMs() - WAIT_MS_MAX;
    const all = [...this.#served, ...this.#writers, ...(this.#reader ? [this.#reader] : [])];
    for (const waiting of all) {
      if (waiting.isOver || waiting.sinceMs > lateMs) continue;
      overWith(waiting, unreachable(waiting.wasSent, this.#fault));
    }
    this.#writers = this.#writers.filter(({ isOver }) => !isOver);
    if (this.#reader?.isOver) this.#reader = undefined;
  }

  #rejectAll(error: unknown): void {
    for (const waiting of [...this.#served, ...this.#writers, ...(this.#reader ? [this.#reader] : [])]) {
      overWith(waiting, error);
    }
    this.#served = [];
    this.#writers = [];
    this.#reader = undefined;
  }

  #fail(error: unknown): void {
    this.#working = undefined;
    this.#failure = error;
    this.#rejectAll(error);
    this.duties?.failed(error);
  }
}
