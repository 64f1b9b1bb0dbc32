/**
 * The upload queue beside a naive one that keeps the same books in the plainest way, and what fairness means: who asks
 * gets an equal share of the bytes, whenever it came and however it slept.
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Copies, UploadQueue, type UploadRequest } from '../../src/main/swarm/upload-queue.ts';
import { KIB, MIB } from '../../src/protocol/limits.ts';

const PEERS = 4;
const LIMITS = { waitingMax: 6, inProcessBytesMax: 3 * MIB };

type Step =
  | { readonly type: 'join' | 'gone'; readonly peer: number }
  | {
      readonly type: 'ask';
      readonly peer: number;
      readonly channel: number;
      readonly index: number;
      readonly bytes: number;
    }
  | { readonly type: 'cancel'; readonly peer: number; readonly channel: number; readonly index: number }
  | { readonly type: 'cancel-channel'; readonly peer: number; readonly channel: number }
  | { readonly type: 'serve' }
  | { readonly type: 'finish'; readonly nth: number };

/** As the queue has them. */
const COMPARED_MAX = 16;
const PASSED_OVER_MAX = 8;

/** The same requests in one flat list, searched anew at each look. */
class NaiveQueue {
  waiting: { peer: number; request: UploadRequest }[] = [];
  inProcess: { peer: number; request: UploadRequest; visit: number }[] = [];
  readonly visits = new Map<number, number>();
  readonly sent: number[] = [];
  /** What went before a peer's oldest request. */
  readonly passed = new Map<UploadRequest, number>();
  #visit = 0;

  join(peer: number): void {
    this.#visit += 1;
    this.visits.set(peer, this.#visit);
  }

  gone(peer: number): void {
    this.visits.delete(peer);
    this.waiting = this.waiting.filter((one) => one.peer !== peer);
  }

  of(peer: number): UploadRequest[] {
    return this.waiting.filter((one) => one.peer === peer).map(({ request }) => request);
  }

  /** What a peer is to be sent next: its least sent piece, unless its oldest request has waited long enough. */
  nextOf(peer: number): UploadRequest | undefined {
    const waiting = this.of(peer);
    const [oldest] = waiting;
    if (!oldest || (this.passed.get(oldest) ?? 0) >= PASSED_OVER_MAX) return oldest;
    const fitting = waiting.slice(0, COMPARED_MAX).filter((request) => this.#fits(peer, request));
    const least = Math.min(...fitting.map(({ index }) => this.sent[index] ?? 0));
    return fitting.find(({ index }) => (this.sent[index] ?? 0) === least);
  }

  serve(peer: number, request: UploadRequest): void {
    const [oldest] = this.of(peer);
    if (oldest) this.passed.set(oldest, (this.passed.get(oldest) ?? 0) + 1);
    this.waiting.splice(
      this.waiting.findIndex((one) => one.request === request),
      1,
    );
    this.inProcess.push({ peer, request, visit: this.visits.get(peer) ?? 0 });
    this.sent[request.index] = (this.sent[request.index] ?? 0) + 1;
  }

  /** Peers whose oldest request may be served now. */
  ready(): number[] {
    return [...this.visits.keys()].filter((peer) => {
      const [first] = this.of(peer);
      return first && this.#fits(peer, first);
    });
  }

  #fits(peer: number, request: UploadRequest): boolean {
    const mine = this.inProcess.filter((one) => one.peer === peer && one.visit === this.visits.get(peer));
    const bytes = mine.reduce((sum, one) => sum + one.request.bytes, 0);
    return mine.length < 2 || bytes + request.bytes <= LIMITS.inProcessBytesMax;
  }
}

class Pair {
  readonly naive = new NaiveQueue();
  readonly queue = new UploadQueue<number>(LIMITS);
  readonly copies = new Copies(4);

  do(step: Step): void {
    const { naive, queue } = this;
    switch (step.type) {
      case 'join':
        if (naive.visits.has(step.peer)) return;
        naive.join(step.peer);
        queue.addPeer(step.peer);
        return;
      case 'gone':
        naive.gone(step.peer);
        queue.removePeer(step.peer);
        return;
      case 'ask': {
        if (!naive.visits.has(step.peer)) return;
        const { peer, channel, index, bytes } = step;
        const request = { channel, index, bytes, copies: this.copies };
        if (naive.of(peer).length === LIMITS.waitingMax) {
          expect(() => queue.add(peer, request)).toThrow('too many open requests');
          return;
        }
        queue.add(peer, request);
        naive.waiting.push({ peer, request });
        return;
      }
      case 'cancel': {
        const at = naive.waiting.findIndex(
          ({ peer, request }) => peer === step.peer && request.channel === step.channel && request.index === step.index,
        );
        expect(queue.cancel(step.peer, step.channel, step.index)).toBe(at >= 0);
        if (at >= 0) naive.waiting.splice(at, 1);
        return;
      }
      case 'cancel-channel':
        queue.cancelChannel(step.peer, step.channel);
        naive.waiting = naive.waiting.filter(
          ({ peer, request }) => peer !== step.peer || request.channel !== step.channel,
        );
        return;
      case 'serve':
        this.serve();
        return;
      case 'finish': {
        const [done] = naive.inProcess.splice(step.nth % Math.max(1, naive.inProcess.length), 1);
        // What was in process for a peer that left and came back is not its business any more; the owner's keys
        // are connections, which never come back, so only those of this visit are reported.
        if (done && naive.visits.get(done.peer) === done.visit) queue.finished(done.peer, done.request);
        return;
      }
      default:
        step satisfies never;
    }
  }

