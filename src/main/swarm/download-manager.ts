/**
 * The DownloadManager: all downloads of a client, in the background. Each can be polled (`status()`), awaited (`done`) or
 * listened to (`onProgress`). It judges destinations, keeps the store in step so that downloads survive a restart, and
 * beats the clock for those under way.
 */
import { basename, dirname, join, resolve } from 'node:path';
import { Bitfield } from '../../protocol/bitfield.ts';
import { RequestError } from '../../protocol/errors.ts';
import type { FileId, GroupId } from '../../protocol/ids.ts';
import type { FileRecord } from '../../protocol/messages.ts';
import { fileNameRefusal, printable } from '../../protocol/names.ts';
import { PieceTree } from '../../protocol/piece-tree.ts';
import { exists, type FileStamp, statOf } from '../engine/engine.ts';
import { Download } from './download-handle.ts';
import { type DownloadOrder, DownloadTask, type EndState, type TaskOptions } from './download-task.ts';

const TICK_MS = 100;

/** What is kept of a download from one start of the client to the next. */
export interface StoredDownload extends DownloadOrder {
  /** finished: the file stands under its name, but may not be safely on disk yet. */
  readonly state: 'running' | 'paused' | 'failed' | 'finished';
  /** Pieces that are safely on disk; the `.part` may hold more. */
  readonly have: Uint8Array | undefined;
}

export interface DownloadStore {
  add(order: Omit<DownloadOrder, 'id'>): number;
  update(id: number, state: StoredDownload['state'], have: Uint8Array | undefined): void;
  remove(id: number): void;
  all(): readonly StoredDownload[];
}

export interface DownloadManagerOptions extends Omit<TaskOptions, keyof Beginning | keyof TaskEvents> {
  readonly store: DownloadStore;
  /** A download is whole: remember it as a share. */
  onFinished(order: DownloadOrder, stamp: FileStamp): Promise<void>;
  /** A finished file did not survive a crash whole: it is no share any more, and is fetched to the end. */
  onLost(order: DownloadOrder): void;
  /** A download has begun, rests or has ended. */
  onChange(download: Download): void;
}

/** How a task finds what there is of its file. */
type Beginning = Pick<TaskOptions, 'resume' | 'inPlace' | 'lookInPlace'>;
type TaskEvents = Pick<TaskOptions, 'onFinished' | 'onCheckpoint' | 'onSynced' | 'onEnded' | 'onChange'>;

interface Entry {
  readonly order: DownloadOrder;
  readonly download: Download;
  readonly inPlace: boolean;
  task: DownloadTask;
}

export class DownloadManager {
  readonly #options: DownloadManagerOptions;
  readonly #entries = new Map<number, Entry>();
  readonly #stopTicking: () => void;
  #closed = false;
  #lastRepairId = 0;

  constructor(options: DownloadManagerOptions) {
    this.#options = options;
    this.#stopTicking = options.clock.every(TICK_MS, () => this.#tick());
  }

