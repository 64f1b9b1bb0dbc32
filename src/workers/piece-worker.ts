/**
 * The pool's one entry: hashes, verifies, reads and writes pieces. Everything that costs time per byte happens here, in
 * shared memory, without a copy: BLAKE3 guards against people, xxHash64 against accidents.
 */
import { workerData } from 'piscina';
import { checksum } from '../protocol/checksum.ts';
import { blake3 } from '../protocol/digest.ts';
import { CHECKSUM_BYTES, DIGEST_BYTES } from '../protocol/limits.ts';
import { PieceTree } from '../protocol/piece-tree.ts';
import type { Job, JobAnswer, PiecePairs, Results, TreeFiles, WorkerStart } from './jobs.ts';
import { shareFiles } from './share-files.ts';
import { keep, read } from './slot-pieces.ts';
import { digestHolds, readFully, readSums, writeFully, writeSums } from './tree-files.ts';

const { memory } = workerData as WorkerStart;

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
      return { right: keep(job, memory) };
    case 'read':
      return { right: read(job, memory) };
    case 'hash':
      return hash(job.fd, job.positionBytes, job.lengthBytes, job.pieceSizeBytes);
    case 'share':
      return shareFiles(job, { hash, sum: checksum });
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

let scratch = new Uint8Array(0);
function scratchOf(lengthBytes: number): Uint8Array {
  if (scratch.length < lengthBytes) scratch = new Uint8Array(lengthBytes);
  return scratch.subarray(0, lengthBytes);
}

type VerifyJob = Extract<Job, { type: 'verify' }>;

function verify({ tree, fileFd, firstIndex, count, known, onlySummed }: VerifyJob): Uint8Array {
  const layout = new PieceTree(tree.sizeBytes, tree.pieceSizeBytes);
  const sums = readSums(tree, firstIndex, count);
  const right = new Uint8Array(count);
  for (let at = 0; at < count; at += 1) {
    const index = firstIndex + at;
    if (known[at]) right[at] = 1;
    else if (!onlySummed || sums?.[at] !== 0n) right[at] = verifyOne(tree, layout, fileFd, index) ? 1 : 0;
  }
  return right;
}

function verifyOne(tree: TreeFiles, layout: PieceTree, fileFd: number, index: number): boolean {
  const { level, positionBytes, lengthBytes } = layout.place(index);
  const bytes = scratchOf(lengthBytes);
  const fd = level === 0 ? fileFd : tree.treeFd;
  if (fd === undefined || !readFully(fd, bytes, positionBytes)) return false;
  if (!digestHolds(tree, index, bytes)) return false;
  if (tree.sumsFd !== undefined) writeSums(tree, index, [checksum(bytes)]);
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
    if (tree.sumsFd !== undefined) writeSums(tree, index, [checksum(bytes)]);
  }
  return right;
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
    sums[done] = checksum(bytes);
  }
  return {
    digests: digests.subarray(0, done * DIGEST_BYTES),
    sums: new Uint8Array(sums.buffer, 0, done * CHECKSUM_BYTES),
  };
}
