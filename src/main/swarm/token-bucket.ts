/**
 * A rate limit as a bucket of bytes that fills at the rate and is drawn from as bytes are spent. PURE. It may be overdrawn
 * once: a piece larger than what is in it leaves a debt, which is waited for before the next.
 */

/** What may be spent at once after a rest. */
const BURST_MS = 250;

export class TokenBucket {
  readonly #bytesPerMs: number;
  #bytes: number;
  #filledMs: number;

  /** Undefined: no limit. */
  constructor(bytesPerSecond: number | undefined, nowMs: number) {
    this.#bytesPerMs = bytesPerSecond === undefined ? Number.POSITIVE_INFINITY : bytesPerSecond / 1000;
    this.#bytes = this.#bytesPerMs * BURST_MS;
    this.#filledMs = nowMs;
  }

  /** How long until something may be spent; 0: now. */
  waitMs(nowMs: number): number {
    if (this.#bytesPerMs === Number.POSITIVE_INFINITY) return 0;
    this.#fill(nowMs);
    return this.#bytes > 0 ? 0 : Math.max(1, Math.ceil(-this.#bytes / this.#bytesPerMs));
  }

  spend(bytes: number, nowMs: number): void {
    if (this.#bytesPerMs === Number.POSITIVE_INFINITY) return;
    this.#fill(nowMs);
    this.#bytes -= bytes;
  }

  #fill(nowMs: number): void {
    this.#bytes = Math.min(this.#bytesPerMs * BURST_MS, this.#bytes + (nowMs - this.#filledMs) * this.#bytesPerMs);
    this.#filledMs = nowMs;
  }
}
