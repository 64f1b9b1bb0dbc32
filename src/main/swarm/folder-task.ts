/**
 * One download of a folder under way: a queue of its files, of which a bounded number is fetched at once, each by a
 * DownloadTask. To its owner it is one download: sizes, pieces and peers are added up, and pausing, failing and giving
 * up concern all of it. What has become of each file is gathered and stored a few times a second, not one by one.
 */
import { join } from 'node:path';
import { Bitfield } from '../../protocol/bitfield.ts';
import { RequestError } from '../../protocol/errors.ts';
import type { GroupId } from '../../protocol/ids.ts';
import type { FileRecord } from '../../protocol/messages.ts';
import { foldersOf } from '../../protocol/names.ts';
import { PieceTree } from '../../protocol/piece-tree.ts';
import { exists, type FileStamp, SMALL_FILE_BYTES_MAX } from '../engine/engine.ts';
import { ensureFolder, syncFile } from '../engine/folder-disk.ts';
import { DownloadTask, type EndState, type TaskOptions } from './download-task.ts';
import { checkFolder, relativeName, turnsOf } from './folder-files.ts';
import { FolderProgress } from './folder-progress.ts';
import type { DownloadState, DownloadStatus } from './status.ts';

/** What is gathered is stored so often. */
const NOTE_MS = 250;
/** A file without a peer makes room for another after so long. */
const WAITING_MS_MAX = 3_000;

export interface FolderOrder {
  readonly id: number;
  readonly group: GroupId;
  readonly groupName: string;
  /** The folder's name in the group. */
  readonly name: string;
  readonly destination: string;
}

/** open: not there yet. finished: under its name, but perhaps not safely on disk. safe: that too. */
export interface FolderFile {
  readonly file: FileRecord;
  readonly state: 'open' | 'finished' | 'safe';
  /** Pieces of an open file that are safely in its `.part`. */
  readonly have: Uint8Array | undefined;
}

export interface FolderTaskOptions
  extends Omit<TaskOptions, 'resume' | 'onFinished' | 'onCheckpoint' | 'onSynced' | 'onEnded' | 'onChange'> {
  /** Whether the last start may have ended with finished files that are not whole: they are looked at again. */
  readonly isSuspect: boolean;
  /** Room for one more file among all that are fetched at once. */
  tryBegin(): boolean;
  /** The room is free again. */
  ended(): void;
  /** These files stand under their names: remember them as shares. */
  onFinishedFiles(
    files: readonly { readonly file: FileRecord; readonly path: string; readonly stamp: FileStamp }[],
  ): void;
  /** A finished file did not survive a crash whole. */
  onLostFile(file: FileRecord): void;
  /** Stores what has become of files. */
  note(files: readonly FolderFile[]): void;
  /** Everything is there; `isSafe`: and safely on disk. */
  onComplete(isSafe: boolean): void;
  onChange(): void;
}

interface Child {
  readonly file: FileRecord;
  readonly path: string;
  readonly turn: number;
  state: FolderFile['state'];
  have: Uint8Array | undefined;
  task: DownloadTask | undefined;
  waitingSinceMs: number | undefined;
  /** It is being stopped to make room for another. */
  isYielding: boolean;
}

export class FolderTask {
  readonly order: FolderOrder;
  readonly done: Promise<void>;
  readonly #options: FolderTaskOptions;
  readonly #progress: FolderProgress;
  readonly #settle: { resolve(): void; reject(error: RequestError): void };
  readonly #folders: readonly string[];
  readonly #madeFolders = new Map<string, Promise<void>>();
  /** Next comes the last. */
  readonly #queue: Child[];
  readonly #active = new Set<Child>();
  readonly #runs = new Set<Promise<void>>();
  #turn = 0;
  #openCount: number;
  /** What has changed since it was last stored. */
  #changed = new Set<Child>();
  #finished: { file: FileRecord; path: string; stamp: FileStamp }[] = [];
  #notedMs = 0;
  #unsynced: Child[] = [];
  #syncing: Promise<void> | undefined;
  /** Large files whose own tasks still sync them. */
  #syncingLarge = 0;
  #isUnsafe = false;
  #isHalted = false;
  #ended: EndState | undefined;
  #error: RequestError | undefined;
  #concluded: Promise<void> | undefined;

