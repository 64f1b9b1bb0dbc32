/**
 * Lets through one step an interval for each key, so that progress costs a view no more than it is worth. Pure but for
 * the clock that it is given.
 */
import type { Clock } from '../support/clock.ts';

export class Throttle {
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #intervalMs: number;
  readonly #first: 'first at once' | 'first after an interval';
  readonly #lastMs = new Map<string, number>();

  constructor(
    clock: Pick<Clock, 'monotonicMs'>,
    intervalMs: number,
    first: 'first at once' | 'first after an interval',
  ) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
    this.#first = first;
  }

  passes(key: string): boolean {
    const nowMs = this.#clock.monotonicMs();
    const lastMs = this.#lastMs.get(key);
    if (lastMs !== undefined && nowMs - lastMs < this.#intervalMs) return false;
    this.#lastMs.set(key, nowMs);
    return lastMs !== undefined || this.#first === 'first at once';
  }

  forget(key: string): void {
    this.#lastMs.delete(key);
  }
}
