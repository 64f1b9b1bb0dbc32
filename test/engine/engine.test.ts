import { randomBytes } from 'node:crypto';
import { copyFile, mkdtemp, open, readFile, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Content } from '../../src/main/engine/content.ts';
import { type ContentFacts, Engine, type FileStamp } from '../../src/main/engine/engine.ts';
import type { Slot } from '../../src/main/engine/slots.ts';
import { Bitfield } from '../../src/protocol/bitfield.ts';
import { KIB, MIB } from '../../src/protocol/limits.ts';

let directory: string;
let engine: Engine;
const at = (name: string) => join(directory, name);

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'p2pfs-engine-'));
  engine = await Engine.start({ workers: 2, memoryBytes: 16 * MIB, treeDirectory: at('trees') });
});
afterAll(async () => {
  await engine.close();
  await rm(directory, { recursive: true });
});

const slotFor = (bytes: number): Slot => {
  const slot = engine.slots.tryTake('download', bytes);
  if (!slot) throw new Error('a slot is free');
  return slot;
};

async function shared(name: string, bytes: Uint8Array, pieceSizeBytes = 16 * KIB) {
  await writeFile(at(name), bytes);
  const facts = await engine.hash(at(name), pieceSizeBytes, () => {});
  return { path: at(name), facts, stamp: facts as FileStamp };
}

/** Moves every piece of one content into another, the tree's levels from the top down, as a download does. */
async function copyPieces(from: Content, to: Content): Promise<boolean[]> {
  const right: boolean[] = [];
  const indexes = from.tree.levels
    .toReversed()
    .flatMap(({ firstIndex, pieceCount }) => Array.from({ length: pieceCount }, (_, n) => firstIndex + n));
  for (const index of indexes) {
    const slot = slotFor(from.tree.pieceSizeBytes);
    expect(await from.read(index, slot)).toBe(true);
    right.push(await to.keep(index, slot));
    engine.slots.release(slot);
  }
  return right;
}

