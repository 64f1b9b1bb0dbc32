/**
 * The piece tree, held against a second implementation written from the documentation: the same root and levels for
 * files of every size, any flipped byte at any level is caught, and the layout is consistent up to the largest files.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { blake3 } from '../../src/protocol/digest.ts';
import { ProtocolViolation } from '../../src/protocol/errors.ts';
import { toHex } from '../../src/protocol/ids.ts';
import {
  DIGEST_BYTES,
  GIB,
  KIB,
  MIB,
  PIECE_BYTES_MAX,
  PIECE_BYTES_MIN,
  PIECES_MAX,
} from '../../src/protocol/limits.ts';
import { PieceTree, pieceSizeAllowed } from '../../src/protocol/piece-tree.ts';
import { type LevelBytes, otherBlake3, plant, rootOf, verifies } from '../support/verifier.ts';

const PIECE = PIECE_BYTES_MIN;
const DIGESTS_PER_PIECE = PIECE / DIGEST_BYTES;

/** Bytes that differ at every place that matters, made without keeping megabytes in a generator. */
function contents(sizeBytes: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(sizeBytes);
  let state = seed | 1;
  for (let i = 0; i < sizeBytes; i += 1) {
    state = (Math.imul(state, 1103515245) + 12345) | 0;
    bytes[i] = state >>> 16;
  }
  return bytes;
}

/** Builds with the code under test, and takes its tree file apart into levels. */
function build(file: Uint8Array, pieceSizeBytes: number): { tree: PieceTree; levels: LevelBytes; root: string } {
  const tree = new PieceTree(file.length, pieceSizeBytes);
  const digests = Buffer.concat(
    Array.from({ length: tree.filePieceCount }, (_, index) => {
      const { positionBytes, lengthBytes } = tree.place(index);
      return blake3(file.subarray(positionBytes, positionBytes + lengthBytes));
    }),
  );
  return { tree, ...grow(tree, file, digests) };
}

function grow(tree: PieceTree, file: Uint8Array, digests: Uint8Array): { levels: LevelBytes; root: string } {
  const { treeFile, root } = tree.build(digests);
  expect(treeFile.length).toBe(tree.treeFileBytes);
  const upper = tree.levels.slice(1).map(({ firstIndex, sizeBytes }) => {
    const { positionBytes } = tree.place(firstIndex);
    return treeFile.subarray(positionBytes, positionBytes + sizeBytes);
  });
  return { levels: [file, ...upper], root };
}

const SIZES = [
  0,
  1,
  PIECE - 1,
  PIECE,
  PIECE + 1,
  2 * PIECE,
  7 * PIECE + 5,
  DIGESTS_PER_PIECE * PIECE - 1,
  DIGESTS_PER_PIECE * PIECE,
  DIGESTS_PER_PIECE * PIECE + 1,
  (DIGESTS_PER_PIECE + 1) * PIECE,
];

