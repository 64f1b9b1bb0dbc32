/**
 * Pieces between slots and disk. The order inside `keep` is the promise "nothing wrong is ever kept": check, then write,
 * then answer. A run of pieces that lie one behind the other is checked, summed and written before the next is looked
 * at, while the processor's cache still holds it.
 */
import { readvSync, writevSync } from 'node:fs';
import { checksum } from '../protocol/checksum.ts';
import { invariant } from '../protocol/errors.ts';
import { KIB } from '../protocol/limits.ts';
import { PieceTree } from '../protocol/piece-tree.ts';
import type { SlotJob, TreeFiles } from './jobs.ts';
import { digestHolds, ExpectedDigests, readFully, readSums, writeFully, writeSums } from './tree-files.ts';

/** A run fits the cache of one core, and its small pieces share the calls to the system. */
const RUN_BYTES_MAX = 512 * KIB;

interface Piece {
  /** Its place in the job, and in the answer. */
  readonly at: number;
  readonly index: number;
  readonly bytes: Uint8Array;
  readonly fd: number;
  readonly positionBytes: number;
}

/** For each piece: 1 when it was right and is written. */
export function keep(job: SlotJob, memory: SharedArrayBuffer): Uint8Array {
  const { tree } = job;
  const pieces = piecesOf(job, memory);
  const right = new Uint8Array(pieces.length);
  for (const run of runsOf(pieces)) {
    const expected = new ExpectedDigests(tree, firstOf(run).index, run.length);
    const good = run.filter(({ index, bytes }) => expected.hold(index, bytes));
    for (const consecutive of runsOf(good)) {
      const sums = tree.sumsFd === undefined ? [] : consecutive.map(({ bytes }) => checksum(bytes));
      writeRun(consecutive);
      writeSums(tree, firstOf(consecutive).index, sums);
      for (const { at } of consecutive) right[at] = 1;
    }
  }
  return right;
}

/** For each piece: 1 when memory holds it as it was verified. */
export function read(job: SlotJob, memory: SharedArrayBuffer): Uint8Array {
  const { tree } = job;
  const pieces = piecesOf(job, memory);
  const right = new Uint8Array(pieces.length);
  for (const run of runsOf(pieces)) {
    const whole = readRun(run);
    const sums = readSums(tree, firstOf(run).index, run.length);
    for (const [n, piece] of run.entries()) {
      if (n < whole && isAsVerified(tree, piece, sums?.[n])) right[piece.at] = 1;
    }
  }
  return right;
}

/** A checksum may be missing, or lost with the power: then the digest decides. */
function isAsVerified(tree: TreeFiles, { index, bytes }: Piece, sum: bigint | undefined): boolean {
  return (sum !== undefined && checksum(bytes) === sum) || digestHolds(tree, index, bytes);
}

/** In the order in which they lie on disk. */
function piecesOf({ tree, fileFd, pieces }: SlotJob, memory: SharedArrayBuffer): Piece[] {
  const layout = new PieceTree(tree.sizeBytes, tree.pieceSizeBytes);
  return Array.from({ length: pieces.length / 2 }, (_, at) => {
    const index = pieces[2 * at] ?? 0;
    const { level, positionBytes, lengthBytes } = layout.place(index);
    const fd = level === 0 ? fileFd : tree.treeFd;
    invariant(fd !== undefined, 'a file of several levels has a tree');
    return { at, index, bytes: new Uint8Array(memory, pieces[2 * at + 1], lengthBytes), fd, positionBytes };
  }).sort((a, b) => a.index - b.index);
}

/** Pieces that lie one behind the other on disk, as far as they fit RUN_BYTES_MAX; at least one each. */
function runsOf(pieces: readonly Piece[]): (readonly Piece[])[] {
  const runs: Piece[][] = [];
  let bytes = 0;
  for (const piece of pieces) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    const follows =
      last !== undefined &&
      piece.fd === last.fd &&
      piece.index === last.index + 1 &&
      piece.positionBytes === last.positionBytes + last.bytes.length &&
      bytes + piece.bytes.length <= RUN_BYTES_MAX;
    if (run && follows) run.push(piece);
    else runs.push([piece]);
    bytes = follows ? bytes + piece.bytes.length : piece.bytes.length;
  }
  return runs;
}

function firstOf(run: readonly Piece[]): Piece {
  const [first] = run;
  invariant(first, 'a run has a piece');
  return first;
}

function writeRun(run: readonly Piece[]): void {
  const { fd, positionBytes } = firstOf(run);
  const buffers = run.map(({ bytes }) => bytes);
  let written = run.length === 1 ? 0 : writevSync(fd, buffers, positionBytes);
  for (const { bytes, positionBytes: start } of run) {
    const done = Math.min(written, bytes.length);
    if (done < bytes.length) writeFully(fd, bytes.subarray(done), start + done);
    written -= done;
  }
}

/** How many of its pieces are whole: the file may end before. */
function readRun(run: readonly Piece[]): number {
  const { fd, positionBytes } = firstOf(run);
  const buffers = run.map(({ bytes }) => bytes);
  let got = run.length === 1 ? 0 : readvSync(fd, buffers, positionBytes);
  for (const [n, { bytes, positionBytes: start }] of run.entries()) {
    const done = Math.min(got, bytes.length);
    if (done < bytes.length && !readFully(fd, bytes.subarray(done), start + done)) return n;
    got -= done;
  }
  return run.length;
}
