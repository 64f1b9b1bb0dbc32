/** The Piscina pool of piece workers, typed by job. The only room that knows a worker. */
import { Piscina } from 'piscina';
import { RequestError } from '../../protocol/errors.ts';
import type { Job, JobAnswer, JobFailure, Results, WorkerStart } from '../../workers/jobs.ts';

// From a source tree the worker is a .ts file, from a published package a .js file: like this file itself.
const WORKER_URL = new URL(`../../workers/piece-worker${import.meta.url.slice(-3)}`, import.meta.url);

/** A thread costs some 25 MiB, and takes a moment to start. */
const IDLE_MS_MAX = 30_000;

/** A job that the system refused; `code` is the system's, such as ENOSPC. */
export class JobError extends Error {
  override readonly name = 'JobError';
  readonly code: string;

  constructor({ code, message }: JobFailure) {
    super(message);
    this.code = code;
  }
}

export class WorkerPool {
  readonly size: number;
  readonly #piscina: Piscina<Job, JobAnswer<Job['type']>>;

  constructor(workers: number, memory: SharedArrayBuffer) {
    this.size = workers;
    const start: WorkerStart = { memory };
    this.#piscina = new Piscina({
      filename: WORKER_URL.href,
      workerData: start,
      // One download keeps one thread busy; the others cost their memory only while there is work for them.
      minThreads: 1,
      maxThreads: workers,
      idleTimeout: IDLE_MS_MAX,
      // A worker that sleeps in Atomics.wait wakes faster than one that waits for a message.
      atomics: 'sync',
    });
  }

  /** Rejects with JobError when the system refused. */
  async run<T extends Job['type']>(job: Extract<Job, { type: T }>): Promise<Results[T]> {
    const answer = (await this.#piscina.run(job)) as JobAnswer<T>;
    if ('failed' in answer) throw new JobError(answer.failed);
    return answer.ok;
  }

  /** Waits for the jobs under way. */
  async close(): Promise<void> {
    await this.#piscina.close({ force: false });
  }
}

/** Waits until all have ended, also when one fails: only then may what they use be let go. Throws the first failure. */
export async function settleAll(tasks: readonly Promise<void>[]): Promise<void> {
  for (const end of await Promise.allSettled(tasks)) if (end.status === 'rejected') throw end.reason;
}

/** What a person is told when the disk refuses. */
export function diskError(error: unknown, path: string): RequestError {
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOENT':
      return new RequestError('file-missing', `there is no ${path}`);
    case 'EACCES':
    case 'EPERM':
      return new RequestError('unreadable', `${path}: permission denied`, 'check who may read and write it');
    case 'ENOSPC':
    case 'EDQUOT':
      return new RequestError('disk-full', `the disk is full: ${path} can't be written`, 'make room, then try again');
    case 'EEXIST':
      return new RequestError('destination-exists', `${path} exists already`, 'choose another destination');
    case 'EISDIR':
    case 'ENOTDIR':
      return new RequestError('not-a-file', `${path} is not a file`);
    case 'EROFS':
      return new RequestError('disk-error', `${path} is on a read-only file system`);
    case 'EFBIG':
      return new RequestError('disk-error', `${path} is larger than its file system allows`);
    default:
      return new RequestError('disk-error', `${path}: ${message}`);
  }
}
