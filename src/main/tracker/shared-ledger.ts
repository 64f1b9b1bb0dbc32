/**
 * The ledger of a tracker that shares its log with others (etcd): what is asked of it is done in rounds (shared-rounds.ts),
 * and what others wrote is looked for when the log gives a hint, and every second. The registry is never ahead of the
 * log, so that whatever was looked at or answered may be told at once.
 */
import { ProtocolViolation } from '../../protocol/errors.ts';
import type { DeviceId, RequestId, TrackerId } from '../../protocol/ids.ts';
import { type ChainedTransaction, readEntry, type Transaction } from '../../protocol/transaction.ts';
import type { Accepted } from './journal.ts';
import type { Done, Ledger, LedgerDuties, Order, Verification } from './ledger.ts';
import type { LogCopy } from './log-copy.ts';
import type { Registry } from './registry.ts';
import type { SharedLog } from './shared-log.ts';
import { Rounds, type RoundsOptions } from './shared-rounds.ts';
import type { SharedState } from './shared-state.ts';
import type { Vector } from './vectors.ts';
import { verifyLog } from './verify-log.ts';

/** Without other news, the log is looked at so often. */
const LOOK_MS = 1_000;
const REFRESH_MS = 15_000;

export interface SharedLedgerOptions extends RoundsOptions {
  readonly id: TrackerId;
  readonly copy: LogCopy;
}

export class SharedLedger implements Ledger {
  readonly replayedTotal = 0;
  readonly damage = [];
  /** All trackers have the same log: none is sent any of it. */
  readonly isShared = true;
  readonly #options: SharedLedgerOptions;
  readonly #log: SharedLog;
  readonly #state: SharedState;
  readonly #rounds: Rounds;
  readonly #stops: (() => void)[] = [];

  constructor(options: SharedLedgerOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#state = options.state;
    this.#rounds = new Rounds(options);
  }

  get id(): TrackerId {
    return this.#options.id;
  }

  get registry(): Registry {
    return this.#state.registry;
  }

  get entryCount(): number {
    return this.#state.head.position;
  }

  get writtenCount(): number {
    return this.#rounds.writtenCount;
  }

  /** Where the log is kept, and how that is. */
  get standing(): { readonly where: string; readonly members: number; readonly fault: string | undefined } {
    return { where: this.#log.where, members: this.#log.members, fault: this.#rounds.fault };
  }

  start(duties: LedgerDuties): void {
    const { clock } = this.#options;
    this.#rounds.duties = duties;
    this.#log.watch((position) => {
      if (position > this.#state.head.position) this.#look();
    });
    const refresh = () => void this.#log.refresh().catch(() => {});
    const lookAgain = () => {
      if (clock.monotonicMs() - this.#rounds.answeredMs >= LOOK_MS) this.#look();
    };
    this.#stops.push(clock.every(REFRESH_MS, refresh), clock.every(LOOK_MS, lookAgain));
    refresh();
  }

  current(): Promise<void> {
    return this.#rounds.current();
  }

  perform(order: Order): Promise<Done> {
    return this.#rounds.perform(order);
  }

  find(requestId: RequestId, device: DeviceId): Transaction | undefined {
    return this.#state.find(requestId, device);
  }

  has(origin: TrackerId, seq: number): boolean {
    return (this.#state.line.headOf(origin)?.seq ?? 0) >= seq;
  }

  settled(): undefined {}

  held(): Vector {
    return this.#state.line.vector();
  }

  tail(count: number): readonly ChainedTransaction[] {
    const from = Math.max(1, this.#state.head.position - count + 1);
    return [...this.#options.copy.entries(from)].map(({ signed }) => readEntry(signed).transaction);
  }

  /** What etcd has is what the copy has, and that holds. */
  async verify(digest: string): Promise<Verification> {
    const held = this.held();
    const { position } = this.#state.head;
    const { copy, keyOf } = this.#options;
    const fault = await this.#compare(position);
    if (fault !== undefined) return fault;
    return verifyLog({ held, digest, entries: copy.entries(), keyOf });
  }

  /** As others see it, no tracker lacks anything of the log. */
  missing(): [] {
    return [];
  }

  lastOf(): undefined {}

  compare(): void {}

  accept(): Promise<Accepted> {
    return Promise.reject(new ProtocolViolation('entries for a tracker that keeps its log in etcd'));
  }

  whenSafe(): void {}

  /** What is acknowledged is where it is to be: nobody needs to be waited for. */
  readonly reachable = false;

  /** On how many machines an entry is for sure: a majority has it. */
  holders(): number {
    return Math.floor(this.#log.members / 2) + 1;
  }

  async secondHolder(): Promise<void> {}

  /** Idempotent. */
  async close(): Promise<void> {
    for (const stop of this.#stops.splice(0)) stop();
    await this.#rounds.close();
    await this.#log.close();
    this.#options.copy.close();
  }

  #look(): void {
    if (!this.#rounds.isOver) void this.#rounds.current();
  }

  async #compare(end: number): Promise<Verification | undefined> {
    const copy = this.#options.copy.entries();
    for (let at = 0; at < end; ) {
      const { entries } = await this.#log.read(at);
      for (const { body, signature } of entries.slice(0, end - at)) {
        const ours = copy.next().value?.signed;
        at += 1;
        const isSame = ours && Buffer.compare(ours.body, body) === 0 && Buffer.compare(ours.signature, signature) === 0;
        if (!isSame) return { entries: at - 1, fault: `entry ${at} in etcd is not the one that was executed` };
      }
      if (entries.length === 0) return { entries: at, fault: `entry ${at + 1} is missing in etcd` };
    }
    return undefined;
  }
}
