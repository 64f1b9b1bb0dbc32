/**
 * Owns the logs of all trackers as this one holds them, and the registry that they add up to. Its own entries it writes
 * (signed, chained, stamped) and executes at once; those of others are verified and stored before they are executed.
 * The registry runs ahead of the disk by what `settled` waits for, so nothing that was read from it may leave the
 * tracker before, and `held` never names an entry that is not safe.
 *
 * At the start every log is verified. One with a damaged entry ends before it, until the entry comes again from another
 * tracker; then what follows it on the disk counts again. Nothing from a damaged entry on is executed or passed on.
 */
import { ProtocolViolation, RequestError } from '../../protocol/errors.ts';
import type { DeviceId, RequestId, TrackerId } from '../../protocol/ids.ts';
import { CLOCK_AHEAD_MS_MAX } from '../../protocol/limits.ts';
import { type PublicKey, type Signed, statementHolds } from '../../protocol/signed.ts';
import {
  type ChainedTransaction,
  GENESIS_HASH,
  type Hlc,
  type LogEntry,
  type Operation,
  openEntry,
  readEntry,
  signatureFault,
  type Transaction,
} from '../../protocol/transaction.ts';
import type { Identity } from '../net/identity.ts';
import type { Clock } from '../support/clock.ts';
import { entryFault, type Head, headOf, vouched } from './chain.ts';
import { type Executed, History, type Insertion } from './history.ts';
import { compareHlc, comparePlaces, nextHlc } from './hlc.ts';
import type { Done, Ledger, Order, Verification } from './ledger.ts';
import { type Damage, LogReader } from './log-reader.ts';
import type { LogStore } from './log-store.ts';
import type { Registry } from './registry.ts';
import type { StoredEntry } from './stored-entry.ts';
import type { Vector } from './vectors.ts';
import { verifyLog } from './verify-log.ts';

export interface JournalOptions {
  /** The key of another tracker whose log is to be believed. */
  readonly keyOf?: (origin: TrackerId) => PublicKey | undefined;
  /** Start although an entry is damaged: others may have it. */
  readonly repairable?: boolean;
}

/** What became of entries that another tracker sent. */
export interface Accepted extends Insertion {
  /** An entry from further in the future than CLOCK_AHEAD_MS_MAX: it and what follows it in its log was not taken. */
  readonly ahead: Transaction | undefined;
  /** An entry does not follow what is here: something between is missing, and it was not taken. */
  readonly gap: boolean;
}

/** Own entries that are committed together. */
interface Writing {
  readonly safe: Promise<void>;
  readonly requests: RequestId[];
  lastSeq: number;
}

export class Journal implements Ledger {
  readonly isShared = false;
  readonly #store: LogStore;
  readonly #identity: Identity;
  readonly #clock: Clock;
  readonly #keyOf: (origin: TrackerId) => PublicKey | undefined;
  readonly #repairable: boolean;
  readonly #history = new History();
  /** The last entry of each log that was taken, safe or not. */
  readonly #heads = new Map<TrackerId, Head>();
  readonly #executed = new Map<TrackerId, number>();
  /** The last of our own entries that is safe. */
  #safeSeq = 0;
  #writtenCount = 0;
  #writing: Writing | undefined;
  #whenSafe: () => void = () => {};
  /** What was written for a request and is not safe yet, where the store does not find it. */
  readonly #unsafe = new Map<RequestId, Transaction>();
  #latest: Hlc | undefined;
  #unsettled: Promise<void> | undefined;
  readonly #damaged = new Map<TrackerId, Damage>();
  /** What stands on the disk after a damaged entry. */
  readonly #salvage = new Map<TrackerId, readonly StoredEntry[]>();

  private constructor(store: LogStore, identity: Identity, clock: Clock, options: JournalOptions) {
    this.#store = store;
    this.#identity = identity;
    this.#clock = clock;
    this.#repairable = options.repairable ?? false;
    this.#keyOf = (origin) => (origin === identity.id ? identity.publicKey : options.keyOf?.(origin));
  }

