/**
 * The pool's one entry: hashes, verifies, reads and writes pieces. Everything that costs time per byte happens here, in
 * shared memory, without a copy: BLAKE3 guards against people, xxHash64 against accidents.
 *
 * The order inside `keep` is the promise "nothing wrong is ever kept": check, then write, then answer.
 */
import { readSync, writeSync, writevSync } from 'node:fs';
import { workerData } from 'piscina';
import xxhash from 'xxhash-wasm';
import { blake3 } from '../protocol/digest.ts';
import { toHex } from '../protocol/ids.ts';
import { CHECKSUM_BYTES, DIGEST_BYTES } from '../protocol/limits.ts';
import { PieceTree, rootBytes } from '../protocol/piece-tree.ts';
import type {
  Job,
  JobAnswer,
  PieceInMemory,
  PieceOnDisk,
  PiecePairs,
  Results,
  TreeFiles,
  WorkerStart,
} from './jobs.ts';
import { shareFiles } from './share-files.ts';

type Piece = PieceInMemory & PieceOnDisk;

const { memory } = workerData as WorkerStart;
const { h64Raw } = await xxhash();
/** Pieces in one writev: IOV_MAX is 1024; a run this long is already far past the cost of a call. */
const RUN_PIECES_MAX = 64;

export default function run(job: Job): JobAnswer<Job['type']> {
  try {
    return { ok: perform(job) };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (typeof code !== 'string') throw error;
    return { failed: { code, message } };
  }
}

function perform(job: Job): Results[Job['type']] {
  switch (job.type) {
    case 'keep':
      return { right: keep(job.tree, job.pieces) };
    case 'read':
      return { right: job.pieces.map((piece) => read(job.tree, piece)) };
    case 'hash':
      return hash(job.fd, job.positionBytes, job.lengthBytes, job.pieceSizeBytes);
    case 'share':
      return shareFiles(job, { hash, sum: h64Raw });
    case 'verify':
      return { right: verify(job) };
    case 'match':
      return { pairs: match(job) };
    case 'copy':
      return { right: copy(job) };
    default:
      return job satisfies never;
  }
}

const view = ({ offset, lengthBytes }: PieceInMemory) => new Uint8Array(memory, offset, lengthBytes);

function keep(tree: TreeFiles, pieces: readonly Piece[]): boolean[] {
  const right = pieces.map((piece) => digestHolds(tree, piece.index, view(piece)));
  const good = pieces.filter((_, at) => right[at]);
  for (const run of consecutiveRuns(good)) {
    writeAll(run);
    writeSums(tree, run);
  }
  return right;
}

/** Pieces that lie one behind the other on disk, so that one call writes them. */
function consecutiveRuns(pieces: readonly Piece[]): Piece[][] {
  const runs: Piece[][] = [];
  for (const piece of [...pieces].sort((a, b) => a.index - b.index)) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    const follows =
      last &&
      piece.fd === last.fd &&
      piece.index === last.index + 1 &&
      piece.positionBytes === last.positionBytes + last.lengthBytes;
    if (run && follows && run.length < RUN_PIECES_MAX) run.push(piece);
    else runs.push([piece]);
  }
  return runs;
}

function writeAll(run: readonly Piece[]): void {
  const first = run[0];
  if (!first) return;
  let written = run.length === 1 ? 0 : writevSync(first.fd, run.map(view), first.positionBytes);
  for (const piece of run) {
    const bytes = view(piece);
    // A short write (a signal, a full disk) is continued; a disk that is really full then says so.
    for (let at = Math.min(written, bytes.length); at < bytes.length; ) {
      at += writeSync(piece.fd, bytes, at, bytes.length - at, piece.positionBytes + at);
    }
    written = Math.max(0, written - bytes.length);
  }
}

