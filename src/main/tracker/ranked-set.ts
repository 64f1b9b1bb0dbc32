/**
 * PURE. A set in the order in which its members came, of which any change can be taken back: a member that is put back
 * stands where it stood.
 */
import type { Undo } from './undo.ts';

export interface ReadonlyRankedSet<T> extends Iterable<T> {
  readonly size: number;
  has(member: T): boolean;
}

export class RankedSet<T> implements ReadonlyRankedSet<T> {
  readonly #ranks = new Map<T, number>();
  #lastRank = 0;
  /** Whether the map's own order is that of the ranks. */
  #inOrder = true;

  get size(): number {
    return this.#ranks.size;
  }

  has(member: T): boolean {
    return this.#ranks.has(member);
  }

  add(member: T, undo: Undo): void {
    if (this.#ranks.has(member)) return;
    this.#lastRank += 1;
    this.#ranks.set(member, this.#lastRank);
    undo.note(() => this.#ranks.delete(member));
  }

  delete(member: T, undo: Undo): boolean {
    const rank = this.#ranks.get(member);
    if (rank === undefined) return false;
    this.#ranks.delete(member);
    undo.note(() => {
      this.#ranks.set(member, rank);
      this.#inOrder = false;
    });
    return true;
  }

  [Symbol.iterator](): Iterator<T> {
    this.#sort();
    return this.#ranks.keys();
  }

  #sort(): void {
    if (this.#inOrder) return;
    const sorted = [...this.#ranks].sort(([, one], [, other]) => one - other);
    this.#ranks.clear();
    for (const [member, rank] of sorted) this.#ranks.set(member, rank);
    this.#inOrder = true;
  }
}