  /** All downloads that this start of the client knows of, oldest first, ended ones too. */
  list(): readonly Download[] {
    return [...this.#entries.values()].map(({ download }) => download);
  }

  /** The running download of a file, for serving what it has so far. */
  running(group: GroupId, file: FileId): DownloadTask | undefined {
    return this.#running().find(({ order }) => order.group === group && order.file.file === file)?.task;
  }

  /** Files of which running downloads hold something. */
  runningFiles(): readonly { readonly group: GroupId; readonly file: FileId }[] {
    return this.#running().map(({ order }) => ({ group: order.group, file: order.file.file }));
  }

  /** Begins a download; resolves when it runs. Rejects with RequestError when it can't begin. */
  async start(order: { group: GroupId; groupName: string; file: FileRecord; destination: string }): Promise<Download> {
    const destination = await this.#judgeDestination(order.file.name, order.destination);
    const { store } = this.#options;
    await this.#takeOver(destination, order.file.file);
    const earlier = store.all().find((stored) => stored.destination === destination);
    const hasPart = await exists(`${destination}.part`);
    if (hasPart && earlier?.file.file !== order.file.file) {
      throw new RequestError(
        'destination-exists',
        `${destination}.part is in the way: something else was being downloaded there`,
        'remove it, or choose another destination',
      );
    }
    if (earlier) this.#forget(earlier.id);
    const id = store.add({ ...order, destination });
    const have = hasPart ? (earlier?.have ?? nothingOf(order.file)) : undefined;
    try {
      return await this.#begin({ ...order, id, destination }, { resume: have });
    } catch (error) {
      this.#entries.delete(id);
      if (hasPart) store.update(id, 'failed', earlier?.have);
      else store.remove(id);
      throw error;
    }
  }

  /** Stops downloads for now. Throws RequestError('no-such-download') when none of that file is running. */
  async pause(group: string, name: string): Promise<readonly Download[]> {
    const found = this.#named(group, name, ({ task }) => task.isActive, 'is being downloaded');
    await Promise.all(found.map(({ task }) => task.stop()));
    return found.map(({ download }) => download);
  }

  /** Takes paused or failed downloads up again. */
  async resume(group: string, name: string): Promise<readonly Download[]> {
    const rests = ({ download }: Entry) => ['paused', 'failed'].includes(download.status().state);
    const found = this.#named(group, name, rests, 'is paused or has failed');
    for (const { order, inPlace, task } of found) {
      if (inPlace) {
        await this.#begin(order, { resume: task.have?.toBytes() ?? nothingOf(order.file), inPlace });
        continue;
      }
      const stored = this.#options.store.all().find(({ id }) => id === order.id);
      await this.#begin(order, { resume: await this.#resting(order, stored?.have) });
    }
    return found.map(({ order }) => this.#entries.get(order.id)?.download).filter((download) => download !== undefined);
  }

  /** Gives downloads up, running or resting, and removes what has come of them. */
  async cancel(group: string, name: string): Promise<readonly Download[]> {
    const rests = ({ download }: Entry) => !['done', 'cancelled'].includes(download.status().state);
    const found = this.#named(group, name, rests, 'is being downloaded');
    await Promise.all(found.map(({ task }) => task.cancel()));
    return found.map(({ download }) => download);
  }

  /** Fetches what is wrong of a file that lies at its destination. Not taken up after a restart: ask for it again. */
  async repair(order: Omit<DownloadOrder, 'id'>, right: Uint8Array): Promise<Download> {
    await this.#takeOver(order.destination, order.file.file);
    this.#lastRepairId -= 1;
    return this.#begin({ ...order, id: this.#lastRepairId }, { resume: right, inPlace: true });
  }

  /** Running downloads, to compare with what the tracker knows. */
  orders(): readonly DownloadOrder[] {
    return this.#running().map(({ order }) => order);
  }

  /** A file has a new version: a running download of the old one goes on with it, keeping what has not changed. */
  async switchVersion(old: DownloadOrder, file: FileRecord): Promise<void> {
    const entry = this.#entries.get(old.id);
    if (!entry?.task.isActive) return;
    await entry.task.stop();
    entry.download.abandon('there is a new version of the file; it is fetched instead');
    this.#forget(old.id);
    const { group, groupName, destination } = old;
    const id = this.#options.store.add({ group, groupName, file, destination });
    await this.#takeUpOne({ ...old, id, file }, { resume: nothingOf(file), lookInPlace: true });
  }

  /** Takes up the downloads of the last start: those that ran go on, those that rested are listed. */
  async takeUp(): Promise<void> {
    for (const stored of this.#options.store.all()) {
      if (stored.state === 'finished') await this.#checkFinished(stored);
      else {
        const resume = await this.#resting(stored, stored.have);
        if (stored.state === 'running') await this.#takeUpOne(stored, { resume });
        else this.#add(stored, { resume }).rest(stored.state);
      }
    }
  }

  /** Stops all downloads, to be taken up at the next start. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopTicking();
    await Promise.all([...this.#entries.values()].map(({ task }) => task.stop()));
    for (const { download } of this.#entries.values()) {
      download.abandon('the client was closed; the download goes on at its next start');
    }
  }

  #running(): readonly Entry[] {
    return [...this.#entries.values()].filter(({ task }) => task.isActive);
  }

  #named(group: string, name: string, matches: (entry: Entry) => boolean, what: string): readonly Entry[] {
    const found = [...this.#entries.values()].filter(
      (entry) => entry.order.groupName === group && entry.order.file.name === name && matches(entry),
    );
    if (found.length > 0) return found;
    throw new RequestError('no-such-download', `nothing named ${name} of ${group} ${what}`, 'see show_downloads');
  }

  async #takeUpOne(order: DownloadOrder, beginning: Beginning): Promise<void> {
    try {
      await this.#begin(order, beginning);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.#options.logger.warn({ file: order.file.name, reason: error.message }, 'a download could not be taken up');
    }
  }

  /** Pieces to begin with: none where the `.part` is gone. */
  async #resting(order: DownloadOrder, have: Uint8Array | undefined): Promise<Uint8Array | undefined> {
    const hasPart = await exists(`${order.destination}.part`).catch(() => false);
    return hasPart ? (have ?? nothingOf(order.file)) : undefined;
  }

  /**
   * The last start ended after the file got its name and before it was safely on disk. Unless all of it is there, it
   * becomes a `.part` again and is fetched to the end.
   */
  async #checkFinished(stored: StoredDownload): Promise<void> {
    const { engine, store, logger, onLost } = this.#options;
    const isWhole = await engine.checkFinished(stored.file, stored.destination).catch(() => true);
    if (isWhole) {
      store.remove(stored.id);
      return;
    }
    logger.warn({ path: stored.destination }, 'a finished file did not survive the crash whole: fetching the rest');
    onLost(stored);
    await engine.unfinish(stored.destination);
    await this.#takeUpOne(stored, { resume: await this.#resting(stored, undefined) });
  }