function writeSums(tree: TreeFiles, run: readonly Piece[]): void {
  const first = run[0];
  if (!first || tree.sumsFd === undefined) return;
  const sums = new BigUint64Array(run.map((piece) => h64Raw(view(piece))));
  writeSync(tree.sumsFd, new Uint8Array(sums.buffer), 0, sums.byteLength, first.index * CHECKSUM_BYTES);
}

function read(tree: TreeFiles, piece: Piece): boolean {
  const bytes = view(piece);
  if (!readFully(piece.fd, bytes, piece.positionBytes)) return false;
  return sumHolds(tree, piece.index, bytes) || digestHolds(tree, piece.index, bytes);
}

/** A checksum may be missing, or lost with the power: then the digest decides. */
function sumHolds(tree: TreeFiles, index: number, bytes: Uint8Array): boolean {
  if (tree.sumsFd === undefined) return false;
  const sum = new BigUint64Array(1);
  return readFully(tree.sumsFd, new Uint8Array(sum.buffer), index * CHECKSUM_BYTES) && h64Raw(bytes) === sum[0];
}

let scratch = new Uint8Array(0);
function scratchOf(lengthBytes: number): Uint8Array {
  if (scratch.length < lengthBytes) scratch = new Uint8Array(lengthBytes);
  return scratch.subarray(0, lengthBytes);
}

type VerifyJob = Extract<Job, { type: 'verify' }>;

function verify({ tree, fileFd, firstIndex, count, known, onlySummed }: VerifyJob): Uint8Array {
  const layout = new PieceTree(tree.sizeBytes, tree.pieceSizeBytes);
  const sums = new BigUint64Array(count);
  // A sums file that is shorter than this reads as zeros.
  const hasSums = tree.sumsFd !== undefined;
  if (tree.sumsFd !== undefined) readFully(tree.sumsFd, new Uint8Array(sums.buffer), firstIndex * CHECKSUM_BYTES);
  const right = new Uint8Array(count);
  for (let at = 0; at < count; at += 1) {
    const index = firstIndex + at;
    if (known[at]) right[at] = 1;
    else if (!onlySummed || !hasSums || sums[at] !== 0n) right[at] = verifyOne(tree, layout, fileFd, index) ? 1 : 0;
  }
  return right;
}

function verifyOne(tree: TreeFiles, layout: PieceTree, fileFd: number, index: number): boolean {
  const { level, positionBytes, lengthBytes } = layout.place(index);
  const bytes = scratchOf(lengthBytes);
  const fd = level === 0 ? fileFd : tree.treeFd;
  if (fd === undefined || !readFully(fd, bytes, positionBytes)) return false;
  if (!digestHolds(tree, index, bytes)) return false;
  if (tree.sumsFd === undefined) return true;
  const sum = new BigUint64Array([h64Raw(bytes)]);
  writeSync(tree.sumsFd, new Uint8Array(sum.buffer), 0, CHECKSUM_BYTES, index * CHECKSUM_BYTES);
  return true;
}

function copy({ tree, fileFd, sourceFd, pairs }: Extract<Job, { type: 'copy' }>): Uint8Array {
  const layout = new PieceTree(tree.sizeBytes, tree.pieceSizeBytes);
  const right = new Uint8Array(pairs.length / 2);
  for (let at = 0; at < right.length; at += 1) {
    const index = pairs[2 * at] ?? 0;
    const { positionBytes, lengthBytes } = layout.place(index);
    const bytes = scratchOf(lengthBytes);
    if (!readFully(sourceFd, bytes, (pairs[2 * at + 1] ?? 0) * tree.pieceSizeBytes)) continue;
    if (!digestHolds(tree, index, bytes)) continue;
    writeFully(fileFd, bytes, positionBytes);
    right[at] = 1;
    if (tree.sumsFd === undefined) continue;
    const sum = new BigUint64Array([h64Raw(bytes)]);
    writeFully(tree.sumsFd, new Uint8Array(sum.buffer), index * CHECKSUM_BYTES);
  }
  return right;
}

