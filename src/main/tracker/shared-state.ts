/**
 * What a shared log adds up to, as far as this tracker has read it: the registry is what stands in the log up to `head`,
 * never ahead of it. Owns the registry and the copy on this disk. Entries to append are drafted here, one on top of the
 * other, and taken back at once: whether they come to stand where they were judged is for the log to say.
 */
import { ProtocolViolation, RequestError } from '../../protocol/errors.ts';
import type { DeviceId, RequestId, TrackerId } from '../../protocol/ids.ts';
import { ENTRIES_AT_ONCE_MAX, ENTRIES_BODY_BYTES_MAX } from '../../protocol/limits.ts';
import type { PublicKey } from '../../protocol/signed.ts';
import { GENESIS_HASH, type LogEntry, readEntry, type Transaction, writeEntry } from '../../protocol/transaction.ts';
import type { Identity } from '../net/identity.ts';
import type { Clock } from '../support/clock.ts';
import { headOf } from './chain.ts';
import type { Executed } from './history.ts';
import { nextHlc } from './hlc.ts';
import type { Done, Draft, Order } from './ledger.ts';
import type { LogCopy } from './log-copy.ts';
import { LogLine, UnknownTracker } from './log-line.ts';
import { Registry } from './registry.ts';
import { type SharedHead, type SharedTail, sameHead } from './shared-log.ts';
import { Undo } from './undo.ts';

/** What an order comes to. */
export type Judged = { readonly done: Done } | { readonly refusal: RequestError } | { readonly entry: LogEntry };

export class SharedState {
  readonly #identity: Identity;
  readonly #clock: Clock;
  readonly #copy: LogCopy;
  readonly #keyOf: (origin: TrackerId) => PublicKey | undefined;
  #registry = new Registry();
  #line: LogLine;

  constructor(identity: Identity, clock: Clock, copy: LogCopy, keyOf: (origin: TrackerId) => PublicKey | undefined) {
    this.#identity = identity;
    this.#clock = clock;
    this.#copy = copy;
    this.#keyOf = keyOf;
    this.#line = new LogLine(keyOf);
  }

  get registry(): Registry {
    return this.#registry;
  }

  get head(): SharedHead {
    return this.#line.head;
  }

  get line(): Pick<LogLine, 'vector' | 'headOf' | 'last'> {
    return this.#line;
  }

  /** Executes what the copy has. A copy that does not hold is thrown away; why, is returned. */
  load(): string | undefined {
    try {
      let page: LogEntry['signed'][] = [];
      const execute = () => {
        for (const entry of this.#line.check(page)) this.#execute(entry);
        page = [];
      };
      for (const { signed } of this.#copy.entries()) {
        page.push(signed);
        if (page.length === ENTRIES_AT_ONCE_MAX) execute();
      }
      execute();
      return undefined;
    } catch (error) {
      if (!(error instanceof ProtocolViolation)) throw error;
      this.clear();
      return error.message;
    }
  }

  /** Nothing of the log was read yet. */
  clear(): void {
    this.#copy.clear();
    this.#registry = new Registry();
    this.#line = new LogLine(this.#keyOf);
  }

  /**
   * Takes what follows in the log. Throws RequestError('log-damaged') when it is not what may follow, UnknownTracker when a
   * key is missing; the latter has changed nothing.
   */
  take({ head, entries: signed }: SharedTail): readonly Executed[] {
    const before = this.head;
    if (head.position < before.position || (head.position === before.position && !sameHead(head, before))) {
      throw new RequestError(
        'log-damaged',
        `the log ends at entry ${head.position}, and this tracker has seen other entries, up to ${before.position}`,
        'was etcd restored from an older copy, or is it another network? docs/REPLICATION.md says what to do',
      );
    }
    if (signed.length === 0 && head.position > before.position) {
      throw new RequestError('log-damaged', `entry ${before.position + 1} of the log is missing`);
    }
    const entries = this.#checked(signed);
    const executed = this.add(entries);
    if (this.head.position > head.position || (this.head.position === head.position && !sameHead(this.head, head))) {
      throw new RequestError(
        'log-damaged',
        `entry ${this.head.position} of the log is not the one that its head names`,
      );
    }
    return executed;
  }

  /** Checked entries, or our own, stand at the end of the log. */
  add(entries: readonly LogEntry[]): readonly Executed[] {
    if (entries.length === 0) return [];
    this.#copy.append(this.head.position + 1, entries);
    return entries.map((entry) => ({ transaction: entry.transaction, outcome: this.#execute(entry) }));
  }

  find(requestId: RequestId, device: DeviceId): Transaction | undefined {
    const places = this.#registry.placesOf(requestId);
    const place = places.find((other) => other.device === device) ?? places[0];
    // One that is only drafted is not there.
    const stored = place && this.#copy.at(place.origin, place.seq);
    return stored && readEntry(stored.signed).transaction;
  }

  /** What these come to at the end of the log, one after the other; those that a transaction has no room for are left out. */
  judge(orders: readonly Order[]): readonly Judged[] {
    const { id } = this.#identity;
    const undo = new Undo();
    const judged: Judged[] = [];
    const vector = Object.fromEntries(Object.entries(this.#line.vector()).filter(([origin]) => origin !== id));
    let end = this.#line.headOf(id);
    let latest = this.#line.last?.hlc;
    let sizeBytes = 0;
    for (const order of orders) {
      if (sizeBytes > ENTRIES_BODY_BYTES_MAX) break;
      const draft = this.#draft(order);
      if (!('op' in draft)) {
        judged.push(draft);
        continue;
      }
      const hlc = nextHlc(latest, this.#clock.nowMs());
      const entry = writeEntry(
        {
          origin: id,
          epoch: this.#copy.epoch,
          seq: (end?.seq ?? 0) + 1,
          prevHash: end?.hash ?? GENESIS_HASH,
          hlc,
          versionVector: vector,
          requestId: order.requestId,
          actor: draft.actor,
          op: draft.op,
        },
        this.#identity.privateKey,
      );
      this.#registry.execute(entry.transaction, undo);
      end = headOf(entry);
      latest = hlc;
      sizeBytes += entry.signed.body.length;
      judged.push({ entry });
    }
    undo.run();
    return judged;
  }

  #draft(order: Order): Exclude<Judged, { entry: LogEntry }> | Exclude<Draft, { answer: unknown }> {
    const earlier = this.find(order.requestId, order.device);
    if (earlier) return { done: { transaction: earlier, outcome: undefined } };
    try {
      const draft = order.judge();
      return 'answer' in draft ? { done: draft } : draft;
    } catch (error) {
      if (error instanceof RequestError) return { refusal: error };
      throw error;
    }
  }

  #checked(signed: readonly LogEntry['signed'][]): readonly LogEntry[] {
    try {
      return this.#line.check(signed);
    } catch (error) {
      if (!(error instanceof ProtocolViolation) || error instanceof UnknownTracker) throw error;
      throw new RequestError('log-damaged', `the log does not hold: ${error.message}`);
    }
  }

  #execute(entry: LogEntry): Executed['outcome'] {
    this.#line.add(entry);
    return this.#registry.execute(entry.transaction);
  }
}