  #add(order: DownloadOrder, beginning: Beginning): DownloadTask {
    const { store, onFinished, onChange } = this.#options;
    const task = new DownloadTask(order, {
      ...this.#options,
      ...beginning,
      onFinished: async (stamp) => {
        await onFinished(order, stamp);
        store.update(order.id, 'finished', undefined);
      },
      onSynced: () => store.remove(order.id),
      onCheckpoint: (have) => store.update(order.id, 'running', have),
      onEnded: (how, have) => this.#remember(order.id, how, have),
      onChange: () => {
        download.announce();
        if (!task.isActive) onChange(download);
      },
    });
    const known = this.#entries.get(order.id);
    const download = known && !known.download.isSettled ? known.download : new Download();
    download.attach(task);
    this.#entries.set(order.id, { order, download, task, inPlace: beginning.inPlace === true });
    return task;
  }

  async #begin(order: DownloadOrder, beginning: Beginning): Promise<Download> {
    const task = this.#add(order, beginning);
    this.#options.store.update(order.id, 'running', beginning.resume);
    try {
      await task.start();
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.#options.store.update(order.id, 'failed', beginning.resume);
      task.rest('failed', error);
      throw error;
    }
    const entry = this.#entries.get(order.id);
    if (!entry) throw new RequestError('cancelled', `the download of ${order.file.name} was cancelled`);
    this.#options.onChange(entry.download);
    return entry.download;
  }

  #remember(id: number, how: EndState, have: Uint8Array | undefined): void {
    const { store } = this.#options;
    switch (how) {
      case 'done':
        return;
      case 'cancelled':
        store.remove(id);
        return;
      case 'failed':
        store.update(id, 'failed', have);
        return;
      case 'paused':
        store.update(id, this.#closed ? 'running' : 'paused', have);
        return;
      default:
        how satisfies never;
    }
  }

  #forget(id: number): void {
    this.#options.store.remove(id);
    this.#entries.delete(id);
  }

  #tick(): void {
    for (const { task, download } of this.#running()) {
      task.tick();
      download.announce();
    }
  }

  /** Where a file goes: a directory keeps the file's name. Throws RequestError with what to do. */
  async #judgeDestination(name: string, wish: string): Promise<string> {
    const refusal = fileNameRefusal(name);
    if (refusal) {
      throw new RequestError(
        'bad-name',
        `the tracker names a file "${printable(name)}": ${refusal}`,
        'do not trust it',
      );
    }
    const wished = resolve(wish);
    const isDirectory = wish.endsWith('/') || (await statOf(wished))?.isDirectory() === true;
    const destination = isDirectory ? join(wished, basename(name)) : wished;
    const directory = await statOf(dirname(destination));
    if (!directory?.isDirectory()) {
      throw new RequestError('file-missing', `there is no directory ${dirname(destination)}`, 'make it first');
    }
    if (await exists(destination)) {
      throw new RequestError('destination-exists', `${destination} exists already`, 'choose another destination');
    }
    return destination;
  }

  /** Asking again for what is being downloaded there already goes on with it. Something else there is in the way. */
  async #takeOver(destination: string, file: FileId): Promise<void> {
    const running = this.#running().find(({ order }) => order.destination === destination);
    if (!running) return;
    if (running.order.file.file !== file) {
      throw new RequestError('destination-exists', `${destination} is being downloaded already`, 'see show_downloads');
    }
    await running.task.stop();
    running.download.abandon('it was asked for again');
  }
}

/** A bitmap without a piece: all that the `.part` holds is to be found out. */
function nothingOf(file: FileRecord): Uint8Array {
  return new Bitfield(new PieceTree(file.sizeBytes, file.pieceSizeBytes).pieceCount).toBytes();
}
