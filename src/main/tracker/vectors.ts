/** PURE. Version vectors: of each tracker, the highest seq that somebody has. */
import type { TrackerId } from '../../protocol/ids.ts';

export type Vector = Readonly<Record<TrackerId, number | undefined>>;

/** Whether everything that `other` has is in `vector`. */
export function covers(vector: Vector, other: Vector): boolean {
  return entriesOf(other).every(([tracker, seq]) => (vector[tracker] ?? 0) >= seq);
}

export const sameVector = (one: Vector, other: Vector): boolean => covers(one, other) && covers(other, one);

/** What either has. */
export function joined(one: Vector, other: Vector): Vector {
  const all = new Map(entriesOf(one));
  for (const [tracker, seq] of entriesOf(other)) all.set(tracker, Math.max(seq, all.get(tracker) ?? 0));
  return Object.fromEntries(all) as Vector;
}

const entriesOf = (vector: Vector) => Object.entries(vector) as [TrackerId, number][];

/** How many entries of `other` are not in `vector`. */
export function lag(vector: Vector, other: Vector): number {
  return entriesOf(other).reduce((sum, [tracker, seq]) => sum + Math.max(0, seq - (vector[tracker] ?? 0)), 0);
}
