/**
 * The picker where a file has more pieces than it keeps in order at once: pieces of closed blocks are still found, given
 * back, counted and given out once each, and among those it looks at the rarest still goes first.
 */
import { describe, expect, it } from 'vitest';
import { Picker } from '../../src/main/swarm/picker.ts';
import { BLOCK_PIECES } from '../../src/main/swarm/rarity-order.ts';
import { Bitfield } from '../../src/protocol/bitfield.ts';
import { seeded } from '../support/seeded.ts';

const PIECES = 20 * BLOCK_PIECES + 77;

function make(seed: number) {
  const random = seeded(seed);
  const picker = new Picker<number>(PIECES, random);
  picker.unlock(0, PIECES, (index) => index % 3 === 0);
  const some = (part: number) => {
    const have = new Bitfield(PIECES);
    for (let index = 0; index < PIECES; index += 1) if (random() < part) have.set(index);
    return have;
  };
  return { random, picker, some };
}

describe('a picker of many blocks', () => {
  it.each([1, 2, 3])('gives out every piece once, whoever is asked and whatever comes back (seed %i)', (seed) => {
    const { random, picker, some } = make(seed);
    const haves = [Bitfield.full(PIECES), some(0.5), some(0.02), some(0.0005), new Bitfield(PIECES)];
    for (const [key, have] of haves.entries()) picker.addPeer(key, have);
    const missing = new Set<number>();
    for (let index = 0; index < PIECES; index += 1) if (index % 3 !== 0) missing.add(index);
    const gone: number[] = [];
    for (let step = 0; missing.size > 0; step += 1) {
      const key = Math.floor(random() * haves.length);
      const index = picker.take(key) ?? picker.take(0);
      if (index === undefined || !missing.delete(index)) throw new Error(`step ${step}: ${index} is given out`);
      gone.push(index);
      picker.peerGained(4, Math.floor(random() * PIECES));
      if (random() < 0.1) {
        const back = gone[Math.floor(random() * gone.length)] ?? 0;
        picker.putBack(back);
        missing.add(back);
      }
      if (random() < 0.0002) {
        const left = haves[3] ?? new Bitfield(PIECES);
        picker.removePeer(3);
        picker.addPeer(3, left);
      }
      if (step % 5000 !== 0) continue;
      expect(picker.missing).toBe(missing.size);
      for (const [at, have] of haves.entries()) {
        expect(picker.wantedOf(at)).toBe([...missing].filter((piece) => have.has(piece)).length);
      }
    }
    expect(picker.missing).toBe(0);
    expect(picker.isReachable).toBe(false);
    expect(picker.take(0)).toBeUndefined();
  });

  it('takes only what a peer has, also where that is a handful in a block that is not in order', () => {
    const { picker, some } = make(7);
    const few = some(0.0002);
    const wanted = Array.from({ length: PIECES }, (_, index) => index).filter((at) => at % 3 !== 0 && few.has(at));
    picker.addPeer(0, Bitfield.full(PIECES));
    picker.addPeer(1, few);
    const taken = wanted.map(() => picker.take(1) ?? -1);
    expect(taken.toSorted((a, b) => a - b)).toEqual(wanted);
    expect(picker.take(1)).toBeUndefined();
  });

  it('prefers what a peer with little has gained last', () => {
    const { picker } = make(8);
    picker.addPeer(0, Bitfield.full(PIECES));
    picker.addPeer(1, new Bitfield(PIECES));
    for (const index of [10, 40_000, 70_000]) picker.peerGained(1, index);
    expect([picker.take(1), picker.take(1), picker.take(1)]).toEqual([70_000, 40_000, 10]);
  });
});
