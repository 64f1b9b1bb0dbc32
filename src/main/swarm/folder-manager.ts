/**
 * All downloads of folders of a client. Each is one Download to its owner; how many files are fetched at once is bounded
 * over all of them. It judges destinations, keeps the store in step so that they survive a restart, and passes on the
 * beat of the clock.
 */
import { basename, dirname, join, resolve } from 'node:path';
import { RequestError } from '../../protocol/errors.ts';
import type { FileId, GroupId } from '../../protocol/ids.ts';
import type { FileRecord } from '../../protocol/messages.ts';
import { fileNameRefusal, isFolderName, printable } from '../../protocol/names.ts';
import { checkRoom, exists, type FileStamp, statOf } from '../engine/engine.ts';
import { makeFolder, removeEmptyFolders, removeUnchanged, syncFile } from '../engine/folder-disk.ts';
import { Download } from './download-handle.ts';
import type { DownloadTask } from './download-task.ts';
import { checkFolder, relativeName } from './folder-files.ts';
import { type FolderFile, type FolderOrder, FolderTask, type FolderTaskOptions } from './folder-task.ts';

const TICK_MS = 100;
/** Files fetched at once, of all folders: enough to hide what each costs before its first byte; fits a link's channels. */
const FILES_AT_ONCE_MAX = 32;
/** Only files as large as this are offered to others before they are whole. */
const SERVED_EARLY_BYTES_MIN = 16 * 2 ** 20;

export type FolderState = 'running' | 'paused' | 'failed' | 'finished';

export interface StoredFolder extends FolderOrder {
  /** finished: all files are there, but not all may be safely on disk yet. */
  readonly state: FolderState;
  readonly files: readonly FolderFile[];
}

export interface FolderStore {
  add(order: Omit<FolderOrder, 'id'>, files: readonly FileRecord[]): number;
  update(id: number, state: FolderState): void;
  /** All in one transaction. */
  note(id: number, files: readonly FolderFile[]): void;
  remove(id: number): void;
  get(id: number): StoredFolder | undefined;
  /** Without their files. */
  orders(): readonly Omit<StoredFolder, 'files'>[];
}

export interface FinishedFile {
  readonly group: GroupId;
  readonly groupName: string;
  readonly file: FileRecord;
  readonly path: string;
  readonly stamp: FileStamp;
}

type OfTask =
  | 'isSuspect'
  | 'tryBegin'
  | 'ended'
  | 'onFinishedFiles'
  | 'onLostFile'
  | 'note'
  | 'onComplete'
  | 'onChange';

export interface FolderManagerOptions extends Omit<FolderTaskOptions, OfTask> {
  readonly store: FolderStore;
  /** Files are whole: remember them as shares. */
  onFinished(files: readonly FinishedFile[]): void;
  /** These files are not there any more: they are no shares. */
  onLost(group: GroupId, files: readonly FileId[]): void;
  /** How a finished file was when it was remembered as a share. */
  stampOf(group: GroupId, file: FileId): FileStamp | undefined;
  /** A download has begun, rests or has ended. */
  onChange(download: Download): void;
}

interface Entry {
  readonly download: Download;
  task: FolderTask;
}

export class FolderManager {
  readonly #options: FolderManagerOptions;
  readonly #entries = new Map<number, Entry>();
  readonly #stopTicking: () => void;
  readonly #checks = new Set<Promise<void>>();
  /** Of the last start: whether their finished files are whole is not known. */
  readonly #suspects = new Set<number>();
  #filesAtOnce = 0;
  #closed = false;

  constructor(options: FolderManagerOptions) {
    this.#options = options;
    this.#stopTicking = options.clock.every(TICK_MS, () => this.#tick());
  }

