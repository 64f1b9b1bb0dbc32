/**
 * The picker beside a naive one: plain sets, counted anew at each look. Random scripts of everything that can happen drive
 * both; after each step they must agree on what is missing, what each peer could give, and how rare it is.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Picker } from '../../src/main/swarm/picker.ts';
import { Bitfield } from '../../src/protocol/bitfield.ts';
import { seeded } from '../support/seeded.ts';

type Step =
  | { readonly type: 'add'; readonly peer: number; readonly have: readonly number[] | 'all' }
  | { readonly type: 'gone' | 'take'; readonly peer: number }
  | { readonly type: 'gained' | 'lacks'; readonly peer: number; readonly index: number }
  | { readonly type: 'unlock'; readonly first: number; readonly count: number; readonly skip: number }
  | { readonly type: 'putBack'; readonly nth: number }
  | { readonly type: 'remove'; readonly index: number };

const PEERS = 5;

/** What a picker should be: sets, and no shortcut. */
class NaivePicker {
  readonly missing = new Set<number>();
  readonly taken: number[] = [];
  readonly peers = new Map<number, { readonly have: Set<number>; lastTaken: number }>();

  availability(index: number): number {
    return [...this.peers.values()].filter(({ have }) => have.has(index)).length;
  }

  wanted(peer: number): number[] {
    return [...(this.peers.get(peer)?.have ?? [])].filter((index) => this.missing.has(index));
  }

  rarestOf(peer: number): number {
    return Math.min(...this.wanted(peer).map((index) => this.availability(index)));
  }
}

class Pair {
  readonly count: number;
  readonly naive = new NaivePicker();
  readonly picker: Picker<number>;

  constructor(count: number, seed: number) {
    this.count = count;
    this.picker = new Picker(count, seeded(seed));
  }

  do(step: Step): void {
    const { naive, picker, count } = this;
    switch (step.type) {
      case 'add': {
        if (naive.peers.has(step.peer)) return;
        const have = step.have === 'all' ? Array.from({ length: count }, (_, i) => i) : step.have.map((i) => i % count);
        const bits = new Bitfield(count);
        for (const index of have) bits.set(index);
        naive.peers.set(step.peer, { have: new Set(have), lastTaken: -2 });
        picker.addPeer(step.peer, bits);
        return;
      }
      case 'gone':
        naive.peers.delete(step.peer);
        picker.removePeer(step.peer);
        return;
      case 'gained': {
        const index = step.index % count;
        const have = naive.peers.get(step.peer)?.have;
        expect(picker.peerGained(step.peer, index)).toBe(have !== undefined && !have.has(index));
        have?.add(index);
        return;
      }
      case 'lacks':
        naive.peers.get(step.peer)?.have.delete(step.index % count);
        picker.peerLacks(step.peer, step.index % count);
        return;
      case 'unlock': {
        const first = step.first % count;
        const length = Math.min(step.count, count - first);
        const fresh = Array.from({ length }, (_, i) => first + i).filter((index) => !this.isKnown(index));
        // A run is unlocked once, all of it.
        if (fresh.length < length) return;
        picker.unlock(first, length, (index) => index % 7 === step.skip);
        for (const index of fresh) if (index % 7 !== step.skip) naive.missing.add(index);
        for (const index of fresh) if (index % 7 === step.skip) this.done.add(index);
        return;
      }
      case 'take':
        this.take(step.peer);
        return;
      case 'putBack': {
        const index = naive.taken.splice(step.nth % Math.max(1, naive.taken.length), 1)[0];
        if (index === undefined) return;
        naive.missing.add(index);
        picker.putBack(index);
        // Saying it twice changes nothing.
        picker.putBack(index);
        return;
      }
      case 'remove': {
        const index = step.index % count;
        if (naive.missing.delete(index)) this.done.add(index);
        picker.remove(index);
        return;
      }
      default:
        step satisfies never;
    }
  }

  readonly done = new Set<number>();

  isKnown(index: number): boolean {
    return this.naive.missing.has(index) || this.naive.taken.includes(index) || this.done.has(index);
  }

  take(key: number): number | undefined {
    const { naive, picker } = this;
    const wanted = naive.wanted(key);
    const rarest = naive.rarestOf(key);
    const peer = naive.peers.get(key);
    const rarestOfAll = Math.min(
      ...[...naive.missing].map((at) => naive.availability(at)).filter((count) => count > 0),
    );
    const follower = (peer?.lastTaken ?? -2) + 1;
    const followerIsBest = wanted.includes(follower) && naive.availability(follower) === rarestOfAll;
    const index = picker.take(key);
    expect(index !== undefined).toBe(wanted.length > 0);
    if (index === undefined || !peer) return undefined;
    expect(wanted).toContain(index);
    expect(naive.availability(index)).toBe(rarest);
    if (followerIsBest) expect(index).toBe(follower);
    peer.lastTaken = index;
    naive.missing.delete(index);
    naive.taken.push(index);
    return index;
  }