describe('the engine', () => {
  for (const sizeBytes of [0, 1, 16 * KIB, 16 * KIB + 1, 600 * 16 * KIB - 7]) {
    it(`moves a file of ${sizeBytes} bytes piece by piece`, async () => {
      const bytes = randomBytes(sizeBytes);
      const { path, facts, stamp } = await shared(`file-${sizeBytes}`, bytes);
      const from = await engine.openShare(facts, path, stamp);
      // A tree directory of its own: the receiver learns the tree from the pieces alone.
      const other = await Engine.start({ workers: 1, memoryBytes: MIB, treeDirectory: at(`trees-${sizeBytes}`) });
      const part = await other.createPart(facts, at(`copy-${sizeBytes}.part`));
      // Both engines' workers see only their own memory, so the pieces cross by value.
      for (const { firstIndex, pieceCount } of from.tree.levels.toReversed()) {
        for (let index = firstIndex; index < firstIndex + pieceCount; index += 1) {
          const { lengthBytes } = from.tree.place(index);
          const mine = slotFor(facts.pieceSizeBytes);
          const theirs = other.slots.tryTake('download', facts.pieceSizeBytes);
          if (!theirs) throw new Error('a slot is free');
          expect(await from.read(index, mine)).toBe(true);
          theirs.body(lengthBytes).set(mine.body(lengthBytes));
          expect(await part.keep(index, theirs)).toBe(true);
          engine.slots.release(mine);
          other.slots.release(theirs);
        }
      }
      await other.finish(part, at(`copy-${sizeBytes}`));
      expect(Buffer.compare(await readFile(at(`copy-${sizeBytes}`)), bytes)).toBe(0);
      await expect(stat(at(`copy-${sizeBytes}.part`))).rejects.toThrow('ENOENT');
      await Promise.all([from.release(), part.release()]);
      await other.close();
    });
  }

  it('keeps nothing wrong, at any level', async () => {
    const { path, facts, stamp } = await shared('wrong', randomBytes(600 * 16 * KIB));
    const from = await engine.openShare(facts, path, stamp);
    const to = await engine.createPart(facts, at('wrong.part'));
    for (const index of [0, 599, 600, from.tree.pieceCount - 1]) {
      const { lengthBytes } = from.tree.place(index);
      const slot = slotFor(facts.pieceSizeBytes);
      expect(await from.read(index, slot)).toBe(true);
      const body = slot.body(lengthBytes);
      body[lengthBytes >> 1] = (body[lengthBytes >> 1] ?? 0) ^ 1;
      expect(await to.keep(index, slot)).toBe(false);
      engine.slots.release(slot);
    }
    expect(Buffer.compare(await readFile(at('wrong.part')), Buffer.alloc(600 * 16 * KIB))).toBe(0);
    await Promise.all([from.release(), to.release()]);
  });

  it('writes many pieces at once where each belongs', async () => {
    const bytes = randomBytes(64 * 16 * KIB);
    const { path, facts, stamp } = await shared('many', bytes);
    const from = await engine.openShare(facts, path, stamp);
    const to = await engine.createPart(facts, at('many.part'));
    const order = Array.from({ length: 64 }, (_, n) => (n * 37) % 64);
    await Promise.all(
      order.map(async (index) => {
        const slot = slotFor(facts.pieceSizeBytes);
        expect(await from.read(index, slot)).toBe(true);
        expect(await to.keep(index, slot)).toBe(true);
        engine.slots.release(slot);
      }),
    );
    expect(Buffer.compare(await readFile(at('many.part')), bytes)).toBe(0);
    await Promise.all([from.release(), to.release()]);
  });

  it('notices bytes that rot on the disk before they are sent', async () => {
    const { path, facts, stamp } = await shared('rot', randomBytes(40 * 16 * KIB));
    const content = await engine.openShare(facts, path, stamp);
    const file = await open(path, 'r+');
    await file.write(Buffer.from([1, 2, 3]), 0, 3, 5 * 16 * KIB + 100);
    await file.close();
    const slot = slotFor(facts.pieceSizeBytes);
    expect(await content.read(5, slot)).toBe(false);
    expect(await content.read(6, slot)).toBe(true);
    await truncate(path, 10 * 16 * KIB);
    expect(await content.read(20, slot)).toBe(false);
    engine.slots.release(slot);
    await content.release();
  });

  it('does not open a share whose file has changed', async () => {
    const { path, facts, stamp } = await shared('changed', randomBytes(1000));
    await utimes(path, new Date(), new Date(1_000_000));
    await expect(engine.openShare(facts, path, stamp)).rejects.toMatchObject({ code: 'file-changed' });
    await rm(path);
    await expect(engine.openShare(facts, path, stamp)).rejects.toMatchObject({ code: 'file-missing' });
  });

  it('finds out what an interrupted download holds', async () => {
    const { path, facts, stamp } = await shared('again', randomBytes(600 * 16 * KIB));
    const from = await engine.openShare(facts, path, stamp);
    await copyFile(path, at('again.part'));
    const file = await open(at('again.part'), 'r+');
    await file.write(Buffer.alloc(16 * KIB), 0, 16 * KIB, 7 * 16 * KIB);
    await file.close();
    const part = await engine.openPart(facts, at('again.part'));
    const known = new Bitfield(part.tree.pieceCount);
    const right = await part.verify({ levels: part.tree.levels.toReversed(), known, onlySummed: true });
    expect(right.count).toBe(part.tree.pieceCount - 1);
    expect(right.has(7)).toBe(false);
    await Promise.all([from.release(), part.release()]);
  });

  it('never replaces a file', async () => {
    const { path, facts, stamp } = await shared('there', randomBytes(100));
    const from = await engine.openShare(facts, path, stamp);
    const part = await engine.createPart(facts, at('there.part'));
    expect(await copyPieces(from, part)).toEqual([true]);
    await expect(engine.finish(part, path)).rejects.toMatchObject({ code: 'destination-exists' });
    await expect(engine.createPart(facts, at('there.part'))).rejects.toMatchObject({ code: 'destination-exists' });
    await Promise.all([from.release(), part.release()]);
  });

  it('says what is wrong with a path', async () => {
    const hash = (path: string) => engine.hash(path, 16 * KIB, () => {});
    await expect(hash(at('nowhere'))).rejects.toMatchObject({ code: 'file-missing' });
    await expect(hash(directory)).rejects.toMatchObject({ code: 'not-a-file' });
    await expect(hash('/dev/null')).rejects.toMatchObject({ code: 'not-a-file' });
  });

  it('refuses early when the disk has no room', async () => {
    const huge: ContentFacts = {
      root: 'f'.repeat(64) as ContentFacts['root'],
      sizeBytes: 2 ** 50,
      pieceSizeBytes: 16 * MIB,
    };
    await expect(engine.createPart(huge, at('huge.part'))).rejects.toMatchObject({ code: 'disk-full' });
  });
});
