/**
 * A second implementation of the piece tree, from docs/PROTOCOL.md alone: it shares neither layout nor hash code with
 * src/protocol. A file verifies when its root covers the top piece and each level covers the one below.
 */
import { createBLAKE3 } from 'hash-wasm';

const hasher = await createBLAKE3();

/** BLAKE3-256 from another implementation than the engine's. */
export function otherBlake3(bytes: Uint8Array): Uint8Array {
  return hasher.init().update(bytes).digest('binary');
}

/** A file and the levels above it, each as one run of bytes; level 0 is the file. */
export type LevelBytes = readonly Uint8Array[];

const cut = (bytes: Uint8Array, pieceSize: number): Uint8Array[] =>
  Array.from({ length: Math.ceil(bytes.length / pieceSize) }, (_, i) =>
    bytes.subarray(i * pieceSize, (i + 1) * pieceSize),
  );

/** The levels above a file, and its root in hex. */
export function plant(file: Uint8Array, pieceSize: number): { levels: LevelBytes; root: string } {
  const levels = [file];
  let top = file;
  while (top.length > pieceSize) {
    top = Buffer.concat(cut(top, pieceSize).map(otherBlake3));
    levels.push(top);
  }
  return { levels, root: rootOf(file.length, pieceSize, otherBlake3(top)) };
}

export function rootOf(size: number, pieceSize: number, topDigest: Uint8Array): string {
  const numbers = new DataView(new ArrayBuffer(12));
  numbers.setBigUint64(0, BigInt(size), true);
  numbers.setUint32(8, pieceSize, true);
  const input = Buffer.concat([Buffer.from('p2pfs/1'), new Uint8Array(numbers.buffer), topDigest]);
  return Buffer.from(otherBlake3(input)).toString('hex');
}

/** Whether every level is what the root says, from the top down, as a downloader checks it. */
export function verifies(levels: LevelBytes, size: number, pieceSize: number, root: string): boolean {
  const top = levels.at(-1);
  if (!top || top.length > pieceSize || levels[0]?.length !== size) return false;
  if (rootOf(size, pieceSize, otherBlake3(top)) !== root) return false;
  for (let level = levels.length - 1; level > 0; level -= 1) {
    const digests = levels[level] ?? new Uint8Array(0);
    const pieces = cut(levels[level - 1] ?? new Uint8Array(0), pieceSize);
    if (digests.length !== pieces.length * 32) return false;
    for (const [i, piece] of pieces.entries()) {
      if (Buffer.compare(otherBlake3(piece), digests.subarray(i * 32, i * 32 + 32)) !== 0) return false;
    }
  }
  return true;
}
