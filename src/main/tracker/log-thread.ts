/**
 * Owns the thread that writes the log (workers/log-writer.ts). Jobs are answered in the order in which they were given; a
 * thread that ends by itself fails those that wait, and all later ones.
 */
import type { KeyObject } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { LogAnswer, LogJob, LogRow, LogWriterStart } from '../../workers/log-jobs.ts';

// From a source tree the worker is a .ts file, from a published package a .js file: like this file itself.
const WORKER_URL = new URL(`../../workers/log-writer${import.meta.url.slice(-3)}`, import.meta.url);

/** What the disk or SQLite said, or why the thread is gone. */
export class LogThreadError extends Error {
  override readonly name = 'LogThreadError';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export class LogThread {
  readonly #worker: Worker;
  readonly #waiting: PromiseWithResolvers<LogAnswer>[] = [];
  #key: KeyObject | undefined;
  #failure: Error | undefined;
  #closing: Promise<void> | undefined;

  /** `path`: a log that exists, in the format of this version. Starts at once, so that the first entry need not wait for it. */
  constructor(path: string) {
    const start: LogWriterStart = { path };
    this.#worker = new Worker(WORKER_URL, { workerData: start, name: 'log writer' });
    this.#worker.on('message', (answer: LogAnswer) => this.#waiting.shift()?.resolve(answer));
    this.#worker.on('error', (error: NodeJS.ErrnoException) => this.#gone(error.code ?? '', error.message));
    this.#worker.on('exit', () => this.#gone('', 'the thread that writes it has ended'));
  }

  /** Resolves when all of it is committed and synced. Rejects with LogThreadError; then every later one does, too. */
  async commit(rows: readonly LogRow[], bodies: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#ask({ type: 'commit', rows, bodies }, [bodies.buffer]);
  }

  /** The key that the rows without a signature are signed with, from the next commit on. */
  useKey(privateKey: KeyObject): void {
    if (this.#key === privateKey) return;
    this.#key = privateKey;
    this.#worker.postMessage({ type: 'key', privateKey } satisfies LogJob);
  }

  /** As SQLite says that it keeps what is committed. */
  async pragmas(): Promise<{ journalMode: unknown; synchronous: unknown }> {
    const answer = await this.#ask({ type: 'pragmas' });
    if (answer.type !== 'pragmas') throw new LogThreadError('', `${answer.type} for pragmas`);
    return { journalMode: answer.journalMode, synchronous: answer.synchronous };
  }

  /** Ends the thread when it has done what it was given. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#ask({ type: 'close' }).catch(() => {});
    await this.#worker.terminate();
  }

  async #ask(job: LogJob, transfer: readonly ArrayBuffer[] = []): Promise<LogAnswer> {
    if (this.#failure) throw this.#failure;
    const waiting = Promise.withResolvers<LogAnswer>();
    this.#waiting.push(waiting);
    this.#worker.postMessage(job, transfer);
    const answer = await waiting.promise;
    if (answer.type !== 'failed') return answer;
    throw new LogThreadError(answer.code, answer.message);
  }

  #gone(code: string, message: string): void {
    this.#failure ??= new LogThreadError(code, message);
    for (const waiting of this.#waiting.splice(0)) waiting.reject(this.#failure);
  }
}