describe('a file', () => {
  test.each(SIZES)('of %i bytes verifies', (sizeBytes) => {
    const file = contents(sizeBytes, 1);
    const { levels, root } = build(file, PIECE);
    expect(root).toBe(plant(file, PIECE).root);
    expect(verifies(levels, sizeBytes, PIECE, root)).toBe(true);
  });

  test('of any size and piece size verifies', () => {
    const pieceSize = fc.integer({ min: 14, max: 17 }).map((bits) => 2 ** bits);
    fc.assert(
      fc.property(pieceSize, fc.nat(2 * MIB), fc.integer(), (pieceSizeBytes, sizeBytes, seed) => {
        const file = contents(sizeBytes, seed);
        const { levels, root } = build(file, pieceSizeBytes);
        expect(root).toBe(plant(file, pieceSizeBytes).root);
        expect(verifies(levels, sizeBytes, pieceSizeBytes, root)).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  test('of four levels has its upper ones verify: only their contents are known', () => {
    const pieceCount = DIGESTS_PER_PIECE ** 2 + 3;
    const tree = new PieceTree((pieceCount - 1) * PIECE + 1, PIECE);
    expect(tree.levels.map((level) => level.pieceCount)).toEqual([pieceCount, DIGESTS_PER_PIECE + 1, 2, 1]);
    const digests = contents(pieceCount * DIGEST_BYTES, 4);
    const { levels, root } = grow(tree, new Uint8Array(0), digests);
    const upper = levels.slice(1);
    expect(Buffer.compare(upper[0] ?? new Uint8Array(0), digests)).toBe(0);
    // The digests are a file of their own: as such they verify, but for the root, which names the real file's size.
    expect(verifies(upper, digests.length, PIECE, plant(digests, PIECE).root)).toBe(true);
    expect(root).toBe(rootOf(tree.sizeBytes, PIECE, otherBlake3(upper.at(-1) ?? new Uint8Array(0))));
  });
});

describe('any flipped bit', () => {
  test.each(SIZES.filter((size) => size > 0))('at any level of a file of %i bytes is caught', (sizeBytes) => {
    const { levels, root } = build(contents(sizeBytes, 2), PIECE);
    fc.assert(
      fc.property(fc.nat(levels.length - 1), fc.nat(), fc.nat(7), (level, at, bit) => {
        const bytes = Buffer.from(levels[level] ?? []);
        const position = at % bytes.length;
        bytes[position] = (bytes[position] ?? 0) ^ (1 << bit);
        expect(verifies(levels.with(level, bytes), sizeBytes, PIECE, root)).toBe(false);
      }),
      { numRuns: sizeBytes > MIB ? 6 : 50 },
    );
  });

  test('of the root, and another size or piece size, are caught', () => {
    const file = contents(3 * PIECE, 3);
    const { levels, root } = build(file, PIECE);
    expect(verifies(levels, file.length, PIECE, root)).toBe(true);
    expect(verifies(levels, file.length, PIECE, `${root.startsWith('0') ? '1' : '0'}${root.slice(1)}`)).toBe(false);
    expect(build(file, 2 * PIECE).root).not.toBe(root);
    const top = otherBlake3(levels.at(-1) ?? new Uint8Array(0));
    expect(rootOf(file.length - 1, PIECE, top)).not.toBe(root);
  });

  test('an upper level passed off as a file has another root', () => {
    const { levels, root } = build(contents(3 * PIECE, 3), PIECE);
    expect(build(levels[1] ?? new Uint8Array(0), PIECE).root).not.toBe(root);
  });
});

describe('the layout of a file of any size', () => {
  const pieceSize = fc.integer({ min: 14, max: 24 }).map((bits) => 2 ** bits);
  const layout = pieceSize.chain((pieceSizeBytes) =>
    fc.record({
      pieceSizeBytes: fc.constant(pieceSizeBytes),
      sizeBytes: fc.oneof(
        fc.nat(2 * pieceSizeBytes),
        fc.nat(2 ** 27).map((pieces) => pieces * pieceSizeBytes),
        fc.maxSafeInteger().map((size) => Math.abs(size) % (2 ** 27 * pieceSizeBytes)),
      ),
    }),
  );

  test('each level holds the digests of the one below, and the last is one piece', () => {
    fc.assert(
      fc.property(layout, ({ sizeBytes, pieceSizeBytes }) => {
        const tree = new PieceTree(sizeBytes, pieceSizeBytes);
        let firstIndex = 0;
        for (const [number, level] of tree.levels.entries()) {
          const below = tree.levels[number - 1];
          expect(level.level).toBe(number);
          expect(level.firstIndex).toBe(firstIndex);
          expect(level.sizeBytes).toBe(below ? below.pieceCount * DIGEST_BYTES : sizeBytes);
          expect(level.pieceCount).toBe(Math.ceil(level.sizeBytes / pieceSizeBytes));
          firstIndex += level.pieceCount;
        }
        expect(tree.pieceCount).toBe(firstIndex);
        expect(tree.levels.at(-1)?.pieceCount).toBe(sizeBytes === 0 ? 0 : 1);
      }),
    );
  });

  test('each piece lies where its level says, and its digest lies in the piece above it', () => {
    fc.assert(
      fc.property(layout, fc.nat(), fc.boolean(), ({ sizeBytes, pieceSizeBytes }, pick, fromTheEnd) => {
        const tree = new PieceTree(sizeBytes, pieceSizeBytes);
        fc.pre(tree.pieceCount > 0);
        const index = fromTheEnd ? tree.pieceCount - 1 - (pick % Math.min(5, tree.pieceCount)) : pick % tree.pieceCount;
        const level = tree.levelOf(index);
        const { positionBytes, lengthBytes } = tree.place(index);
        expect(tree.place(index).level).toBe(level.level);
        const isLastOfLevel = index === level.firstIndex + level.pieceCount - 1;
        const lastLengthBytes = level.sizeBytes - (level.pieceCount - 1) * pieceSizeBytes;
        expect(lengthBytes).toBe(isLastOfLevel ? lastLengthBytes : pieceSizeBytes);

        // A level's bytes lie in one run, right behind those of the level below it.
        const start = tree.levels.slice(1, level.level).reduce((sum, { sizeBytes: bytes }) => sum + bytes, 0);
        expect(positionBytes).toBe(start + (index - level.firstIndex) * pieceSizeBytes);
        if (level.level > 0) expect(positionBytes + lengthBytes).toBeLessThanOrEqual(tree.treeFileBytes);

        const digestAt = tree.digestPosition(index);
        if (index === tree.pieceCount - 1) {
          expect(digestAt).toBeUndefined();
          return;
        }
        const above = tree.level(level.level + 1);
        const inLevel = (index - level.firstIndex) * DIGEST_BYTES;
        const parent = tree.place(above.firstIndex + Math.floor(inLevel / pieceSizeBytes));
        expect(digestAt).toBe(parent.positionBytes + (inLevel % pieceSizeBytes));
        expect((digestAt ?? 0) + DIGEST_BYTES).toBeLessThanOrEqual(parent.positionBytes + parent.lengthBytes);
      }),
      { numRuns: 1000 },
    );
  });

  test('costs what the design says', () => {
    const upper = (sizeBytes: number) => {
      const tree = new PieceTree(sizeBytes, 512 * KIB);
      return tree.pieceCount - tree.filePieceCount;
    };
    expect(upper(512 * KIB)).toBe(0);
    expect(upper(8 * GIB)).toBe(1);
    expect(upper(1024 * GIB)).toBe(129);
  });
});

describe('refused', () => {
  test.each([
    0,
    1,
    PIECE_BYTES_MIN - 1,
    PIECE_BYTES_MIN / 2,
    3 * PIECE_BYTES_MIN,
    PIECE_BYTES_MAX * 2,
    -PIECE_BYTES_MIN,
  ])('a piece size of %d bytes', (pieceSizeBytes) => {
    expect(pieceSizeAllowed(pieceSizeBytes)).toBe(false);
    expect(() => new PieceTree(1, pieceSizeBytes)).toThrow(ProtocolViolation);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, 16384 * (1 + Number.EPSILON), 2 ** 32 + 2 ** 14, 2 ** 53])(
    'a piece size of %d',
    (size) => {
      expect(pieceSizeAllowed(size)).toBe(false);
    },
  );

  test('every power of two from 16 KiB to 16 MiB is allowed', () => {
    for (let size = PIECE_BYTES_MIN; size <= PIECE_BYTES_MAX; size *= 2) expect(pieceSizeAllowed(size)).toBe(true);
  });

  test.each([-1, 0.5, Number.NaN, 2 ** 53, Number.POSITIVE_INFINITY])('a file size of %d', (sizeBytes) => {
    expect(() => new PieceTree(sizeBytes, PIECE)).toThrow(ProtocolViolation);
  });

  test('a file of more pieces than an index may have', () => {
    const most =
      PIECES_MAX - Math.ceil(PIECES_MAX / DIGESTS_PER_PIECE) - Math.ceil(PIECES_MAX / DIGESTS_PER_PIECE ** 2) - 3;
    expect(new PieceTree(most * PIECE, PIECE).pieceCount).toBeLessThanOrEqual(PIECES_MAX);
    expect(() => new PieceTree(PIECES_MAX * PIECE, PIECE)).toThrow(ProtocolViolation);
    expect(() => new PieceTree(Number.MAX_SAFE_INTEGER, PIECE_BYTES_MAX)).toThrow(ProtocolViolation);
  });

  test('an index outside the file', () => {
    const tree = new PieceTree(5 * PIECE, PIECE);
    for (const index of [-1, tree.pieceCount, 2 ** 32 - 1]) expect(() => tree.place(index)).toThrow(ProtocolViolation);
    expect(() => new PieceTree(0, PIECE).place(0)).toThrow(ProtocolViolation);
  });
});

describe('BLAKE3', () => {
  test('gives the digests of its test vectors', () => {
    const input = Uint8Array.from({ length: 2049 }, (_, i) => i % 251);
    expect(toHex(blake3(input.subarray(0, 0)))).toBe(
      'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262',
    );
    expect(toHex(blake3(input.subarray(0, 1)))).toBe(
      '2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213',
    );
    expect(toHex(blake3(input))).toBe('5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030');
  });

  test('is the same from either implementation, of memory of its own and of shared memory', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), fc.nat(9), (bytes, offset) => {
        const shared = new Uint8Array(new SharedArrayBuffer(bytes.length + 9), offset, bytes.length);
        shared.set(bytes);
        expect(toHex(blake3(bytes))).toBe(toHex(otherBlake3(bytes)));
        expect(toHex(blake3(shared))).toBe(toHex(otherBlake3(bytes)));
      }),
    );
  });
});
