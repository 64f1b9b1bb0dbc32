/**
 * Content: one file on disk together with its piece tree and checksums, all three open. It is the only holder of these
 * descriptors, and closes them when nobody holds it and nothing is in flight. Pieces go in verified (`keep`) and come out checked
 * (`read`); the tree's upper levels are pieces like any other, kept in the tree file.
 */
import { close as closeFd, fdatasync } from 'node:fs';
import { promisify } from 'node:util';
import { Bitfield } from '../../protocol/bitfield.ts';
import { invariant } from '../../protocol/errors.ts';
import type { Root } from '../../protocol/ids.ts';
import { MIB } from '../../protocol/limits.ts';
import type { Level, PieceTree } from '../../protocol/piece-tree.ts';
import type { PiecePairs, TreeFiles } from '../../workers/jobs.ts';
import { Lane } from './lane.ts';
import { diskError, JobError, settleAll, type WorkerPool } from './pool.ts';
import type { Slot } from './slots.ts';

/** Few pieces of the default size a job, so that slots come back soon; many small ones. */
const BATCH_BYTES_MAX = 2 * MIB;
/** One job of looking through the disk: short enough to stop after, long enough to be worth a task. */
const VERIFY_BYTES_MAX = 128 * MIB;
const VERIFY_PIECES_MAX = 8192;

/** A file of one piece has neither tree nor checksums. */
export interface ContentFiles {
  readonly fileFd: number;
  readonly treeFd: number | undefined;
  readonly sumsFd: number | undefined;
}

interface PieceInSlot {
  readonly index: number;
  readonly slot: Slot;
}

export class Content {
  readonly tree: PieceTree;
  readonly root: Root;
  /** Where the file lies now; for messages. */
  path: string;
  readonly #files: ContentFiles;
  readonly #treeFiles: TreeFiles;
  readonly #pool: WorkerPool;
  readonly #keepLane: Lane<PieceInSlot>;
  readonly #readLane: Lane<PieceInSlot>;
  #holders = 1;
  #inFlight = 0;
  #idle: (() => void)[] = [];

  constructor(tree: PieceTree, root: Root, path: string, files: ContentFiles, pool: WorkerPool) {
    this.tree = tree;
    this.root = root;
    this.path = path;
    this.#files = files;
    this.#pool = pool;
    this.#treeFiles = {
      treeFd: files.treeFd,
      sumsFd: files.sumsFd,
      pieceCount: tree.pieceCount,
      sizeBytes: tree.sizeBytes,
      pieceSizeBytes: tree.pieceSizeBytes,
      root,
    };
    const job = (type: 'keep' | 'read') => async (batch: readonly PieceInSlot[]) => {
      const pieces = Float64Array.from(batch.flatMap(({ index, slot }) => [index, slot.offset]));
      const { right } = await pool.run({ type, tree: this.#treeFiles, fileFd: files.fileFd, pieces });
      return right;
    };
    this.#keepLane = new Lane(job('keep'), { jobsMax: 1, batchBytesMax: BATCH_BYTES_MAX });
    this.#readLane = new Lane(job('read'), { jobsMax: pool.size, batchBytesMax: BATCH_BYTES_MAX });
  }

  /**
   * Checks the piece that the slot holds, and writes it if it is right. Resolves with whether it was; the slot is the
   * caller's again. Rejects with RequestError of kind disk.
   */
  keep(index: number, slot: Slot): Promise<boolean> {
    return this.#through(this.#keepLane, index, slot);
  }

  /** Reads a piece into the slot. False: the disk no longer holds it as it was verified. Rejects like keep. */
  read(index: number, slot: Slot): Promise<boolean> {
    return this.#through(this.#readLane, index, slot);
  }

  /**
   * Looks through the disk, level by level in the order given: which pieces hold against the tree. Those in `known` are
   * not read; with `onlySummed`, nor are those that were never kept.
   */
  async verify(options: {
    levels: readonly Level[];
    known: Bitfield;
    onlySummed: boolean;
    onProgress?: (pieces: number) => void;
  }): Promise<Bitfield> {
    const right = new Bitfield(this.tree.pieceCount);
    for (const level of options.levels) {
      await this.#guarded(() => this.#verifyLevel(level, options.known, options.onlySummed, right, options.onProgress));
    }
    return right;
  }

  async #verifyLevel(
    { firstIndex, pieceCount }: Level,
    known: Bitfield,
    onlySummed: boolean,
    right: Bitfield,
    onProgress: ((pieces: number) => void) | undefined,
  ): Promise<void> {
    const stretch = Math.max(1, Math.min(VERIFY_PIECES_MAX, Math.floor(VERIFY_BYTES_MAX / this.tree.pieceSizeBytes)));
    const end = firstIndex + pieceCount;
    let next = firstIndex;
    const job = { type: 'verify', tree: this.#treeFiles, fileFd: this.#files.fileFd, onlySummed } as const;
    const worker = async () => {
      while (next < end) {
        const first = next;
        const count = Math.min(stretch, end - first);
        next += count;
        const flags = Uint8Array.from({ length: count }, (_, at) => (known.has(first + at) ? 1 : 0));
        const answer = await this.#pool.run({ ...job, firstIndex: first, count, known: flags });
        for (let at = 0; at < count; at += 1) if (answer.right[at]) right.set(first + at);
        onProgress?.(count);
      }
    };
    await settleAll(Array.from({ length: this.#pool.size }, worker));
  }

  /** Pieces of this file that another has too, by their digests; both files' level 1 must be whole. */
  match(source: Content): Promise<PiecePairs> {
    const { tree } = this;
    if (tree.pieceSizeBytes !== source.tree.pieceSizeBytes) return Promise.resolve(new Uint32Array());
    // The digest of a lone piece is in no tree file, but then its root says the same.
    if (this.root === source.root && tree.filePieceCount === 1) return Promise.resolve(Uint32Array.of(0, 0));
    const { treeFd } = this.#files;
    const { treeFd: sourceTreeFd } = source.#files;
    if (treeFd === undefined || sourceTreeFd === undefined) return Promise.resolve(new Uint32Array());
    return this.#withBoth(source, async () => {
      const { pairs } = await this.#pool.run({
        type: 'match',
        treeFd,
        pieceCount: tree.filePieceCount,
        sourceTreeFd,
        sourcePieceCount: source.tree.filePieceCount,
      });
      return pairs;
    });
  }