function writeFully(fd: number, bytes: Uint8Array, positionBytes: number): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, positionBytes + at);
}

/**
 * A hash join of two lists of digests: the source's go into a table of twice their number, open addressing, keyed by the
 * digest's first bytes, which are as random as any hash of them.
 */
function match(job: Extract<Job, { type: 'match' }>): PiecePairs {
  const wanted = digestList(job.treeFd, job.pieceCount);
  const source = digestList(job.sourceTreeFd, job.sourcePieceCount);
  const slots = 2 ** Math.ceil(Math.log2(2 * job.sourcePieceCount + 1));
  const table = new Uint32Array(slots);
  const digestAt = (list: Buffer, index: number) => list.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES);
  const slotOf = (list: Buffer, index: number) => list.readUInt32LE(index * DIGEST_BYTES) & (slots - 1);
  for (let index = 0; index < job.sourcePieceCount; index += 1) {
    let slot = slotOf(source, index);
    const digest = digestAt(source, index);
    // Equal pieces (of a sparse file, say) go in once, or their chains would grow without end.
    while (table[slot] && !digest.equals(digestAt(source, (table[slot] ?? 0) - 1))) slot = (slot + 1) & (slots - 1);
    table[slot] = index + 1;
  }
  const pairs: number[] = [];
  for (let index = 0; index < job.pieceCount; index += 1) {
    const digest = digestAt(wanted, index);
    for (let slot = slotOf(wanted, index); table[slot]; slot = (slot + 1) & (slots - 1)) {
      const candidate = (table[slot] ?? 0) - 1;
      if (!digest.equals(digestAt(source, candidate))) continue;
      pairs.push(index, candidate);
      break;
    }
  }
  return Uint32Array.from(pairs);
}

/** The first digests of a tree file; where it is shorter, zeros, which no piece has. */
function digestList(fd: number, count: number): Buffer {
  const list = Buffer.alloc(count * DIGEST_BYTES);
  readFully(fd, list, 0);
  return list;
}

function hash(fd: number, positionBytes: number, lengthBytes: number, pieceSizeBytes: number): Results['hash'] {
  const pieceCount = Math.ceil(lengthBytes / pieceSizeBytes);
  const digests = new Uint8Array(pieceCount * DIGEST_BYTES);
  const sums = new BigUint64Array(pieceCount);
  let done = 0;
  for (; done < pieceCount; done += 1) {
    const at = done * pieceSizeBytes;
    const bytes = scratchOf(Math.min(pieceSizeBytes, lengthBytes - at));
    if (!readFully(fd, bytes, positionBytes + at)) break;
    digests.set(blake3(bytes), done * DIGEST_BYTES);
    sums[done] = h64Raw(bytes);
  }
  return {
    digests: digests.subarray(0, done * DIGEST_BYTES),
    sums: new Uint8Array(sums.buffer, 0, done * CHECKSUM_BYTES),
  };
}

/** The last piece is covered by the root, every other by its digest in the tree file. */
function digestHolds(tree: TreeFiles, index: number, bytes: Uint8Array): boolean {
  const digest = blake3(bytes);
  if (index === tree.pieceCount - 1) {
    return toHex(rootBytes(tree.sizeBytes, tree.pieceSizeBytes, digest)) === tree.root;
  }
  const expected = new Uint8Array(DIGEST_BYTES);
  if (tree.treeFd === undefined || !readFully(tree.treeFd, expected, index * DIGEST_BYTES)) return false;
  return Buffer.compare(expected, digest) === 0;
}

/** False when the file ends before the memory is full. */
function readFully(fd: number, bytes: Uint8Array, positionBytes: number): boolean {
  for (let at = 0; at < bytes.length; ) {
    const count = readSync(fd, bytes, at, bytes.length - at, positionBytes + at);
    if (count === 0) return false;
    at += count;
  }
  return true;
}
