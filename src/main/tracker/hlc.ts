/**
 * PURE. The hybrid logical clock of a log (Kulkarni et al., 2014): wall time where it advances, a counter where it does
 * not, so that stamps always rise, whatever the machine's clock does, and stay within a human's idea of when.
 */
import type { Hlc, Transaction } from '../../protocol/transaction.ts';

/** Negative when `a` comes first. */
export function compareHlc(a: Hlc, b: Hlc): number {
  return a.ms - b.ms || a.counter - b.counter;
}

/** The stamp of the next entry: after `last`, and not before the wall clock. */
export function nextHlc(last: Hlc | undefined, nowMs: number): Hlc {
  if (!last || nowMs > last.ms) return { ms: nowMs, counter: 0 };
  return { ms: last.ms, counter: last.counter + 1 };
}

/** Where a transaction stands in the order in which every tracker executes all of them. */
export type Place = Pick<Transaction, 'hlc' | 'origin' | 'seq'>;

/** Negative when `a` is executed first. */
export function comparePlaces(a: Place, b: Place): number {
  if (a.origin === b.origin) return a.seq - b.seq;
  return compareHlc(a.hlc, b.hlc) || (a.origin < b.origin ? -1 : 1);
}
