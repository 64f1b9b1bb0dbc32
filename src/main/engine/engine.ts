/**
 * The engine: slots, workers and files. It makes Contents: of a file that is shared, or of a `.part` that a download
 * fills. Trees and checksums lie in one directory, named by root, so that equal contents have them in common.
 *
 * A file that is downloaded stands under its own name only once it is complete, and never in place of another.
 */
import { close as closeFd, constants, open as openFd, type Stats } from 'node:fs';
import {
  type FileHandle,
  link,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  truncate,
  unlink,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { Bitfield } from '../../protocol/bitfield.ts';
import { invariant, RequestError } from '../../protocol/errors.ts';
import type { Root } from '../../protocol/ids.ts';
import { DIGEST_BYTES, MIB } from '../../protocol/limits.ts';
import { PieceTree } from '../../protocol/piece-tree.ts';
import { Content, type ContentFiles } from './content.ts';
import { hashFile } from './hash-file.ts';
import { diskError, JobError, WorkerPool } from './pool.ts';
import { Slots } from './slots.ts';

/** What identifies a content, as a tracker's record and the catalog have it. */
export interface ContentFacts {
  readonly root: Root;
  readonly sizeBytes: number;
  readonly pieceSizeBytes: number;
}

/** A file's state when its content was last known to be right. */
export interface FileStamp {
  readonly sizeBytes: number;
  readonly mtimeMs: number;
}

/** Up to here a file is hashed in one task, others beside it. */
export const SMALL_FILE_BYTES_MAX = 16 * MIB;

export class Engine {
  readonly slots: Slots;
  readonly #pool: WorkerPool;
  readonly #treeDirectory: string;

  private constructor(slots: Slots, pool: WorkerPool, treeDirectory: string) {
    this.slots = slots;
    this.#pool = pool;
    this.#treeDirectory = treeDirectory;
  }

  /** Jobs that run at once. */
  get workers(): number {
    return this.#pool.size;
  }

  static async start(options: { workers: number; memoryBytes: number; treeDirectory: string }): Promise<Engine> {
    await mkdir(options.treeDirectory, { recursive: true, mode: 0o700 });
    const slots = new Slots(options.memoryBytes);
    return new Engine(slots, new WorkerPool(options.workers, slots.memory), options.treeDirectory);
  }

  /**
   * Hashes a file and keeps its tree. Throws RequestError when it is missing, unreadable, no regular file, or changes
   * meanwhile.
   */
  async hash(
    path: string,
    pieceSizeBytes: number,
    onProgress: (doneBytes: number, sizeBytes: number) => void,
  ): Promise<ContentFacts & FileStamp> {
    const file = await openRegular(path);
    try {
      const before = await file.stat();
      const tree = new PieceTree(before.size, pieceSizeBytes);
      const { digests, sums } = await hashFile(this.#pool, file.fd, tree, path, onProgress);
      const after = await file.stat();
      if (after.size !== before.size || after.mtimeMs !== before.mtimeMs) throw changedMeanwhile(path);
      const { treeFile, root } = tree.build(digests);
      const facts = { root, sizeBytes: before.size, pieceSizeBytes };
      if (tree.pieceCount > 1) {
        await this.#storeWhole(`${root}.tree`, treeFile);
        await this.#storeWhole(`${root}.sums`, sums);
        await this.#sumUpperLevels(facts, path);
      }
      return { ...facts, mtimeMs: after.mtimeMs };
    } catch (error) {
      throw error instanceof JobError ? diskError(error, path) : error;
    } finally {
      await file.close();
    }
  }

  /**
   * Hashes small files, in as few tasks as they fit. For each path: its facts, or why it can't be shared. Their trees are
   * not safe from a power loss; openShare makes one that is lost anew.
   */
  async hashSmall(
    paths: readonly string[],
    pieceSizeBytes: number,
  ): Promise<readonly ((ContentFacts & FileStamp) | RequestError)[]> {
    const job = { type: 'share', paths, pieceSizeBytes, treeDirectory: this.#treeDirectory } as const;
    const { files } = await this.#pool.run(job);
    return files.map((file, at) => {
      if ('failed' in file) return smallFileRefusal(file.failed, paths[at] ?? '');
      return { ...file.ok, root: file.ok.root as Root, pieceSizeBytes };
    });
  }

  /** Opens a shared file for reading. Throws RequestError when it is not there as it was, or its tree is lost. */
  async openShare(facts: ContentFacts, path: string, stamp: FileStamp): Promise<Content> {
    const found = await openRegular(path);
    try {
      const now = await found.stat();
      if (now.size !== stamp.sizeBytes || now.mtimeMs !== stamp.mtimeMs) throw changedSince(path);
    } finally {
      await found.close();
    }
    await this.#mendTree(facts, path);
    return this.#open(facts, path, constants.O_RDONLY);
  }

  /** The tree of a small file may have been lost with the power: then it is made anew from the file. */
  async #mendTree(facts: ContentFacts, path: string): Promise<void> {
    if (facts.sizeBytes > SMALL_FILE_BYTES_MAX) return;
    const tree = new PieceTree(facts.sizeBytes, facts.pieceSizeBytes);
    if (tree.pieceCount <= 1) return;
    const kept = await readFile(join(this.#treeDirectory, `${facts.root}.tree`)).catch(() => undefined);
    const digests = kept?.subarray(0, tree.filePieceCount * DIGEST_BYTES);
    if (kept?.length === tree.treeFileBytes && digests && tree.build(digests).root === facts.root) return;
    const [made] = await this.hashSmall([path], facts.pieceSizeBytes);
    if (made instanceof RequestError) throw made;
    if (made?.root !== facts.root) throw changedSince(path);
  }

  /** Creates the `.part` of a download. Throws RequestError when it is there already or the disk has no room. */
  async createPart(facts: ContentFacts, partPath: string): Promise<Content> {
    await checkRoom(dirname(partPath), facts.sizeBytes);
    const content = await this.#open(facts, partPath, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL);
    try {
      const part = await open(partPath, 'r+');
      await part.truncate(facts.sizeBytes).finally(() => part.close());
    } catch (error) {
      await content.release();
      await this.discardPart(partPath);
      throw diskError(error, partPath);
    }
    return content;
  }

  /** Opens what is there of a download, or of a file that is to be repaired, for writing; makes it the right size. */
  async openPart(facts: ContentFacts, path: string): Promise<Content> {
    const content = await this.#open(facts, path, constants.O_RDWR);
    try {
      if ((await stat(path)).size !== facts.sizeBytes) await truncate(path, facts.sizeBytes);
    } catch (error) {
      await content.release();
      throw diskError(error, path);
    }
    return content;
  }

  /** Opens a shared file for reading whatever has become of it: only for uses that check each piece. */
  openUnchecked(facts: ContentFacts, path: string): Promise<Content> {
    return this.#open(facts, path, constants.O_RDONLY);
  }

  /** Removes the `.part` of a download that is given up. */
  async discardPart(partPath: string): Promise<void> {
    await rm(partPath, { force: true }).catch((error) => Promise.reject(diskError(error, partPath)));
  }

  /** Gives a complete download its name. Throws RequestError('destination-exists') rather than replace a file. */
  async finish(content: Content, destination: string): Promise<FileStamp> {
    const part = content.path;
    try {
      await link(part, destination);
      await unlink(part);
    } catch (error) {
      // File systems without hard links (FAT, some network shares) answer so; there a look must do.
      if (
        !['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes((error as NodeJS.ErrnoException).code ?? '')
      ) {
        throw diskError(error, destination);
      }
      if (await exists(destination)) throw new RequestError('destination-exists', `${destination} exists already`);
      await rename(part, destination).catch((renameError) => Promise.reject(diskError(renameError, destination)));
    }
    content.path = destination;
    return this.stampOf(destination);
  }

  async stampOf(path: string): Promise<FileStamp> {
    const found = await statOf(path);
    if (!found) throw new RequestError('file-missing', `there is no ${path}`);
    return { sizeBytes: found.size, mtimeMs: found.mtimeMs };
  }

  /** After a crash: whether a finished file is whole. One that its owner has changed since is no longer ours to judge. */
  async checkFinished(facts: ContentFacts, path: string): Promise<boolean> {
    if ((await statOf(path))?.size !== facts.sizeBytes) return true;
    const content = await this.#open(facts, path, constants.O_RDONLY);
    try {
      const known = new Bitfield(content.tree.pieceCount);
      return (await content.verify({ levels: content.tree.levels.toReversed(), known, onlySummed: false })).complete;
    } finally {
      await content.release();
    }
  }

  /** Reads a shared file, all of it: the bits of its right pieces, upper levels included, and its stamp. */
  async check(
    facts: ContentFacts,
    path: string,
    onProgress: (doneBytes: number) => void,
  ): Promise<{ right: Uint8Array; rightFilePieces: number; stamp: FileStamp }> {
    const content = await this.#open(facts, path, constants.O_RDONLY);
    try {
      const { tree } = content;
      const { size, mtimeMs } = await stat(path);
      if (size > facts.sizeBytes) throw grown(path);
      let donePieces = 0;
      const right = await content.verify({
        levels: tree.levels.toReversed(),
        known: new Bitfield(tree.pieceCount),
        onlySummed: false,
        onProgress: (pieces) => {
          donePieces += pieces;
          onProgress(Math.min(facts.sizeBytes, donePieces * facts.pieceSizeBytes));
        },
      });
      let rightFilePieces = 0;
      for (let index = 0; index < tree.filePieceCount; index += 1) if (right.has(index)) rightFilePieces += 1;
      return { right: right.toBytes(), rightFilePieces, stamp: { sizeBytes: size, mtimeMs } };
    } finally {
      await content.release();
    }
  }

  /** Makes a file a `.part` again. */
  async unfinish(path: string): Promise<void> {
    await rename(path, `${path}.part`).catch((error) => Promise.reject(diskError(error, path)));
  }

  /** Removes the tree and checksums of a content that nothing refers to any more. */
  async forget(root: Root): Promise<void> {
    await rm(join(this.#treeDirectory, `${root}.tree`), { force: true });
    await rm(join(this.#treeDirectory, `${root}.sums`), { force: true });
  }

  /** Waits for the jobs under way. */
  close(): Promise<void> {
    return this.#pool.close();
  }

  /** Upper levels are served like the file, so they need their checksums too. */
  async #sumUpperLevels(facts: ContentFacts, path: string): Promise<void> {
    const content = await this.#open(facts, path, constants.O_RDONLY);
    try {
      const { tree } = content;
      const known = new Bitfield(tree.pieceCount);
      const upper = await content.verify({ levels: tree.levels.slice(1), known, onlySummed: false });
      invariant(upper.count === tree.pieceCount - tree.filePieceCount, 'a tree just built holds');
      await content.sync();
    } finally {
      await content.release();
    }
  }

  async #open(facts: ContentFacts, path: string, flags: number): Promise<Content> {
    const tree = new PieceTree(facts.sizeBytes, facts.pieceSizeBytes);
    const opened: number[] = [];
    const openOne = async (file: string, how: number) => {
      const fd = await promisify(openFd)(file, how, 0o666).catch((error) => Promise.reject(diskError(error, file)));
      opened.push(fd);
      return fd;
    };
    try {
      const isSingle = tree.pieceCount <= 1;
      // A share's tree was made when it was shared; a download makes its own as it goes.
      const treeFlags = constants.O_RDWR | (flags === constants.O_RDONLY ? 0 : constants.O_CREAT);
      const files: ContentFiles = {
        fileFd: await openOne(path, flags),
        treeFd: isSingle ? undefined : await openOne(join(this.#treeDirectory, `${facts.root}.tree`), treeFlags),
        sumsFd: isSingle ? undefined : await openOne(join(this.#treeDirectory, `${facts.root}.sums`), treeFlags),
      };
      return new Content(tree, facts.root, path, files, this.#pool);
    } catch (error) {
      for (const fd of opened) await promisify(closeFd)(fd);
      throw error;
    }
  }

  async #storeWhole(name: string, bytes: Uint8Array): Promise<void> {
    const path = join(this.#treeDirectory, name);
    const temporary = `${path}.new`;
    try {
      const file = await open(temporary, 'w', 0o600);
      await file
        .writeFile(bytes)
        .then(() => file.datasync())
        .finally(() => file.close());
      await rename(temporary, path);
    } catch (error) {
      throw diskError(error, path);
    }
  }
}

export async function exists(path: string): Promise<boolean> {
  return (await statOf(path)) !== undefined;
}

/** Undefined when there is nothing. Throws RequestError when the system refuses to look. */
export async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw diskError(error, path);
  }
}

/** Opens a regular file for reading; never waits on a pipe. Throws RequestError. */
async function openRegular(path: string): Promise<FileHandle> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw diskError(error, path);
  }
  const found = await file.stat();
  if (found.isFile()) return file;
  await file.close();
  const what = found.isDirectory() ? 'a directory' : 'no regular file';
  throw new RequestError('not-a-file', `${path} is ${what}`, 'name a single file');
}

/** Throws RequestError('disk-full') when a directory's disk has less room than that. */
export async function checkRoom(directory: string, neededBytes: number): Promise<void> {
  let free: { bavail: number; bsize: number };
  try {
    free = await statfs(directory);
  } catch (error) {
    throw diskError(error, directory);
  }
  const freeBytes = free.bavail * free.bsize;
  if (freeBytes >= neededBytes) return;
  const mib = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  throw new RequestError(
    'disk-full',
    `${directory} has ${mib(freeBytes)} free, the file needs ${mib(neededBytes)}`,
    'make room, or choose a destination on another disk',
  );
}

function smallFileRefusal(failure: { code: string; message: string }, path: string): RequestError {
  if (failure.code === 'ECHANGED') return changedMeanwhile(path);
  if (failure.code === 'ENOTFILE') return new RequestError('not-a-file', `${path} is no regular file`);
  return diskError(failure, path);
}

const changedMeanwhile = (path: string) =>
  new RequestError('file-changed', `${path} changed while it was read`, 'share it again once it is finished');

/** It may hold all its pieces and is still another file: mending it would cut off what somebody has added. */
const grown = (path: string) =>
  new RequestError(
    'file-changed',
    `${path} is longer than it was when it was shared`,
    'share the new version: upload_file --replace',
  );

const changedSince = (path: string) =>
  new RequestError(
    'file-changed',
    `${path} has changed since it was shared`,
    'share the new version: upload_file --replace',
  );
