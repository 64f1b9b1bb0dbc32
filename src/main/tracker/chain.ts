/**
 * PURE. Whether an entry may stand where it claims to in the log of its tracker: chained to the one before, signed by the
 * tracker's key, later than what it follows, and, read from the disk, filed under what it says itself.
 */
import { ProtocolViolation } from '../../protocol/errors.ts';
import type { TrackerId } from '../../protocol/ids.ts';
import type { PublicKey } from '../../protocol/signed.ts';
import { type Hlc, type LogEntry, linkFault, readEntry, signatureFault } from '../../protocol/transaction.ts';
import { compareHlc } from './hlc.ts';
import type { StoredEntry } from './stored-entry.ts';

/** The last entry of a log. */
export interface Head {
  readonly seq: number;
  readonly hash: Uint8Array;
  readonly hlc: Hlc;
}

/** Undefined when an entry from another machine may follow. `isVouched`: its signature needs no check. */
export function entryFault(
  entry: LogEntry,
  head: Head | undefined,
  key: PublicKey | undefined,
  isVouched: boolean,
): ProtocolViolation | undefined {
  const why = orderFault(entry, head, key) ?? (isVouched || !key ? undefined : signatureFault(entry, key));
  return why === undefined ? undefined : new ProtocolViolation(`log of ${entry.transaction.origin}: ${why}`);
}

/**
 * Those entries that the signature of a later one vouches for: an unbroken run of one log, whose last is signed. A signature
 * costs more than everything else about an entry.
 */
export function vouched(
  entries: readonly LogEntry[],
  keyOf: (origin: TrackerId) => PublicKey | undefined,
): ReadonlySet<LogEntry> {
  const runs = new Map<TrackerId, LogEntry[]>();
  for (const entry of entries) {
    const run = runs.get(entry.transaction.origin);
    if (run) run.push(entry);
    else runs.set(entry.transaction.origin, [entry]);
  }
  const all = new Set<LogEntry>();
  for (const [origin, run] of runs) {
    const key = keyOf(origin);
    const last = run.at(-1);
    if (!key || !last || signatureFault(last, key)) continue;
    const unbroken = run.every((entry, at) => {
      const before = run[at - 1];
      return !before || linkFault(entry, { seq: before.transaction.seq, hash: before.hash }, key) === undefined;
    });
    if (unbroken) for (const entry of run) all.add(entry);
  }
  return all;
}

/** The entry that stands on the disk, or why it does not hold. Its signature is left to the caller. */
export function storedEntryOf(
  stored: StoredEntry,
  head: Head | undefined,
  key: PublicKey | undefined,
): LogEntry | { readonly why: string } {
  try {
    const entry = readEntry(stored.signed);
    if (!key) return { why: 'it was written by another tracker; is identity.pem the one that belongs to this log?' };
    const why = orderFault(entry, head, key) ?? misfiled(stored, entry);
    return why === undefined ? entry : { why };
  } catch (error) {
    if (error instanceof ProtocolViolation) return { why: error.message };
    throw error;
  }
}

function orderFault(entry: LogEntry, head: Head | undefined, key: PublicKey | undefined): string | undefined {
  if (!key) return 'its tracker is not known';
  const why = linkFault(entry, head, key);
  if (why) return why;
  if (head && compareHlc(entry.transaction.hlc, head.hlc) <= 0)
    return 'its time is not after that of the entry before it';
  return undefined;
}

function misfiled({ origin, seq, requestId, hlc }: StoredEntry, { transaction }: LogEntry): string | undefined {
  if (requestId !== transaction.requestId) return 'its request id is not the one that was signed';
  if (origin !== transaction.origin || seq !== transaction.seq || compareHlc(hlc, transaction.hlc) !== 0) {
    return 'it is filed under what was not signed';
  }
  return undefined;
}

export const headOf = ({ transaction, hash }: LogEntry): Head => ({ seq: transaction.seq, hash, hlc: transaction.hlc });