  /** Throws RequestError('bad-name') when the files' names can't be right. */
  constructor(order: FolderOrder, files: readonly FolderFile[], options: FolderTaskOptions) {
    this.order = order;
    this.#options = options;
    const contents = checkFolder(
      order.name,
      files.map(({ file }) => file),
    );
    this.#folders = contents.folders;
    const turn = turnsOf(contents.files);
    const regular = new Set(contents.files);
    const children = files
      .filter(({ file }) => regular.has(file))
      .map(
        ({ file, state, have }): Child => ({
          file,
          path: join(order.destination, relativeName(order.name, file.name)),
          turn: turn(file),
          state,
          have,
          task: undefined,
          waitingSinceMs: undefined,
          isYielding: false,
        }),
      );
    this.#progress = new FolderProgress(contents.files, options.clock.monotonicMs());
    const toDo = children.filter(({ state }) => state === 'open' || (state === 'finished' && options.isSuspect));
    this.#queue = toDo.sort((a, b) => b.turn - a.turn || (a.file.name < b.file.name ? 1 : -1));
    this.#openCount = toDo.length;
    const pending = new Set(toDo);
    for (const child of children) {
      // One that is looked at again counts as there until then.
      if (pending.has(child)) this.#progress.rests(child.file, child.state === 'open' ? child.have : allOf(child.file));
      else this.#progress.finished(child.file, []);
      if (child.state === 'finished' && !options.isSuspect) this.#unsynced.push(child);
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.done = promise;
    this.#settle = { resolve, reject };
    this.done.catch(() => {});
  }

  get isActive(): boolean {
    return this.#ended === undefined;
  }

  get folders(): readonly string[] {
    return this.#folders;
  }

  /** Files being fetched, for serving what there is of them. */
  running(): readonly DownloadTask[] {
    return [...this.#active].map(({ task }) => task).filter((task) => task !== undefined);
  }

  /** Makes the folders and begins. Rejects with RequestError when it can't. */
  async start(): Promise<void> {
    for (const folder of ['', ...this.#folders]) await this.#ensure(folder);
    if (this.#openCount === 0) this.#complete();
    this.pump();
  }

  /** Begins as many files as there is room for. */
  pump(): void {
    while (!this.#ended) {
      const next = this.#queue.at(-1);
      if (!next || (this.#active.size > 0 && next.turn > this.#turn) || !this.#options.tryBegin()) return;
      this.#queue.pop();
      this.#turn = next.turn;
      this.#active.add(next);
      const run: Promise<void> = this.#run(next).finally(() => this.#runs.delete(run));
      this.#runs.add(run);
    }
  }

  tick(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const child of this.#active) {
      child.task?.tick();
      this.#rotate(child, nowMs);
    }
    this.#progress.sample(nowMs, this.running());
    if (nowMs - this.#notedMs >= NOTE_MS) this.#note(nowMs);
  }

  /** Stops for now, keeping what is there; resolves when nothing is in flight. */
  async stop(): Promise<void> {
    this.#isHalted = true;
    await this.#conclude('paused', new RequestError('cancelled', `${this.order.name} is paused`));
    await this.#syncing;
  }

  /** Ends it for good; what has come of it is the caller's to remove. */
  async cancel(): Promise<void> {
    this.#isHalted = true;
    const error = new RequestError('cancelled', `the download of ${this.order.name} was cancelled`);
    await this.#conclude('cancelled', error);
    this.#ended = 'cancelled';
    await this.#syncing;
    this.#settle.reject(error);
    this.#options.onChange();
  }

  /** Never started: rests as it did when the client ended. */
  rest(state: 'paused' | 'failed', error?: RequestError): void {
    this.#ended = state;
    if (state === 'failed') {
      this.#error = error ?? new RequestError('cancelled', 'it failed before; resume_download tries again');
    }
    this.#progress.end(this.#options.clock.monotonicMs());
  }

  status(): DownloadStatus {
    const { id, groupName: group, name, destination } = this.order;
    const progress = this.#progress.status(
      this.#options.clock.monotonicMs(),
      this.running(),
      this.#ended !== undefined,
    );
    return { id, group, name, destination, state: this.#state(), error: this.#error, ...progress };
  }

  #state(): DownloadState {
    if (this.#ended) return this.#ended;
    const states = this.running().map((task) => task.status().state);
    if (states.length === 0 || states.includes('running') || states.includes('done')) return 'running';
    return states.includes('starting') ? 'starting' : 'waiting';
  }

  async #run(child: Child): Promise<void> {
    try {
      if (child.state === 'finished' && (await this.#isWhole(child))) this.#childDone(child, undefined, undefined);
      else await this.#fetch(child);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      if (!this.#ended && child.task?.status().state !== 'paused')
        void this.#conclude('failed', this.#about(child, error));
    }
    child.task = undefined;
    this.#active.delete(child);
    if (child.isYielding && child.state === 'open') this.#requeue(child);
    this.#options.ended();
    if (this.#openCount === 0) this.#complete();
  }

  async #fetch(child: Child): Promise<void> {
    const { file, path } = child;
    await this.#ensure([...foldersOf(relativeName(this.order.name, file.name))].at(-1) ?? '');
    // What a crash left under its name before it was stored that it is there.
    if (this.#options.isSuspect && !(await exists(`${path}.part`)) && (await this.#isThere(child))) return;
    const isSmall = file.sizeBytes <= SMALL_FILE_BYTES_MAX;
    const resume = (await exists(`${path}.part`)) ? (child.have ?? nothingOf(file)) : undefined;
    if (this.#ended) return;
    const { group, groupName, id } = this.order;
    let stamp: FileStamp | undefined;
    const task = new DownloadTask(
      { id, group, groupName, file, destination: path },
      {
        ...this.#options,
        resume,
        syncsLater: isSmall,
        onFinished: async (found) => {
          stamp = found;
        },
        onCheckpoint: (have) => this.#changes(child, have),
        onSynced: () => {
          if (!isSmall) this.#largeIsSafe(child);
        },
        onEnded: (_how, have) => this.#changes(child, have),
        onChange: () => {},
      },
    );
    child.task = task;
    await task.start();
    await task.done;
    if (stamp) this.#childDone(child, stamp, task.status());
  }

  /** A file of the right size and content stands there already. */
  async #isThere(child: Child): Promise<boolean> {
    const { engine } = this.#options;
    const stamp = await engine.stampOf(child.path).catch(() => undefined);
    if (stamp?.sizeBytes !== child.file.sizeBytes || !(await engine.checkFinished(child.file, child.path)))
      return false;
    this.#childDone(child, stamp, undefined);
    return true;
  }

  /** Unless a finished file is whole, it becomes a `.part` again. */
  async #isWhole(child: Child): Promise<boolean> {
    const { engine, onLostFile } = this.#options;
    if (await engine.checkFinished(child.file, child.path).catch(() => true)) return true;
    onLostFile(child.file);
    await engine.unfinish(child.path);
    child.state = 'open';
    this.#changes(child, undefined);
    return false;
  }

  #childDone(child: Child, stamp: FileStamp | undefined, status: DownloadStatus | undefined): void {
    this.#openCount -= 1;
    this.#progress.finished(child.file, status?.peers ?? [], status);
    if (stamp) this.#finished.push({ file: child.file, path: child.path, stamp });
    child.state = 'finished';
    this.#changes(child, undefined);
    if (child.file.sizeBytes > SMALL_FILE_BYTES_MAX && child.task) this.#syncingLarge += 1;
    else this.#unsynced.push(child);
    this.#startSyncing();
  }

  #largeIsSafe(child: Child): void {
    this.#syncingLarge -= 1;
    child.state = 'safe';
    this.#changed.add(child);
    this.#startSyncing();
  }

  #changes(child: Child, have: Uint8Array | undefined): void {
    child.have = have;
    if (child.state === 'open') this.#progress.rests(child.file, have);
    this.#changed.add(child);
  }

  /** A file that nobody serves now goes back into the queue, when others wait for its room. */
  #rotate(child: Child, nowMs: number): void {
    const isWaiting = this.#queue.length > 0 && !child.isYielding && child.task?.status().state === 'waiting';
    if (!isWaiting) {
      child.waitingSinceMs = undefined;
      return;
    }
    child.waitingSinceMs ??= nowMs;
    if (nowMs - child.waitingSinceMs < WAITING_MS_MAX) return;
    child.waitingSinceMs = undefined;
    child.isYielding = true;
    void child.task?.stop();
  }

  /** Behind the others of its turn. */
  #requeue(child: Child): void {
    child.isYielding = false;
    const behind = this.#queue.findIndex(({ turn }) => turn <= child.turn);
    this.#queue.splice(behind === -1 ? this.#queue.length : behind, 0, child);
  }

  #startSyncing(): void {
    if (this.#syncing || this.#isHalted) return;
    this.#syncing = this.#sync().then(() => {
      this.#syncing = undefined;
      if (this.#unsynced.length > 0) this.#startSyncing();
      else if (this.#ended === 'done' && this.#syncingLarge === 0 && !this.#isHalted) {
        this.#note(this.#options.clock.monotonicMs());
        if (!this.#isUnsafe) this.#options.onComplete(true);
      }
    });
  }

  /** Makes finished files safe from a power loss, one after the other, beside the download. */
  async #sync(): Promise<void> {
    while (!this.#isHalted) {
      const child = this.#unsynced.pop();
      if (!child) return;
      try {
        await syncFile(child.path);
        child.state = 'safe';
        this.#changed.add(child);
      } catch (error) {
        if (!(error instanceof RequestError)) throw error;
        this.#isUnsafe = true;
      }
    }
  }

  #note(nowMs: number): void {
    this.#notedMs = nowMs;
    const finished = this.#finished;
    const changed = [...this.#changed];
    this.#finished = [];
    this.#changed = new Set();
    // Shares first: what is stored as finished is not looked at again.
    if (finished.length > 0) this.#options.onFinishedFiles(finished);
    if (changed.length > 0) this.#options.note(changed);
  }

  #complete(): void {
    if (this.#ended || this.#openCount > 0) return;
    const nowMs = this.#options.clock.monotonicMs();
    this.#ended = 'done';
    this.#progress.end(nowMs);
    this.#note(nowMs);
    this.#options.onComplete(false);
    this.#settle.resolve();
    this.#options.onChange();
    this.#startSyncing();
  }

  #conclude(how: Exclude<EndState, 'done'>, error: RequestError): Promise<void> {
    if (!this.#ended) this.#concluded = this.#end(how, error);
    // One that is whole may still be made safe.
    return this.#concluded ?? Promise.resolve();
  }

  async #end(how: Exclude<EndState, 'done'>, error: RequestError): Promise<void> {
    this.#isHalted = true;
    this.#ended = how;
    this.#error = how === 'failed' ? error : undefined;
    const nowMs = this.#options.clock.monotonicMs();
    this.#progress.end(nowMs);
    await Promise.all([...this.#active].map(({ task }) => (how === 'cancelled' ? task?.cancel() : task?.stop())));
    await Promise.all(this.#runs);
    await this.#syncing;
    this.#note(nowMs);
    if (how === 'cancelled') return;
    this.#settle.reject(error);
    this.#options.onChange();
  }

  #ensure(folder: string): Promise<void> {
    const made = this.#madeFolders.get(folder) ?? ensureFolder(this.order.destination, folder);
    this.#madeFolders.set(folder, made);
    return made;
  }

  #about(child: Child, error: RequestError): RequestError {
    return new RequestError(error.code, `${child.file.name}: ${error.message}`, error.hint);
  }
}

function allOf(file: FileRecord): Uint8Array {
  return Bitfield.full(new PieceTree(file.sizeBytes, file.pieceSizeBytes).pieceCount).toBytes();
}

/** A bitmap without a piece: all that the `.part` holds is to be found out. */
function nothingOf(file: FileRecord): Uint8Array {
  return new Bitfield(new PieceTree(file.sizeBytes, file.pieceSizeBytes).pieceCount).toBytes();
}
