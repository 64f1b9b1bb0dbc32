/**
 * Many small files hashed in one job, since a task and the calls around it would cost more than the bytes: each is opened,
 * read, cut into its piece tree, and looked at again to see that it did not change. Its tree and checksums are written
 * to the tree directory, but not synced: whoever opens them later checks them, and makes them anew from the file.
 */
import { closeSync, constants, fstatSync, openSync, renameSync, type Stats, writeFileSync } from 'node:fs';
import { threadId } from 'node:worker_threads';
import { CHECKSUM_BYTES } from '../protocol/limits.ts';
import { PieceTree } from '../protocol/piece-tree.ts';
import type { Job, JobFailure, Results, SmallFile } from './jobs.ts';

type ShareJob = Extract<Job, { type: 'share' }>;

/** What the worker has at hand for hashing. */
export interface Hashing {
  hash(fd: number, positionBytes: number, lengthBytes: number, pieceSizeBytes: number): Results['hash'];
  sum(bytes: Uint8Array): bigint;
}

export function shareFiles(job: ShareJob, hashing: Hashing): Results['share'] {
  return {
    files: job.paths.map((path) => {
      try {
        return shareOne(path, job, hashing);
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        if (typeof code !== 'string') throw error;
        return { failed: { code, message } };
      }
    }),
  };
}

function shareOne(path: string, job: ShareJob, hashing: Hashing): { ok: SmallFile } | { failed: JobFailure } {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  try {
    const before = fstatSync(fd);
    if (!before.isFile()) return { failed: { code: 'ENOTFILE', message: 'no regular file' } };
    const { size: sizeBytes, mtimeMs } = before;
    const tree = new PieceTree(sizeBytes, job.pieceSizeBytes);
    const { digests, sums } = hashing.hash(fd, 0, sizeBytes, job.pieceSizeBytes);
    if (sums.length !== tree.filePieceCount * CHECKSUM_BYTES || !isSame(before, fstatSync(fd))) {
      return { failed: { code: 'ECHANGED', message: 'it changed while it was read' } };
    }
    const { treeFile, root } = tree.build(digests);
    // A single piece is covered by the root.
    if (tree.pieceCount > 1) {
      store(job.treeDirectory, `${root}.tree`, treeFile);
      store(job.treeDirectory, `${root}.sums`, allSums(tree, treeFile, sums, hashing));
    }
    return { ok: { sizeBytes, mtimeMs, root } };
  } finally {
    closeSync(fd);
  }
}

function isSame(before: Stats, after: Stats): boolean {
  return before.size === after.size && before.mtimeMs === after.mtimeMs;
}

/** Those of the file's pieces, then those of the upper levels. */
function allSums(tree: PieceTree, treeFile: Uint8Array, fileSums: Uint8Array, { sum }: Hashing): Uint8Array {
  const sums = new BigUint64Array(tree.pieceCount);
  const bytes = new Uint8Array(sums.buffer);
  bytes.set(fileSums);
  for (let index = tree.filePieceCount; index < tree.pieceCount; index += 1) {
    const { positionBytes, lengthBytes } = tree.place(index);
    sums[index] = sum(treeFile.subarray(positionBytes, positionBytes + lengthBytes));
  }
  return bytes;
}

/** Whole under its name, or not there: another worker may be storing the same. */
function store(directory: string, name: string, bytes: Uint8Array): void {
  const temporary = `${directory}/${name}.${threadId}.new`;
  writeFileSync(temporary, bytes, { mode: 0o600 });
  renameSync(temporary, `${directory}/${name}`);
}
