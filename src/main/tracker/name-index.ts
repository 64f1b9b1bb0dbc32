/**
 * PURE. Things by name, with pages of them in the order of their names (by UTF-16 code unit, so that it is the same
 * everywhere). Adding is cheap, and sorting is put off until somebody looks: a log of a million entries replays
 * without sorting once.
 */
export class NameIndex<T> {
  readonly #byName = new Map<string, T>();
  readonly #names: string[] = [];
  #sorted = true;

  get size(): number {
    return this.#byName.size;
  }

  get(name: string): T | undefined {
    return this.#byName.get(name);
  }

  /** The name must be free. */
  add(name: string, value: T): void {
    this.#byName.set(name, value);
    this.#sorted &&= this.#names.length === 0 || (this.#names.at(-1) ?? '') < name;
    this.#names.push(name);
  }

  delete(name: string): void {
    if (!this.#byName.delete(name)) return;
    this.#sort();
    this.#names.splice(this.#firstAfter(name) - 1, 1);
  }

  clear(): void {
    this.#byName.clear();
    this.#names.length = 0;
    this.#sorted = true;
  }

  /** Every value whose name comes after `after`, in the order of names. */
  *after(after: string | undefined): Generator<T, void, undefined> {
    this.#sort();
    for (let at = after === undefined ? 0 : this.#firstAfter(after); at < this.#names.length; at += 1) {
      const value = this.#byName.get(this.#names[at] ?? '');
      if (value !== undefined) yield value;
    }
  }

  #sort(): void {
    // Close to linear when few names came since the last time: the rest is one sorted run.
    if (!this.#sorted) this.#names.sort();
    this.#sorted = true;
  }

  #firstAfter(name: string): number {
    let low = 0;
    let high = this.#names.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#names[middle] ?? '') <= name) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
