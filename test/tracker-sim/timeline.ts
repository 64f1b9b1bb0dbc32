/** Virtual time: what is due happens in order, and between two events every promise that can settle does. */
import { setImmediate } from 'node:timers/promises';

interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly run: () => void;
}

export class Timeline {
  nowMs = 0;
  readonly #due: Due[] = [];
  #order = 0;

  after(delayMs: number, run: () => void): void {
    const due = { atMs: this.nowMs + delayMs, order: this.#order, run };
    this.#order += 1;
    const at = this.#due.findIndex((other) => other.atMs > due.atMs);
    if (at < 0) this.#due.push(due);
    else this.#due.splice(at, 0, due);
  }

  async until(endMs: number): Promise<void> {
    for (let next = this.#due[0]; next && next.atMs <= endMs; next = this.#due[0]) {
      this.#due.shift();
      this.nowMs = next.atMs;
      next.run();
      await setImmediate();
    }
    this.nowMs = endMs;
  }
}
