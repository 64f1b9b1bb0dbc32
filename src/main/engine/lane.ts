/**
 * A lane gathers pieces into jobs: whatever comes while its jobs are busy goes out together as the next one. One job at a
 * time keeps two workers from spinning on the inode lock of one file; a batch shares the cost of a task (some 50 us).
 */

interface Waiting<P> {
  readonly piece: P;
  readonly bytes: number;
  resolve(right: boolean): void;
  reject(error: unknown): void;
}

export class Lane<P> {
  readonly #run: (pieces: readonly P[]) => Promise<Uint8Array>;
  readonly #jobsMax: number;
  readonly #batchBytesMax: number;
  #queue: Waiting<P>[] = [];
  #jobs = 0;
  #scheduled = false;

  constructor(run: (pieces: readonly P[]) => Promise<Uint8Array>, limits: { jobsMax: number; batchBytesMax: number }) {
    this.#run = run;
    this.#jobsMax = limits.jobsMax;
    this.#batchBytesMax = limits.batchBytesMax;
  }

  /** Resolves with what the job said of this piece (1 or 0); rejects when the job failed. */
  add(piece: P, bytes: number): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ piece, bytes, resolve, reject });
      this.#schedule();
    });
  }

  /** Pieces of one turn of the event loop leave together. */
  #schedule(): void {
    if (this.#scheduled || this.#jobs >= this.#jobsMax) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      while (this.#jobs < this.#jobsMax && this.#queue.length > 0) void this.#dispatch();
    });
  }

  async #dispatch(): Promise<void> {
    const batch = this.#nextBatch();
    this.#jobs += 1;
    try {
      const right = await this.#run(batch.map((waiting) => waiting.piece));
      for (const [at, waiting] of batch.entries()) waiting.resolve(right[at] === 1);
    } catch (error) {
      for (const waiting of batch) waiting.reject(error);
    }
    this.#jobs -= 1;
    if (this.#queue.length > 0) this.#schedule();
  }

  #nextBatch(): Waiting<P>[] {
    let bytes = 0;
    let count = 0;
    for (const waiting of this.#queue) {
      if (count > 0 && bytes + waiting.bytes > this.#batchBytesMax) break;
      bytes += waiting.bytes;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }
}
