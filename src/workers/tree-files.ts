/**
 * What workers read of a file's tree and checksums on disk, and the reads and writes that all jobs share. A tree file
 * that is shorter than it should be has no digest there; a checksum that is missing is none.
 */
import { readSync, writeSync } from 'node:fs';
import { blake3 } from '../protocol/digest.ts';
import { toHex } from '../protocol/ids.ts';
import { CHECKSUM_BYTES, DIGEST_BYTES } from '../protocol/limits.ts';
import { rootBytes } from '../protocol/piece-tree.ts';
import type { TreeFiles } from './jobs.ts';

/** Digests that consecutive pieces must have. The last piece of all is covered by the root, every other by its digest. */
export class ExpectedDigests {
  readonly #tree: TreeFiles;
  readonly #firstIndex: number;
  readonly #digests: Uint8Array;
  #bytes = 0;

  constructor(tree: TreeFiles, firstIndex: number, count: number) {
    this.#tree = tree;
    this.#firstIndex = firstIndex;
    this.#digests = new Uint8Array(count * DIGEST_BYTES);
    if (tree.treeFd !== undefined) this.#bytes = readUpTo(tree.treeFd, this.#digests, firstIndex * DIGEST_BYTES);
  }

  /** Whether the bytes are those of a piece. */
  hold(index: number, bytes: Uint8Array): boolean {
    const digest = blake3(bytes);
    const { pieceCount, sizeBytes, pieceSizeBytes, root } = this.#tree;
    if (index === pieceCount - 1) return toHex(rootBytes(sizeBytes, pieceSizeBytes, digest)) === root;
    const end = (index - this.#firstIndex + 1) * DIGEST_BYTES;
    return end <= this.#bytes && Buffer.compare(this.#digests.subarray(end - DIGEST_BYTES, end), digest) === 0;
  }
}

export function digestHolds(tree: TreeFiles, index: number, bytes: Uint8Array): boolean {
  return new ExpectedDigests(tree, index, 1).hold(index, bytes);
}

/** Checksums of consecutive pieces; zero for those that were never kept. Undefined for a file that has none. */
export function readSums(tree: TreeFiles, firstIndex: number, count: number): BigUint64Array | undefined {
  if (tree.sumsFd === undefined) return undefined;
  const sums = new BigUint64Array(count);
  readUpTo(tree.sumsFd, new Uint8Array(sums.buffer), firstIndex * CHECKSUM_BYTES);
  return sums;
}

export function writeSums(tree: TreeFiles, firstIndex: number, sums: readonly bigint[]): void {
  if (tree.sumsFd === undefined) return;
  const bytes = new Uint8Array(BigUint64Array.from(sums).buffer);
  writeFully(tree.sumsFd, bytes, firstIndex * CHECKSUM_BYTES);
}

/** False when the file ends before the memory is full. */
export function readFully(fd: number, bytes: Uint8Array, positionBytes: number): boolean {
  return readUpTo(fd, bytes, positionBytes) === bytes.length;
}

/** How many bytes there were. */
function readUpTo(fd: number, bytes: Uint8Array, positionBytes: number): number {
  let at = 0;
  while (at < bytes.length) {
    const count = readSync(fd, bytes, at, bytes.length - at, positionBytes + at);
    if (count === 0) break;
    at += count;
  }
  return at;
}

/** A short write (a signal, a full disk) is continued; a disk that is really full then says so. */
export function writeFully(fd: number, bytes: Uint8Array, positionBytes: number): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, positionBytes + at);
}
