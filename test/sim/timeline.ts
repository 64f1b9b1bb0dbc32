/** Virtual time: what is to happen, earliest first, in the order of planning among equals. A binary heap. */
export class Timeline {
  #nowMs = 0;
  #planned = 0;
  readonly #times: number[] = [];
  readonly #orders: number[] = [];
  readonly #actions: (() => void)[] = [];

  get nowMs(): number {
    return this.#nowMs;
  }

  /** Events that are still to come. */
  get size(): number {
    return this.#times.length;
  }

  after(delayMs: number, action: () => void): void {
    this.at(this.#nowMs + delayMs, action);
  }

  at(timeMs: number, action: () => void): void {
    const order = this.#planned;
    this.#planned += 1;
    let hole = this.#times.length;
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      if (!this.#isLater(parent, timeMs, order)) break;
      this.#move(parent, hole);
      hole = parent;
    }
    this.#put(hole, timeMs, order, action);
  }

  /** Moves on to the next event and lets it happen; false when there is none. */
  step(): boolean {
    const action = this.#actions[0];
    if (!action) return false;
    this.#nowMs = this.#times[0] ?? this.#nowMs;
    const timeMs = this.#times.pop() ?? 0;
    const order = this.#orders.pop() ?? 0;
    const last = this.#actions.pop();
    if (last && this.#times.length > 0) this.#sink(timeMs, order, last);
    action();
    return true;
  }

  #sink(timeMs: number, order: number, action: () => void): void {
    const { length } = this.#times;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= length) break;
      const right = child + 1;
      if (right < length && this.#isLater(child, this.#times[right] ?? 0, this.#orders[right] ?? 0)) child = right;
      if (this.#isLater(child, timeMs, order)) break;
      this.#move(child, hole);
      hole = child;
    }
    this.#put(hole, timeMs, order, action);
  }

  #isLater(at: number, timeMs: number, order: number): boolean {
    const other = this.#times[at] ?? 0;
    return other > timeMs || (other === timeMs && (this.#orders[at] ?? 0) > order);
  }

  #move(from: number, to: number): void {
    const action = this.#actions[from];
    if (action) this.#put(to, this.#times[from] ?? 0, this.#orders[from] ?? 0, action);
  }

  #put(at: number, timeMs: number, order: number, action: () => void): void {
    this.#times[at] = timeMs;
    this.#orders[at] = order;
    this.#actions[at] = action;
  }
}
