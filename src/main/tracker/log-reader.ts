/**
 * PURE. Verifies logs as they are read from a disk, in whatever way those of several trackers are mixed. Signatures are
 * checked for the last of VERIFIED_AT_ONCE entries, which vouches for those before it, and one by one only where that
 * one does not hold. A log with a damaged entry ends before it; what follows is kept, for when the entry is mended.
 */
import type { TrackerId } from '../../protocol/ids.ts';
import type { PublicKey } from '../../protocol/signed.ts';
import { type LogEntry, signatureFault } from '../../protocol/transaction.ts';
import { type Head, headOf, storedEntryOf } from './chain.ts';
import type { StoredEntry } from './stored-entry.ts';

const VERIFIED_AT_ONCE = 256;

export interface Damage {
  readonly origin: TrackerId;
  readonly seq: number;
  readonly why: string;
}

interface Log {
  readonly origin: TrackerId;
  /** The last entry that holds. */
  head: Head | undefined;
  /** Chained to it, and not vouched for yet. */
  pending: { readonly stored: StoredEntry; readonly entry: LogEntry }[];
  damage: Damage | undefined;
  /** From the damaged entry on. */
  readonly rest: StoredEntry[];
}

export class LogReader {
  readonly #keyOf: (origin: TrackerId) => PublicKey | undefined;
  readonly #holds: (entry: LogEntry) => void;
  readonly #head: Head | undefined;
  readonly #logs = new Map<TrackerId, Log>();

  /** `holds` is given each entry that was verified, in the order of its log; logs begin after `head`, if there is one. */
  constructor(
    keyOf: (origin: TrackerId) => PublicKey | undefined,
    holds: (entry: LogEntry) => void,
    head: Head | undefined = undefined,
  ) {
    this.#head = head;
    this.#keyOf = keyOf;
    this.#holds = holds;
  }

  /** Logs that end before a damaged entry, with what follows. */
  get damaged(): readonly { readonly damage: Damage; readonly rest: readonly StoredEntry[] }[] {
    return [...this.#logs.values()].flatMap(({ damage, rest }) => (damage ? [{ damage, rest }] : []));
  }

  /** Takes the next entry of its log. */
  read(stored: StoredEntry): void {
    const log = this.#log(stored.origin as TrackerId);
    if (log.damage) {
      log.rest.push(stored);
      return;
    }
    const before = log.pending.at(-1);
    const checked = storedEntryOf(stored, before ? headOf(before.entry) : log.head, this.#keyOf(log.origin));
    if ('why' in checked) {
      // The one before may be the damaged one: what it hashes to is not what was signed then.
      this.#settle(log);
      if (!log.damage) log.damage = { origin: log.origin, seq: stored.seq, why: checked.why };
      log.rest.push(stored);
      return;
    }
    log.pending.push({ stored, entry: checked });
    if (log.pending.length === VERIFIED_AT_ONCE) this.#settle(log);
  }

  /** There are no more. */
  end(): void {
    for (const log of this.#logs.values()) this.#settle(log);
  }

  #settle(log: Log): void {
    const { pending } = log;
    const last = pending.at(-1);
    log.pending = [];
    const key = this.#keyOf(log.origin);
    if (!last || !key) return;
    const isVouched = signatureFault(last.entry, key) === undefined;
    for (const { stored, entry } of pending) {
      const why = isVouched || log.damage ? undefined : signatureFault(entry, key);
      if (why !== undefined) log.damage = { origin: log.origin, seq: stored.seq, why };
      if (log.damage) {
        log.rest.push(stored);
        continue;
      }
      log.head = headOf(entry);
      this.#holds(entry);
    }
  }

  #log(origin: TrackerId): Log {
    const known = this.#logs.get(origin);
    if (known) return known;
    const log: Log = { origin, head: this.#head, pending: [], damage: undefined, rest: [] };
    this.#logs.set(origin, log);
    return log;
  }
}
