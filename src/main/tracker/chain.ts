/**
 * PURE. Whether an entry may stand where it claims to in the log of its tracker: chained to the one before, signed by the
 * tracker's key, later than what it follows, and, read from the disk, filed under what it says itself.
 */
import { ProtocolViolation } from '../../protocol/errors.ts';
import type { TrackerId } from '../../protocol/ids.ts';
import type { PublicKey } from '../../protocol/signed.ts';
import { chainFault, type Hlc, type LogEntry, readEntry } from '../../protocol/transaction.ts';
import { compareHlc } from './hlc.ts';
import type { StoredEntry } from './stored-entry.ts';

/** The last entry of a log. */
export interface Head {
  readonly seq: number;
  readonly hash: Uint8Array;
  readonly hlc: Hlc;
}

/** Undefined when an entry from another machine may follow. */
export function entryFault(
  entry: LogEntry,
  head: Head | undefined,
  key: PublicKey | undefined,
): ProtocolViolation | undefined {
  const why = fault(entry, head, key);
  return why === undefined ? undefined : new ProtocolViolation(`log of ${entry.transaction.origin}: ${why}`);
}

/** The entry that stands on the disk, or why it does not hold. */
export function storedEntryOf(
  stored: StoredEntry,
  head: Head | undefined,
  key: PublicKey | undefined,
  self: TrackerId,
): LogEntry | { readonly why: string } {
  try {
    const entry = readEntry(stored.signed);
    const { transaction } = entry;
    if (!key && transaction.origin !== self) {
      return { why: 'it was written by another tracker; is identity.pem the one that belongs to this log?' };
    }
    const why = fault(entry, head, key) ?? misfiled(stored, entry);
    return why === undefined ? entry : { why };
  } catch (error) {
    if (error instanceof ProtocolViolation) return { why: error.message };
    throw error;
  }
}

function fault(entry: LogEntry, head: Head | undefined, key: PublicKey | undefined): string | undefined {
  if (!key) return 'its tracker is not known';
  const why = chainFault(entry, head, key);
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