  /** Throws RequestError('log-damaged'), saying which entry, unless damage may be repaired. */
  static async open(store: LogStore, identity: Identity, clock: Clock, options: JournalOptions = {}): Promise<Journal> {
    const journal = new Journal(store, identity, clock, options);
    const transactions: Transaction[] = [];
    const reader = new LogReader(journal.#keyOf, (entry) => transactions.push(journal.#take(entry)));
    for (const stored of store.entries()) reader.read(stored);
    reader.end();
    for (const { damage, rest } of reader.damaged) {
      journal.#damaged.set(damage.origin, damage);
      journal.#salvage.set(damage.origin, rest);
    }
    if (journal.#damaged.size > 0 && !journal.#repairable) throw journal.#damageError();
    transactions.sort(comparePlaces);
    for (let at = 0; at < transactions.length; at += EXECUTE_AT_ONCE) {
      journal.#execute(transactions.slice(at, at + EXECUTE_AT_ONCE));
    }
    journal.#safeSeq = journal.#seqOf(identity.id);
    return journal;
  }

  get registry(): Registry {
    return this.#history.registry;
  }

  get id(): TrackerId {
    return this.#identity.id;
  }

  /** Entries of all trackers that are executed. */
  get entryCount(): number {
    let count = 0;
    for (const seq of this.#executed.values()) count += seq;
    return count;
  }

  /** The last so many executed transactions, of all trackers, in the order of execution. */
  tail(count: number): readonly ChainedTransaction[] {
    const last: StoredEntry[] = [];
    for (const stored of this.#store.entries()) {
      last.push(stored);
      if (last.length > 2 * count) last.splice(0, last.length - count);
    }
    const executed = last
      .slice(Math.max(0, last.length - count))
      .filter(({ origin, seq }) => this.has(origin as TrackerId, seq));
    return executed.map(({ signed }) => readEntry(signed).transaction);
  }

  /** Checks the disk against what is held now, whose registry has this digest. */
  verify(digest: string): Promise<Verification> {
    return verifyLog({ held: this.held(), digest, entries: this.#store.entries(), keyOf: this.#keyOf });
  }

  /** Own transactions written since the start. */
  get writtenCount(): number {
    return this.#writtenCount;
  }

  /** Whether an entry was executed here. */
  has(origin: TrackerId, seq: number): boolean {
    return (this.#executed.get(origin) ?? 0) >= seq;
  }

  get replayedTotal(): number {
    return this.#history.replayedTotal;
  }

  /** Logs with a damaged entry that no other tracker has given back. */
  get damage(): readonly Damage[] {
    return [...this.#damaged.values()];
  }

  #damageError(): RequestError {
    const [damage] = this.#damaged.values();
    return new RequestError(
      'log-damaged',
      `the log is damaged at entry ${damage?.seq}: ${damage?.why}`,
      this.#repairable
        ? 'start it while another tracker that has the entry is reachable, or restore the data directory from a copy'
        : 'restore the data directory from a copy; the tracker does not run on a log that it can not trust',
    );
  }

  /** What is safe here and executed. */
  held(): Vector {
    const held = new Map(this.#executed);
    if (this.#safeSeq > 0) held.set(this.id, this.#safeSeq);
    else held.delete(this.id);
    return Object.fromEntries(held);
  }

  start(): void {
    if (this.#damaged.has(this.id)) throw this.#damageError();
  }

  /** The registry is never behind what this tracker knows. */
  current(): undefined {}

  perform({ judge, requestId }: Order): Done {
    const draft = judge();
    return 'answer' in draft ? draft : this.write(draft.op, draft.actor, requestId);
  }

  /** Calls back each time that own entries have become safe: they may be passed on. */
  whenSafe(task: () => void): void {
    this.#whenSafe = task;
  }

  /** Writes and executes. What it did may be told when `settled` says so. */
  write(op: Operation, actor: Transaction['actor'], requestId: RequestId): Executed {
    const { id, privateKey } = this.#identity;
    const head = this.#heads.get(id);
    const entry = openEntry({
      origin: id,
      epoch: this.#store.epoch,
      seq: (head?.seq ?? 0) + 1,
      hlc: nextHlc(this.#latest, this.#clock.nowMs()),
      versionVector: Object.fromEntries([...this.#executed].filter(([origin]) => origin !== id)),
      requestId,
      actor,
      op,
    });
    const { transaction } = entry;
    // Only the store knows the hashes of what it seals.
    const prevHash = this.#writtenCount > 0 ? undefined : (head?.hash ?? GENESIS_HASH);
    this.#writtenCount += 1;
    this.#heads.set(id, { seq: transaction.seq, hlc: transaction.hlc, hash: SEALED_ELSEWHERE });
    this.#expect(transaction, this.#store.write(entry, { privateKey, prevHash }));
    const [executed] = this.#execute([transaction]).executed;
    return executed ?? { transaction, outcome: undefined };
  }

  /**
   * Takes entries of any tracker, our own included, in the order of their seq for each: verified, stored, then executed.
   * Known ones are skipped. Rejects with ProtocolViolation when one is not genuine, with RequestError('log-damaged') when
   * one is, of ours, and does not follow what is here, with the store's error when it can't be stored.
   */
  async accept(entries: readonly LogEntry[]): Promise<Accepted> {
    let ahead: Transaction | undefined;
    let gap = false;
    let violation: ProtocolViolation | RequestError | undefined;
    const taken: Transaction[] = [];
    let stored: Promise<void> = Promise.resolve();
    const genuine = vouched(entries, this.#keyOf);
    for (const entry of entries) {
      const { origin, seq, hlc } = entry.transaction;
      const head = this.#heads.get(origin);
      if (seq <= (head?.seq ?? 0)) continue;
      if (seq > (head?.seq ?? 0) + 1) {
        gap = true;
        continue;
      }
      violation =
        origin === this.id && this.#writtenCount > 0
          ? new ProtocolViolation(`log of ${origin}: entry ${seq} was not written here`)
          : entryFault(entry, head, this.#keyOf(origin), genuine.has(entry));
      if (violation && origin === this.id && !signatureFault(entry, this.#identity.publicKey))
        violation = twoPasts(seq);
      if (violation) break;
      if (origin !== this.id && hlc.ms > this.#clock.nowMs() + CLOCK_AHEAD_MS_MAX) {
        ahead ??= entry.transaction;
        continue;
      }
      taken.push(this.#take(entry));
      stored = this.#store.append(entry);
      stored.catch(() => {});
      taken.push(...this.#salvaged(origin, entry));
    }
    await stored;
    for (const { origin, seq } of taken) if (origin === this.id) this.#safeSeq = Math.max(this.#safeSeq, seq);
    const insertion = this.#execute(taken);
    if (violation) throw violation;
    return { ...insertion, ahead, gap };
  }

  /** Undefined when everything written so far is safe; else a promise for it, which rejects if it can't be had. */
  settled(): Promise<void> | undefined {
    return this.#unsettled;
  }

  /** The executed transaction of a request: that of the device, if several chose the same id. */
  find(requestId: RequestId, device: DeviceId): Transaction | undefined {
    const unsafe = this.#unsafe.get(requestId);
    if (unsafe) return unsafe;
    const places = this.registry.placesOf(requestId);
    const place = places.find((other) => other.device === device) ?? places[0];
    const stored = place && this.#store.after(place.origin, place.seq - 1, 1)[0];
    return stored && readEntry(stored.signed).transaction;
  }

  /** Entries that somebody with this vector lacks, in the order of execution, at most so many. */
  missing(vector: Vector, limit: number): readonly StoredEntry[] {
    const lacking = Object.entries(this.held()).flatMap(([origin, heldSeq = 0]) => {
      const from = vector[origin as TrackerId] ?? 0;
      return from >= heldSeq ? [] : this.#store.after(origin as TrackerId, from, Math.min(limit, heldSeq - from));
    });
    return lacking.sort((a, b) => compareHlc(a.hlc, b.hlc) || (a.origin < b.origin ? -1 : 1)).slice(0, limit);
  }

  /** The last safe entry of a tracker's log. */
  lastOf(origin: TrackerId): Signed | undefined {
    return this.#entryAt(origin, this.held()[origin] ?? 0);
  }

  /**
   * Another tracker shows the last entry that it holds of our log. Throws RequestError('log-damaged') when this tracker
   * signed it, and another one that stands in its place here.
   */
  compare(signed: Signed): void {
    const { origin, seq } = readEntry(signed).transaction;
    const here = origin === this.id && seq <= this.#safeSeq ? this.#entryAt(origin, seq) : undefined;
    if (!here || Buffer.compare(here.body, signed.body) === 0) return;
    const { publicKey } = this.#identity;
    if ([here, signed].every((one) => statementHolds('p2pfs/1 transaction', one, publicKey))) throw twoPasts(seq);
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  #entryAt(origin: TrackerId, seq: number): Signed | undefined {
    return seq > 0 ? this.#store.after(origin, seq - 1, 1)[0]?.signed : undefined;
  }

  #seqOf(origin: TrackerId): number {
    return this.#heads.get(origin)?.seq ?? 0;
  }

  /** The entry of a transaction is on its way to the disk. A failure stays: whoever waits for it waits in vain. */
  #expect(transaction: Transaction, safe: Promise<void>): void {
    const { seq, requestId } = transaction;
    this.#unsafe.set(requestId, transaction);
    if (this.#writing?.safe !== safe) {
      const writing: Writing = { safe, requests: [], lastSeq: seq };
      this.#writing = writing;
      this.#unsettled = safe;
      safe.then(
        () => this.#settle(writing),
        () => {},
      );
    }
    this.#writing.requests.push(requestId);
    this.#writing.lastSeq = seq;
  }

  #settle({ safe, requests, lastSeq }: Writing): void {
    for (const request of requests) this.#unsafe.delete(request);
    this.#safeSeq = Math.max(this.#safeSeq, lastSeq);
    if (this.#unsettled === safe) this.#unsettled = undefined;
    this.#whenSafe();
  }

  /** The entry is the last of its log from now on. */
  #take(entry: LogEntry): Transaction {
    this.#heads.set(entry.transaction.origin, headOf(entry));
    return entry.transaction;
  }

  #execute(transactions: readonly Transaction[]): Insertion {
    for (const { origin, seq, hlc } of transactions) {
      this.#executed.set(origin, Math.max(seq, this.#executed.get(origin) ?? 0));
      if (!this.#latest || compareHlc(hlc, this.#latest) > 0) this.#latest = hlc;
    }
    return this.#history.insert(transactions, () => this.#executedOnDisk());
  }

  *#executedOnDisk(): Generator<Transaction, void, undefined> {
    for (const { signed, origin, seq } of this.#store.entries()) {
      if (seq <= (this.#executed.get(origin as TrackerId) ?? 0)) yield readEntry(signed).transaction;
    }
  }

  /** What follows a repaired entry on the disk, as far as it holds. */
  #salvaged(origin: TrackerId, repaired: LogEntry): readonly Transaction[] {
    const rest = this.#salvage.get(origin);
    if (!rest) return [];
    const transactions: Transaction[] = [];
    const reader = new LogReader(this.#keyOf, (entry) => transactions.push(this.#take(entry)), headOf(repaired));
    for (const stored of rest.toSorted((a, b) => a.seq - b.seq)) {
      if (stored.seq > repaired.transaction.seq) reader.read(stored);
    }
    reader.end();
    this.#salvage.delete(origin);
    this.#damaged.delete(origin);
    for (const { damage, rest: remaining } of reader.damaged) {
      this.#damaged.set(origin, damage);
      this.#salvage.set(origin, remaining);
    }
    return transactions;
  }
}

const twoPasts = (seq: number) =>
  new RequestError(
    'log-damaged',
    `another tracker holds another entry ${seq} of this tracker's log than this tracker does`,
    'this data directory was restored from an old copy and written to while no other tracker was reachable. To go on with ' +
      'what the others hold, move its log.sqlite away and start again; what was written meanwhile is in that file alone',
  );

const EXECUTE_AT_ONCE = 1000;
const SEALED_ELSEWHERE = new Uint8Array();
