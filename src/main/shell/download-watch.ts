/**
 * Watches the client's downloads and notices for a view: shows progress and each end once, knows which downloads are
 * still under way and how the first failed one failed. Never starts, pauses or stops a download.
 */
import type { ClientApi, Download, Notice } from '../client/types.ts';
import { EXIT_CODES, exitCodeOf } from '../support/failures.ts';
import type { DownloadStatus } from '../swarm/status.ts';
import { hasEnded, isUnderWay } from './download-text.ts';
import type { View } from './view.ts';

export class DownloadWatch {
  readonly #client: ClientApi;
  readonly #view: View;
  readonly #known = new Set<number>();
  readonly #told = new Set<number>();
  /** Under way before the first command: a script waits for these only while they have peers. */
  readonly #inherited = new Set<number>();
  readonly #underWay = new Set<number>();
  readonly #undo: (() => void)[] = [];
  #waiting: (() => void)[] = [];
  #exitCode: number = EXIT_CODES.done;
  #open = true;

  /** Downloads that ended in an earlier session are left alone. */
  constructor(client: ClientApi, view: View) {
    this.#client = client;
    this.#view = view;
    for (const download of client.downloads()) {
      const status = download.status();
      if (hasEnded(status)) this.#known.add(status.id);
      else if (isUnderWay(status)) this.#inherited.add(status.id);
    }
    this.#undo.push(client.onNotice((notice) => this.#onNotice(notice)));
    this.look();
  }

  /** The exit code of the first download that failed while watched; 0 when none did. */
  get exitCode(): number {
    return this.#exitCode;
  }

  /** Takes up downloads that were started since the last look. */
  look(): void {
    for (const download of this.#client.downloads()) this.#watch(download);
  }

  /** Resolves when no download is under way: each is done, failed, cancelled or paused, or waits since before. */
  async settled(): Promise<void> {
    this.look();
    if (this.#underWay.size === 0) return;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** The downloads under way now. */
  running(): readonly DownloadStatus[] {
    return this.#client
      .downloads()
      .map((download) => download.status())
      .filter(isUnderWay);
  }

  close(): void {
    this.#open = false;
    for (const undo of this.#undo.splice(0)) undo();
  }

  #watch(download: Download): void {
    const { id } = download.status();
    if (this.#known.has(id)) return;
    this.#known.add(id);
    this.#note(download.status());
    const stopListening = download.onProgress((status) => {
      this.#note(status);
      if (this.#open && !hasEnded(status)) this.#view.downloadProgress(status);
    });
    this.#undo.push(stopListening);
    const ended = (error: unknown) => {
      stopListening();
      const status = download.status();
      if (!this.#open) return;
      if (status.state === 'failed' && this.#exitCode === EXIT_CODES.done) {
        this.#exitCode = exitCodeOf(error);
      }
      this.#tellEnd(status);
      this.#settle(id);
    };
    download.done.then(() => ended(undefined), ended);
  }

  #note(status: DownloadStatus): void {
    const rests = status.state === 'paused' || (status.state === 'waiting' && this.#inherited.has(status.id));
    if (rests) this.#settle(status.id);
    else if (isUnderWay(status)) this.#underWay.add(status.id);
    // Ends are taken from `done` alone: only then is the file under its name and the error known.
  }

  #settle(id: number): void {
    this.#underWay.delete(id);
    if (this.#underWay.size > 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #onNotice(notice: Notice): void {
    if (!this.#open) return;
    if (notice.type === 'download-ended') this.#tellEnd(notice.status);
    else this.#view.notice(notice);
  }

  /** The client may tell of an end both ways; people are told once. */
  #tellEnd(status: DownloadStatus): void {
    if (this.#told.has(status.id)) return;
    this.#told.add(status.id);
    this.#view.notice({ type: 'download-ended', status });
  }
}