  serve(): void {
    const { naive, queue } = this;
    const ready = naive.ready();
    const peeked = queue.peek();
    expect(queue.peek()).toEqual(peeked);
    const taken = queue.take();
    expect(taken).toEqual(peeked);
    if (!taken) {
      expect(ready).toEqual([]);
      return;
    }
    expect(ready).toContain(taken.peer);
    expect(taken.request).toBe(naive.nextOf(taken.peer));
    naive.serve(taken.peer, taken.request);
  }
}

const peer = fc.nat(PEERS - 1);
const channel = fc.integer({ min: 1, max: 2 });
const index = fc.nat(3);
const bytes = fc.constantFrom(16 * KIB, 512 * KIB, MIB, 16 * MIB);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ type: fc.constant('join' as const), peer }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('gone' as const), peer }) },
  { weight: 8, arbitrary: fc.record({ type: fc.constant('ask' as const), peer, channel, index, bytes }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('cancel' as const), peer, channel, index }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('cancel-channel' as const), peer, channel }) },
  { weight: 6, arbitrary: fc.record({ type: fc.constant('serve' as const) }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('finish' as const), nth: fc.nat(20) }) },
);

/** One whose requests never end: always some waiting, served at once unless it is told to be slow. */
class Asker {
  readonly queue: UploadQueue<string>;
  readonly key: string;
  readonly pieceBytes: number;
  readonly copies = new Copies(1000);
  servedBytes = 0;
  #next = 0;

  constructor(queue: UploadQueue<string>, key: string, pieceBytes: number) {
    this.queue = queue;
    this.key = key;
    this.pieceBytes = pieceBytes;
    queue.addPeer(key);
  }

