/**
 * One download as its owner sees it, from its start to its end, also across pauses: polled with `status()`, awaited with
 * `done`, or listened to with `onProgress`. The DownloadManager gives it a task each time it goes on.
 */
import { invariant, RequestError } from '../../protocol/errors.ts';
import type { DownloadStatus } from './status.ts';

/** What a download goes on with: the task of a file or of a folder. */
export interface Work {
  readonly done: Promise<void>;
  status(): DownloadStatus;
}

export class Download {
  /** Resolves when the file stands under its name; rejects with a RequestError when it failed or was cancelled. */
  readonly done: Promise<DownloadStatus>;
  readonly #listeners = new Set<(status: DownloadStatus) => void>();
  readonly #settle: { resolve(status: DownloadStatus): void; reject(error: RequestError): void };
  #task: Work | undefined;
  #settled = false;
  #lastNews = '';

  constructor() {
    const { promise, resolve, reject } = Promise.withResolvers<DownloadStatus>();
    this.done = promise;
    this.#settle = { resolve, reject };
    // Who does not await it is told by status or events.
    this.done.catch(() => {});
  }

  status(): DownloadStatus {
    invariant(this.#task, 'a download has a task');
    return this.#task.status();
  }

  /** Calls back after each change worth showing, ten times a second at most; returns how to stop. */
  onProgress(listener: (status: DownloadStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The manager's: it has ended for good. */
  get isSettled(): boolean {
    return this.#settled;
  }

  /** The manager's: goes on with this task. */
  attach(task: Work): void {
    this.#task = task;
    task.done.then(
      () => {
        this.#settled = true;
        this.#settle.resolve(task.status());
      },
      (error: RequestError) => {
        // A paused download has not ended.
        if (task.status().state === 'paused') return;
        this.#settled = true;
        this.#settle.reject(error);
      },
    );
  }

  /** The manager's: tells the listeners. */
  announce(): void {
    if (this.#listeners.size === 0) return;
    const status = this.status();
    const news = `${status.state} ${status.doneBytes} ${status.peers.length}`;
    if (news === this.#lastNews && status.state !== 'running') return;
    this.#lastNews = news;
    for (const listener of this.#listeners) listener(status);
  }

  /** The manager's: it goes on without this handle; whoever waits is told. */
  abandon(reason: string): void {
    this.#settled = true;
    this.#settle.reject(new RequestError('cancelled', reason));
  }
}
