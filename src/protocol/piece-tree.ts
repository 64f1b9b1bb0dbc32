/**
 * The piece tree: how 32 bytes stand for a file of any size.
 *
 * Level 0 is the file. The digests of a level's pieces, 32 bytes each, form the next level, cut into pieces of the
 * same size, until a level is one piece; root = BLAKE3("p2pfs/1" · size · pieceSize · digest of that piece).
 * Pieces are numbered across levels: the file's first, then level 1, and so on. Levels from 1 up are kept one after
 * the other in a "tree file", so that a piece's expected digest lies at 32 · its index there: level 1 starts at 0,
 * and the digest of piece i (of whatever level) is the i-th of the tree file.
 *
 * That holds because every level but the last is a whole number of digests: the tree file is simply the list of the
 * digests of all pieces in index order, without the last one, which the root covers.
 */
import { blake3 } from './digest.ts';
import { invariant, ProtocolViolation } from './errors.ts';
import { type Root, toHex } from './ids.ts';
import { DIGEST_BYTES, PIECE_BYTES_MAX, PIECE_BYTES_MIN, PIECES_MAX } from './limits.ts';

export interface Level {
  /** 0 is the file itself. */
  readonly level: number;
  readonly firstIndex: number;
  readonly pieceCount: number;
  readonly sizeBytes: number;
}

export interface PiecePlace {
  readonly level: number;
  /** Where the piece starts: in the file for level 0, in the tree file for the others. */
  readonly positionBytes: number;
  readonly lengthBytes: number;
}

export function pieceSizeAllowed(pieceSizeBytes: number): boolean {
  return (
    Number.isSafeInteger(pieceSizeBytes) &&
    (pieceSizeBytes & (pieceSizeBytes - 1)) === 0 &&
    pieceSizeBytes >= PIECE_BYTES_MIN &&
    pieceSizeBytes <= PIECE_BYTES_MAX
  );
}

export class PieceTree {
  readonly sizeBytes: number;
  readonly pieceSizeBytes: number;
  /** Level 0 first. An empty file has one level of no pieces. */
  readonly levels: readonly Level[];
  /** Pieces of all levels. */
  readonly pieceCount: number;

  /** Throws ProtocolViolation when no such file can be: a bad piece size, or more pieces than PIECES_MAX. */
  constructor(sizeBytes: number, pieceSizeBytes: number) {
    if (!pieceSizeAllowed(pieceSizeBytes)) throw new ProtocolViolation(`piece size ${pieceSizeBytes}`);
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) throw new ProtocolViolation(`file size ${sizeBytes}`);
    this.sizeBytes = sizeBytes;
    this.pieceSizeBytes = pieceSizeBytes;
    const levels: Level[] = [];
    let firstIndex = 0;
    let levelBytes = sizeBytes;
    for (;;) {
      const pieceCount = Math.ceil(levelBytes / pieceSizeBytes);
      levels.push({ level: levels.length, firstIndex, pieceCount, sizeBytes: levelBytes });
      firstIndex += pieceCount;
      if (firstIndex > PIECES_MAX) throw new ProtocolViolation(`a file of ${sizeBytes} bytes has too many pieces`);
      if (pieceCount <= 1) break;
      levelBytes = pieceCount * DIGEST_BYTES;
    }
    this.levels = levels;
    this.pieceCount = firstIndex;
  }

  /** Pieces of the file itself. */
  get filePieceCount(): number {
    return this.levels[0]?.pieceCount ?? 0;
  }

  /** Bytes of the tree file: all digests but the last. */
  get treeFileBytes(): number {
    return Math.max(0, this.pieceCount - 1) * DIGEST_BYTES;
  }

  level(level: number): Level {
    const found = this.levels[level];
    invariant(found, `level ${level} of ${this.levels.length}`);
    return found;
  }

  levelOf(index: number): Level {
    for (const level of this.levels) {
      if (index < level.firstIndex + level.pieceCount && index >= level.firstIndex) return level;
    }
    throw new ProtocolViolation(`piece ${index} of ${this.pieceCount}`);
  }

  /** Where a piece lies and how long it is. Throws ProtocolViolation for an index outside the file. */
  place(index: number): PiecePlace {
    const level = this.levelOf(index);
    const inLevelBytes = (index - level.firstIndex) * this.pieceSizeBytes;
    const lengthBytes = Math.min(this.pieceSizeBytes, level.sizeBytes - inLevelBytes);
    return { level: level.level, positionBytes: this.#levelStart(level) + inLevelBytes, lengthBytes };
  }

  /** Where the digest of a piece lies in the tree file; undefined for the last piece, which the root covers. */
  digestPosition(index: number): number | undefined {
    return index === this.pieceCount - 1 ? undefined : index * DIGEST_BYTES;
  }

  /** The root that goes with the digest of the last piece (of no bytes, for an empty file). */
  rootOver(topDigest: Uint8Array): Root {
    return toHex(rootBytes(this.sizeBytes, this.pieceSizeBytes, topDigest)) as Root;
  }

  /** Computes the upper levels from the file's piece digests (32 bytes each, in order): the tree file and the root. */
  build(fileDigests: Uint8Array): { treeFile: Uint8Array; root: Root } {
    invariant(fileDigests.length === this.filePieceCount * DIGEST_BYTES, 'one digest for each piece');
    if (this.pieceCount === 0) return { treeFile: new Uint8Array(0), root: this.rootOver(blake3(new Uint8Array(0))) };
    const digests = new Uint8Array(this.pieceCount * DIGEST_BYTES);
    digests.set(fileDigests);
    for (let index = this.filePieceCount; index < this.pieceCount; index += 1) {
      const { positionBytes, lengthBytes } = this.place(index);
      digests.set(blake3(digests.subarray(positionBytes, positionBytes + lengthBytes)), index * DIGEST_BYTES);
    }
    const treeFile = digests.subarray(0, this.treeFileBytes);
    return { treeFile, root: this.rootOver(digests.subarray(this.treeFileBytes)) };
  }

  #levelStart(level: Level): number {
    if (level.level === 0) return 0;
    return this.level(level.level - 1).firstIndex * DIGEST_BYTES;
  }
}

/** BLAKE3("p2pfs/1" · u64 size · u32 pieceSize · digest of the last piece), integers little endian. */
export function rootBytes(sizeBytes: number, pieceSizeBytes: number, topDigest: Uint8Array): Uint8Array {
  const prefix = Buffer.from('p2pfs/1', 'latin1');
  const input = Buffer.alloc(prefix.length + 12 + DIGEST_BYTES);
  prefix.copy(input);
  input.writeBigUInt64LE(BigInt(sizeBytes), prefix.length);
  input.writeUInt32LE(pieceSizeBytes, prefix.length + 8);
  input.set(topDigest, prefix.length + 12);
  return blake3(input);
}
