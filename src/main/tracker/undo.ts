/**
 * PURE. How a change is taken back: whoever changes a map notes here what undoes it, and the notes are run in reverse.
 * A registry that can be taken back step by step needs no copies of itself to roll back to.
 */
export class Undo {
  readonly #steps: (() => void)[] = [];

  note(step: () => void): void {
    this.#steps.push(step);
  }

  set<K, V>(map: Map<K, V>, key: K, value: V): void {
    const before = map.get(key);
    const had = map.has(key);
    map.set(key, value);
    this.#steps.push(() => {
      if (had && before !== undefined) map.set(key, before);
      else map.delete(key);
    });
  }

  delete<K, V>(map: Map<K, V>, key: K): boolean {
    const before = map.get(key);
    if (before === undefined) return false;
    map.delete(key);
    this.#steps.push(() => map.set(key, before));
    return true;
  }

  /** Everything is as it was. */
  run(): void {
    for (let step = this.#steps.pop(); step; step = this.#steps.pop()) step();
  }
}