  list(): readonly Download[] {
    return [...this.#entries.values()].map(({ download }) => download);
  }

  /** Whether there is a folder download of that name, for pausing and the like. */
  knows(group: string, name: string): boolean {
    return this.#named(group, name).length > 0;
  }

  /** The task that is fetching a file, for serving what it has so far. */
  running(group: GroupId, file: FileId): DownloadTask | undefined {
    for (const { task } of this.#entries.values()) {
      if (task.order.group !== group) continue;
      const found = task.running().find(({ order }) => order.file.file === file);
      if (found) return found;
    }
    return undefined;
  }

  /** Large files that are being fetched. */
  runningFiles(): readonly { readonly group: GroupId; readonly file: FileId }[] {
    return [...this.#entries.values()]
      .flatMap(({ task }) => task.running())
      .filter(({ order }) => order.file.sizeBytes >= SERVED_EARLY_BYTES_MIN)
      .map(({ order }) => ({ group: order.group, file: order.file.file }));
  }

  /** Goes on with a download of this folder to this very place. Undefined when there is none. */
  async takeUpAt(groupName: string, name: string, wish: string): Promise<Download | undefined> {
    const wished = resolve(wish);
    const isHere = ({ destination }: FolderOrder) => [wished, join(wished, basename(name))].includes(destination);
    const stored = this.#options.store
      .orders()
      .find((order) => order.groupName === groupName && order.name === name && isHere(order));
    if (!stored || stored.state === 'finished') return undefined;
    const entry = this.#entries.get(stored.id);
    if (entry?.task.isActive) {
      await entry.task.stop();
      entry.download.abandon('it was asked for again');
    }
    return this.#resume(stored.id);
  }

  /** Begins a download; resolves when it runs. Rejects with RequestError when it can't begin. */
  async start(order: Omit<FolderOrder, 'id'>, listing: readonly FileRecord[]): Promise<Download> {
    const { files } = checkFolder(order.name, listing);
    const destination = await judgeDestination(order.name, order.destination);
    await checkRoom(
      dirname(destination),
      files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    );
    await makeFolder(destination);
    const id = this.#options.store.add({ ...order, destination }, listing);
    return this.#resume(id);
  }

  async pause(group: string, name: string): Promise<readonly Download[]> {
    const found = this.#matching(group, name, ({ task }) => task.isActive, 'is being downloaded');
    for (const { task } of found) {
      await task.stop();
      this.#options.store.update(task.order.id, 'paused');
    }
    return found.map(({ download }) => download);
  }

  async resume(group: string, name: string): Promise<readonly Download[]> {
    const rests = ({ task }: Entry) => ['paused', 'failed'].includes(task.status().state);
    const found = this.#matching(group, name, rests, 'is paused or has failed');
    const resumed: Download[] = [];
    for (const { task } of found) resumed.push(await this.#resume(task.order.id));
    return resumed;
  }

  /** Gives downloads up, and removes what has come of them. */
  async cancel(group: string, name: string): Promise<readonly Download[]> {
    const rests = ({ task }: Entry) => !['done', 'cancelled'].includes(task.status().state);
    const found = this.#matching(group, name, rests, 'is being downloaded');
    for (const { task } of found) {
      await task.cancel();
      await this.#removeAll(task);
      this.#options.store.remove(task.order.id);
    }
    return found.map(({ download }) => download);
  }

  /** Takes up the downloads of the last start. */
  async takeUp(): Promise<void> {
    for (const { id, state } of this.#options.store.orders()) {
      this.#suspects.add(id);
      if (state === 'finished') this.#follow(this.#checkFinished(id));
      else if (state === 'running') await this.#resume(id).catch(() => undefined);
      else this.#add(id)?.task.rest(state);
    }
  }

  /** Stops all downloads, to be taken up at the next start. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopTicking();
    await Promise.all([...this.#entries.values()].map(({ task }) => task.stop()));
    await Promise.all(this.#checks);
    for (const { download } of this.#entries.values()) {
      download.abandon('the client was closed; the download goes on at its next start');
    }
  }

  #named(group: string, name: string): readonly Entry[] {
    const bare = isFolderName(name) ? name.slice(0, -1) : name;
    return [...this.#entries.values()].filter(({ task }) => task.order.groupName === group && task.order.name === bare);
  }

  #matching(group: string, name: string, matches: (entry: Entry) => boolean, what: string): readonly Entry[] {
    const found = this.#named(group, name).filter(matches);
    if (found.length > 0) return found;
    throw new RequestError('no-such-download', `nothing named ${name} of ${group} ${what}`, 'see show_downloads');
  }

  async #resume(id: number): Promise<Download> {
    const entry = this.#add(id);
    this.#suspects.delete(id);
    if (!entry) throw new RequestError('no-such-download', 'this download is not known any more', 'see show_downloads');
    const { download, task } = entry;
    this.#options.store.update(id, 'running');
    try {
      await task.start();
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.#options.store.update(id, 'failed');
      task.rest('failed', error);
      throw error;
    }
    this.#options.onChange(download);
    return download;
  }

  #add(id: number): Entry | undefined {
    const { store, onFinished, onLost, onChange } = this.#options;
    const stored = store.get(id);
    if (!stored) return undefined;
    const { group, groupName, name, destination } = stored;
    const task: FolderTask = new FolderTask({ id, group, groupName, name, destination }, stored.files, {
      ...this.#options,
      isSuspect: this.#suspects.has(id),
      tryBegin: () => this.#tryBegin(),
      ended: () => this.#fileEnded(),
      onFinishedFiles: (files) => onFinished(files.map((file) => ({ ...file, group, groupName }))),
      onLostFile: ({ file }) => onLost(group, [file]),
      note: (files) => store.note(id, files),
      onComplete: (isSafe) => (isSafe ? store.remove(id) : store.update(id, 'finished')),
      onChange: () => {
        download.announce();
        if (task.status().state === 'failed') store.update(id, 'failed');
        if (!task.isActive) onChange(download);
      },
    });
    const known = this.#entries.get(id);
    const download = known && !known.download.isSettled ? known.download : new Download();
    download.attach(task);
    const entry = { download, task };
    this.#entries.set(id, entry);
    return entry;
  }

  #tryBegin(): boolean {
    if (this.#closed || this.#filesAtOnce >= FILES_AT_ONCE_MAX) return false;
    this.#filesAtOnce += 1;
    return true;
  }

  #fileEnded(): void {
    this.#filesAtOnce -= 1;
    for (const { task } of this.#entries.values()) task.pump();
  }

  #tick(): void {
    for (const { task, download } of this.#entries.values()) {
      if (!task.isActive) continue;
      task.tick();
      download.announce();
    }
  }

  /** The last start ended after all files were there and before all were safely on disk. */
  async #checkFinished(id: number): Promise<void> {
    const { engine, store } = this.#options;
    for (const { file, state } of store.get(id)?.files ?? []) {
      if (this.#closed) return;
      if (state === 'safe' || isFolderName(file.name)) continue;
      const stored = store.orders().find((order) => order.id === id);
      const path = join(stored?.destination ?? '', relativeName(stored?.name ?? '', file.name));
      if (await engine.checkFinished(file, path).catch(() => true)) await syncFile(path).catch(() => {});
      else {
        await this.#resume(id).catch(() => undefined);
        return;
      }
    }
    store.remove(id);
  }

  #follow(check: Promise<void>): void {
    this.#checks.add(check);
    void check.finally(() => this.#checks.delete(check));
  }

  /** What the download made: its `.part`s, its files unless they were changed since, and folders that are empty then. */
  async #removeAll(task: FolderTask): Promise<void> {
    const { engine, store, stampOf, onLost } = this.#options;
    const { id, group, name, destination } = task.order;
    const gone: FileId[] = [];
    for (const { file, state } of store.get(id)?.files ?? []) {
      if (isFolderName(file.name)) continue;
      const path = join(destination, relativeName(name, file.name));
      if (state === 'open') {
        if (await exists(`${path}.part`).catch(() => false)) await engine.discardPart(`${path}.part`);
        continue;
      }
      const stamp = stampOf(group, file.file);
      if (stamp) await removeUnchanged(path, stamp);
      gone.push(file.file);
    }
    onLost(group, gone);
    await removeEmptyFolders(destination, task.folders);
  }
}

/** Where a folder goes: into a directory that is there, under its own name, or to a new place. */
async function judgeDestination(name: string, wish: string): Promise<string> {
  const refusal = fileNameRefusal(name);
  if (refusal) throw new RequestError('bad-name', `"${printable(name)}" is no name of a folder: ${refusal}`);
  const wished = resolve(wish);
  const isDirectory = wish.endsWith('/') || (await statOf(wished))?.isDirectory() === true;
  const destination = isDirectory ? join(wished, basename(name)) : wished;
  if (!(await statOf(dirname(destination)))?.isDirectory()) {
    throw new RequestError('file-missing', `there is no directory ${dirname(destination)}`, 'make it first');
  }
  if (await exists(destination)) {
    throw new RequestError('destination-exists', `${destination} exists already`, 'choose another destination');
  }
  return destination;
}