  ask(count = 1): void {
    for (let n = 0; n < count; n += 1) {
      this.queue.add(this.key, { channel: 1, index: this.#next, bytes: this.pieceBytes, copies: this.copies });
      this.#next += 1;
    }
  }
}

/** Serves so many requests; who was served asks again. Those named leave what they get in process. */
function serve(
  queue: UploadQueue<string>,
  askers: readonly Asker[],
  count: number,
  slow: readonly string[] = [],
): void {
  for (let n = 0; n < count; n += 1) {
    const next = queue.take();
    if (!next) throw new Error('somebody asks');
    const asker = askers.find(({ key }) => key === next.peer);
    if (!asker) throw new Error('a known peer is served');
    asker.servedBytes += next.request.bytes;
    if (!slow.includes(next.peer)) queue.finished(next.peer, next.request);
    asker.ask();
  }
}

const room = () => new UploadQueue<string>({ waitingMax: 1000, inProcessBytesMax: 4 * MIB });

describe('the upload queue', () => {
  it('does what a naive one does, step by step', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 150, size: 'max' }), (steps) => {
        const pair = new Pair();
        for (const one of steps) {
          pair.do(one);
          expect(pair.queue.peek() !== undefined).toBe(pair.naive.ready().length > 0);
        }
        // Whatever happened, all that waits can be served in the end.
        for (let left = pair.naive.waiting.length; left > 0; left -= 1) {
          for (let n = pair.naive.inProcess.length; n > 0; n -= 1) pair.do({ type: 'finish', nth: 0 });
          pair.serve();
        }
        expect(pair.naive.waiting).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('throws for a peer that asks for more at once than it may, and for one it does not know', () => {
    const queue = new UploadQueue<string>({ waitingMax: 2, inProcessBytesMax: MIB });
    const request = { channel: 1, index: 0, bytes: 1, copies: new Copies(1) };
    expect(() => queue.add('a', request)).toThrow('invariant');
    queue.addPeer('a');
    queue.add('a', request);
    queue.add('a', request);
    expect(() => queue.add('a', request)).toThrow(expect.objectContaining({ name: 'ProtocolViolation' }));
  });
});

describe('fairness', () => {
  it('is by bytes, whatever the sizes of pieces', () => {
    const queue = room();
    const askers = [16 * KIB, 512 * KIB, MIB].map((size, n) => new Asker(queue, `peer ${n}`, size));
    for (const asker of askers) asker.ask(4);
    serve(queue, askers, 2000);
    const shares = askers.map(({ servedBytes }) => servedBytes);
    expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(MIB);
  });

  it('gives a newcomer an equal share, no more, also when it comes in a moment of quiet', () => {
    for (const quiet of [false, true]) {
      const queue = room();
      const old = new Asker(queue, 'old', 512 * KIB);
      old.ask(1);
      serve(queue, [old], 1000);
      if (quiet) queue.cancelChannel('old', 1);
      const fresh = new Asker(queue, 'fresh', 512 * KIB);
      fresh.ask(4);
      old.ask(4);
      const before = old.servedBytes;
      serve(queue, [old, fresh], 100);
      expect(old.servedBytes - before).toBeGreaterThanOrEqual(49 * 512 * KIB);
      expect(fresh.servedBytes).toBeGreaterThanOrEqual(49 * 512 * KIB);
    }
  });

  it('lets nobody save up a claim by resting', () => {
    const queue = room();
    const [a, b] = [new Asker(queue, 'a', 512 * KIB), new Asker(queue, 'b', 512 * KIB)];
    a.ask(1);
    b.ask(1);
    serve(queue, [a, b], 10);
    queue.cancelChannel('b', 1);
    serve(queue, [a], 500);
    b.ask(4);
    const before = { a: a.servedBytes, b: b.servedBytes };
    serve(queue, [a, b], 100);
    expect(a.servedBytes - before.a).toBe(50 * 512 * KIB);
    expect(b.servedBytes - before.b).toBe(50 * 512 * KIB);
  });

  it('lets nobody save up a claim by reading slowly', () => {
    const queue = room();
    const [slow, quick] = [new Asker(queue, 'slow', 512 * KIB), new Asker(queue, 'quick', 512 * KIB)];
    slow.ask(20);
    quick.ask(20);
    serve(queue, [slow, quick], 500, ['slow']);
    // Its window of 4 MiB is full, and the other one goes on.
    expect(slow.servedBytes).toBe(4 * MIB);
    expect(quick.servedBytes).toBe(250 * MIB - 4 * MIB);
    for (let n = 0; n < 8; n += 1)
      queue.finished('slow', { channel: 1, index: n, bytes: 512 * KIB, copies: slow.copies });
    const before = quick.servedBytes;
    serve(queue, [slow, quick], 100);
    expect(quick.servedBytes - before).toBeGreaterThanOrEqual(40 * 512 * KIB);
  });

  it('holds a slow reader to its window, and two requests at least', () => {
    const queue = new UploadQueue<string>({ waitingMax: 100, inProcessBytesMax: MIB });
    const big = new Asker(queue, 'big', 16 * MIB);
    big.ask(5);
    expect([queue.take(), queue.take(), queue.take()].map((one) => one?.request.index)).toEqual([0, 1, undefined]);
    const small = new Asker(queue, 'small', 256 * KIB);
    small.ask(10);
    expect([1, 2, 3, 4, 5].map(() => queue.take()?.request.index)).toEqual([0, 1, 2, 3, undefined]);
  });
});

describe('rare pieces', () => {
  const three = (...asked: readonly (readonly number[])[]) => {
    const queue = room();
    const copies = new Copies(100);
    for (const [peer, indexes] of asked.entries()) {
      queue.addPeer(`peer ${peer}`);
      for (const index of indexes) queue.add(`peer ${peer}`, { channel: 1, index, bytes: 512 * KIB, copies });
    }
    return queue;
  };
  const served = (queue: UploadQueue<string>, count: number) =>
    Array.from({ length: count }, () => {
      const next = queue.take();
      if (next) queue.finished(next.peer, next.request);
      return next?.request.index;
    });

  it('go out once before any goes out twice', () => {
    const queue = three([0, 1, 2], [0, 2, 3], [0, 3, 4]);
    expect(served(queue, 5).sort()).toEqual([0, 1, 2, 3, 4]);
    expect(served(queue, 5).sort()).toEqual([0, 0, 2, 3, undefined]);
  });

  it('do not let a peer get far ahead of one that asks for what all have', () => {
    const queue = three(
      [0],
      Array.from({ length: 40 }, (_, n) => n),
    );
    queue.add('peer 0', { channel: 1, index: 0, bytes: 512 * KIB, copies: new Copies(1) });
    const first = Array.from({ length: 12 }, () => {
      const next = queue.take();
      if (next) queue.finished(next.peer, next.request);
      return next?.peer;
    });
    expect(first.filter((peer) => peer === 'peer 0').length).toBe(2);
  });

  it('leave no request waiting for ever', () => {
    const queue = room();
    const copies = new Copies(1000);
    queue.addPeer('a');
    for (let n = 0; n < 5; n += 1) copies.add(0);
    for (let n = 0; n < 100; n += 1) queue.add('a', { channel: 1, index: n, bytes: KIB, copies });
    expect(served(queue, 9).indexOf(0)).toBe(8);
  });
});

describe('who leaves', () => {
  it('takes what it asked for along, and what is in process ends to no effect', () => {
    const queue = room();
    const [a, b] = [new Asker(queue, 'a', MIB), new Asker(queue, 'b', MIB)];
    a.ask(3);
    b.ask(1);
    const first = queue.take();
    expect(first?.peer).toBe('a');
    queue.removePeer('a');
    expect(queue.take()?.peer).toBe('b');
    expect(queue.take()).toBeUndefined();
    if (first) queue.finished('a', first.request);
    expect(queue.cancel('a', 1, 1)).toBe(false);
    queue.cancelChannel('a', 1);
    queue.removePeer('a');
  });
});
