/**
 * PURE. Members that take turns: each is in one turn of a round, about as many in one as in another, so that what is done
 * for ten thousand of them comes evenly and not all at once.
 */
export class Rota<T> implements Iterable<T> {
  readonly #turns: readonly Set<T>[];
  readonly #turnOf = new Map<T, Set<T>>();
  #next = 0;

  constructor(turnsPerRound: number) {
    this.#turns = Array.from({ length: turnsPerRound }, () => new Set<T>());
  }

  get size(): number {
    return this.#turnOf.size;
  }

  add(member: T): void {
    if (this.#turnOf.has(member)) return;
    const turn = this.#turns.reduce((least, other) => (other.size < least.size ? other : least));
    turn.add(member);
    this.#turnOf.set(member, turn);
  }

  delete(member: T): void {
    this.#turnOf.get(member)?.delete(member);
    this.#turnOf.delete(member);
  }

  /** Those whose turn it is; the next time, those of the next. */
  turn(): Iterable<T> {
    const turn = this.#turns[this.#next] ?? [];
    this.#next = (this.#next + 1) % this.#turns.length;
    return turn;
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#turnOf.keys();
  }
}
