/** Bytes per second over the last few seconds, from samples of a total. PURE. */

const WINDOW_MS = 4_000;
const SAMPLE_MS = 200;

export class RateMeter {
  #samples: { readonly timeMs: number; readonly totalBytes: number }[] = [];
  #bytesPerSecond = 0;

  begin(timeMs: number, totalBytes: number): void {
    this.#samples = [{ timeMs, totalBytes }];
    this.#bytesPerSecond = 0;
  }

  sample(timeMs: number, totalBytes: number): void {
    const last = this.#samples.at(-1);
    if (last && timeMs - last.timeMs < SAMPLE_MS) return;
    this.#samples.push({ timeMs, totalBytes });
    while (this.#samples.length > 2 && timeMs - (this.#samples[0]?.timeMs ?? timeMs) > WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0];
    if (!first || timeMs === first.timeMs) return;
    this.#bytesPerSecond = ((totalBytes - first.totalBytes) / (timeMs - first.timeMs)) * 1000;
  }

  get bytesPerSecond(): number {
    return this.#bytesPerSecond;
  }
}
