/** A Clock that stands still until the test moves it; then what is due runs, in order. */
import type { Clock } from '../../src/main/support/clock.ts';

interface Timer {
  dueMs: number;
  readonly intervalMs: number | undefined;
  readonly task: () => void;
}

export class ManualClock implements Clock {
  #nowMs = 1_700_000_000_000;
  readonly #timers = new Set<Timer>();

  nowMs(): number {
    return this.#nowMs;
  }
  monotonicMs(): number {
    return this.#nowMs;
  }
  every(intervalMs: number, task: () => void): () => void {
    return this.#add({ dueMs: this.#nowMs + intervalMs, intervalMs, task });
  }
  after(delayMs: number, task: () => void): () => void {
    return this.#add({ dueMs: this.#nowMs + delayMs, intervalMs: undefined, task });
  }
  get timerCount(): number {
    return this.#timers.size;
  }

  advance(byMs: number): void {
    const endMs = this.#nowMs + byMs;
    for (;;) {
      const due = [...this.#timers].filter((t) => t.dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs)[0];
      if (!due) break;
      this.#nowMs = Math.max(this.#nowMs, due.dueMs);
      if (due.intervalMs === undefined) this.#timers.delete(due);
      else due.dueMs += due.intervalMs;
      due.task();
    }
    this.#nowMs = endMs;
  }

  #add(timer: Timer): () => void {
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }
}