  agree(): void {
    const { naive, picker, count } = this;
    const indexes = Array.from({ length: count }, (_, index) => index);
    const keys = Array.from({ length: PEERS }, (_, key) => key);
    expect(indexes.filter((index) => picker.isMissing(index))).toEqual([...naive.missing].sort((a, b) => a - b));
    expect(picker.missing).toBe(naive.missing.size);
    expect(picker.isReachable).toBe([...naive.missing].some((index) => naive.availability(index) > 0));
    expect(keys.map((key) => picker.wantedOf(key))).toEqual(keys.map((key) => naive.wanted(key).length));
    for (const [key, { have }] of naive.peers)
      expect(indexes.filter((index) => picker.has(key, index))).toEqual([...have].sort((a, b) => a - b));
  }
}

const peer = fc.nat(PEERS - 1);
const index = fc.nat(199);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ type: fc.constant('add' as const), peer, have: fc.array(index) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('add' as const), peer, have: fc.constant('all' as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('gone' as const), peer }) },
  { weight: 8, arbitrary: fc.record({ type: fc.constant('take' as const), peer }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constantFrom('gained' as const, 'lacks' as const), peer, index }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('unlock' as const),
      first: index,
      count: fc.integer({ min: 1, max: 60 }),
      skip: fc.nat(6),
    }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('putBack' as const), nth: fc.nat(50) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('remove' as const), index }) },
);
const script = fc.record({
  count: fc.integer({ min: 1, max: 200 }),
  seed: fc.nat(),
  steps: fc.array(step, { maxLength: 120, size: 'max' }),
});

/** Pieces 0 to 199 but one. */
function rest(count: number, without: number): Bitfield {
  const have = new Bitfield(count);
  for (let index = 0; index < 200; index += 1) if (index !== without) have.set(index);
  return have;
}

describe('the picker', () => {
  it('does what a naive one does, step by step', () => {
    fc.assert(
      fc.property(script, ({ count, seed, steps }) => {
        const pair = new Pair(count, seed);
        for (const one of steps) {
          pair.do(one);
          pair.agree();
        }
      }),
      { numRuns: 300 },
    );
  });

  it('gives every piece out once, rarest first, until none is left', () => {
    fc.assert(
      fc.property(script, ({ count, seed, steps }) => {
        const pair = new Pair(count, seed);
        pair.do({ type: 'unlock', first: 0, count, skip: -1 });
        for (const one of steps) pair.do(one);
        pair.do({ type: 'gone', peer: 0 });
        pair.do({ type: 'add', peer: 0, have: 'all' });
        const left = pair.naive.missing.size;
        const got = new Set<number>();
        for (let n = 0; n < left; n += 1) got.add(pair.take(0) ?? -1);
        expect(got.size).toBe(left);
        expect(pair.take(0)).toBeUndefined();
        expect(pair.picker.missing).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it.each([0, 1])('takes runs from a lone seeder, also when it lacks %i pieces', (lacking) => {
    const picker = new Picker<string>(1000, seeded(1));
    picker.unlock(0, 1000, () => false);
    const have = Bitfield.full(1000);
    for (let index = 0; index < lacking; index += 1) have.clear(index);
    picker.addPeer('seeder', have);
    const order = Array.from({ length: have.count }, () => picker.take('seeder') ?? -1);
    const breaks = order.filter((piece, at) => at > 0 && piece !== (order[at - 1] ?? 0) + 1).length;
    expect(new Set(order).size).toBe(have.count);
    expect(breaks).toBeLessThan(20);
  });

  it('draws differently for different peers, so that equals do not all fetch the same', () => {
    const first = [1, 2, 3, 4, 5, 6, 7, 8].map((seed) => {
      const picker = new Picker<string>(4096, seeded(seed));
      picker.unlock(0, 4096, () => false);
      picker.addPeer('seeder', Bitfield.full(4096));
      return picker.take('seeder');
    });
    expect(new Set(first).size).toBeGreaterThan(5);
  });

  it('takes a rare piece where a peer has few of many rare ones, rather than a common one', () => {
    const count = 250;
    for (let seed = 0; seed < 20; seed += 1) {
      const picker = new Picker<string>(count, seeded(seed));
      picker.unlock(0, count, () => false);
      const [common, few] = [new Bitfield(count), new Bitfield(count)];
      for (let index = 200; index < count; index += 1) for (const have of [common, few]) have.set(index);
      few.set(seed);
      picker.addPeer('common', common);
      picker.addPeer('few', few);
      picker.addPeer('rest', rest(count, seed));
      expect(picker.take('few')).toBe(seed);
    }
  });

  it('finds the one rare piece among thousands of common ones', () => {
    const count = 10_000;
    for (let seed = 0; seed < 50; seed += 1) {
      const picker = new Picker<string>(count, seeded(seed));
      picker.unlock(0, count, () => false);
      const almost = Bitfield.full(count);
      almost.clear(seed * 17);
      picker.addPeer('seeder', Bitfield.full(count));
      picker.addPeer('other', almost);
      expect(picker.take('seeder')).toBe(seed * 17);
    }
  });
});
