/**
 * PURE. What becomes of clashes between trackers that could not hear each other: of two things of one name the later is
 * called `name~xxxx` with the first digits of its id, and a removal beats an addition that did not know of it.
 */
import type { TrackerId } from '../../protocol/ids.ts';
import type { Transaction } from '../../protocol/transaction.ts';
import type { Clash } from './folders.ts';

const DIGITS_MIN = 4;

/** The name itself where it is free, else the first free `name~xxxx`; cut where it would be longer than bytesMax. */
export function freeName(name: string, id: string, bytesMax: number, taken: (name: string) => boolean): string {
  if (!taken(name)) return name;
  for (let digits = DIGITS_MIN; digits < id.length; digits += 1) {
    const other = suffixed(name, id.slice(0, digits), bytesMax);
    if (!taken(other)) return other;
  }
  return suffixed(name, id, bytesMax);
}

/**
 * The same for a file of a group, where a name also clashes with a folder, or has a folder that is a file: then that
 * folder gets the digits.
 */
export function freeFileName(
  name: string,
  id: string,
  bytesMax: number,
  taken: (name: string) => boolean,
  clash: (name: string) => Clash | undefined,
): string {
  const standing = clash(name);
  const end = standing?.is === 'file' ? standing.name.length : name.replace(/\/$/, '').length;
  const rest = name.slice(end);
  const isTaken = (start: string) => taken(start + rest) || clash(start + rest) !== undefined;
  return freeName(name.slice(0, end), id, bytesMax - Buffer.byteLength(rest), isTaken) + rest;
}

function suffixed(name: string, digits: string, bytesMax: number): string {
  const room = bytesMax - digits.length - 1;
  let kept = name;
  while (Buffer.byteLength(kept) > room) kept = [...kept].slice(0, -1).join('');
  return `${kept}~${digits}`;
}

/** Of every tracker, the last of its entries that removed somebody. */
export type Removals = Readonly<Record<TrackerId, number>>;

export function withRemoval(removals: Removals | undefined, { origin, seq }: Transaction): Removals {
  return { ...removals, [origin]: seq };
}

/** Whether a transaction was written without knowledge of one of the removals. */
export function ignorantOf(removals: Removals | undefined, transaction: Transaction): boolean {
  const { origin, versionVector } = transaction;
  return Object.entries(removals ?? {}).some(
    ([remover, seq]) => remover !== origin && (versionVector[remover as TrackerId] ?? 0) < seq,
  );
}
