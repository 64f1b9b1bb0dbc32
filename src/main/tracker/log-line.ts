/**
 * PURE. A log of several trackers as one line of entries in the order of execution, as etcd and exported files have it:
 * checks what comes next, all of it before any of it counts. Each entry is chained to the one before it of its tracker,
 * signed with that tracker's key, and stands after everything before it.
 */
import { ProtocolViolation, RequestError } from '../../protocol/errors.ts';
import { type TrackerId, toHex } from '../../protocol/ids.ts';
import type { PublicKey, Signed } from '../../protocol/signed.ts';
import { type LogEntry, readEntry } from '../../protocol/transaction.ts';
import { entryFault, type Head, headOf, vouched } from './chain.ts';
import { comparePlaces, type Place } from './hlc.ts';
import { EMPTY_HEAD, type SharedHead } from './shared-log.ts';
import type { Vector } from './vectors.ts';

/** An entry of a tracker whose key is not known. */
export class UnknownTracker extends ProtocolViolation {
  readonly tracker: TrackerId;
  readonly position: number;

  constructor(tracker: TrackerId, position: number) {
    super(`entry ${position} was written by tracker ${tracker}, whose key is not known`);
    this.tracker = tracker;
    this.position = position;
  }

  /** For people, once it is clear that nobody knows the key. */
  refusal(): RequestError {
    return new RequestError(
      'pin-mismatch',
      `entry ${this.position} of the log was written by tracker ${this.tracker}, which no line of tracker_info.txt stands for`,
      'add the line of that tracker, with this pin, and start again; one that is gone keeps its line',
    );
  }
}

export class LogLine {
  readonly #keyOf: (origin: TrackerId) => PublicKey | undefined;
  readonly #heads = new Map<TrackerId, Head>();
  #last: Place | undefined;
  #head = EMPTY_HEAD;

  constructor(keyOf: (origin: TrackerId) => PublicKey | undefined) {
    this.#keyOf = keyOf;
  }

  get head(): SharedHead {
    return this.#head;
  }

  /** The last entry of all. */
  get last(): Place | undefined {
    return this.#last;
  }

  headOf(origin: TrackerId): Head | undefined {
    return this.#heads.get(origin);
  }

  /** The highest seq of each tracker. */
  vector(): Vector {
    return Object.fromEntries([...this.#heads].map(([origin, { seq }]) => [origin, seq]));
  }

  /** What the entries are, if they may follow. Throws ProtocolViolation, or UnknownTracker. Changes nothing. */
  check(signed: readonly Signed[]): readonly LogEntry[] {
    const entries = signed.map(readEntry);
    const genuine = vouched(entries, this.#keyOf);
    const heads = new Map(this.#heads);
    let before = this.#last;
    for (const [index, entry] of entries.entries()) {
      const { origin } = entry.transaction;
      const position = this.#head.position + index + 1;
      if (!this.#keyOf(origin)) throw new UnknownTracker(origin, position);
      const fault =
        entryFault(entry, heads.get(origin), this.#keyOf(origin), genuine.has(entry)) ??
        (before && comparePlaces(before, entry.transaction) >= 0 ? new ProtocolViolation('out of order') : undefined);
      if (fault) throw new ProtocolViolation(`entry ${position}: ${fault.message}`);
      heads.set(origin, headOf(entry));
      before = entry.transaction;
    }
    return entries;
  }

  /** A checked entry stands at the end now. */
  add(entry: LogEntry): void {
    this.#heads.set(entry.transaction.origin, headOf(entry));
    this.#last = entry.transaction;
    this.#head = { position: this.#head.position + 1, hash: toHex(entry.hash) };
  }
}