  /** Copies pieces that match() found, each checked on the way. For each pair: 1 when the piece is written now. */
  copy(source: Content, pairs: PiecePairs): Promise<Uint8Array> {
    return this.#withBoth(source, async () => {
      const { fileFd } = this.#files;
      const job = { type: 'copy', tree: this.#treeFiles, fileFd, sourceFd: source.#files.fileFd, pairs } as const;
      return (await this.#pool.run(job)).right;
    });
  }

  #withBoth<T>(source: Content, task: () => Promise<T>): Promise<T> {
    return source.#guarded(() => this.#guarded(task));
  }

  /** Returns when what was kept so far survives a power loss. */
  async sync(): Promise<void> {
    // On libuv's own threads: a worker that waits for the disk verifies nothing meanwhile.
    await this.#guarded(async () => {
      for (const fd of this.#descriptors()) await promisify(fdatasync)(fd);
    });
  }

  /** One more holder; each says release() once. The first is who opened it. */
  retain(): void {
    invariant(this.#holders > 0, 'an open content is used');
    this.#holders += 1;
  }

  /** When the last holder has released it, waits for what is in flight and closes the files. */
  async release(): Promise<void> {
    invariant(this.#holders > 0, 'a content is released once by each holder');
    this.#holders -= 1;
    if (this.#holders > 0) return;
    if (this.#inFlight > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
    for (const fd of this.#descriptors()) await promisify(closeFd)(fd);
  }

  #descriptors(): readonly number[] {
    const { fileFd, treeFd, sumsFd } = this.#files;
    return [fileFd, treeFd, sumsFd].filter((fd) => fd !== undefined);
  }

  #through(lane: Lane<PieceInSlot>, index: number, slot: Slot): Promise<boolean> {
    return this.#guarded(() => lane.add({ index, slot }, this.tree.place(index).lengthBytes));
  }

  async #guarded<T>(task: () => Promise<T>): Promise<T> {
    invariant(this.#holders > 0, 'an open content is used');
    this.#inFlight += 1;
    try {
      return await task();
    } catch (error) {
      throw this.#explained(error);
    } finally {
      this.#inFlight -= 1;
      if (this.#inFlight === 0) {
        for (const resolve of this.#idle) resolve();
        this.#idle = [];
      }
    }
  }

  #explained(error: unknown): unknown {
    return error instanceof JobError || isSystemError(error) ? diskError(error, this.path) : error;
  }
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === 'string';
}
