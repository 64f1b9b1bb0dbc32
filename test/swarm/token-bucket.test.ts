import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TokenBucket } from '../../src/main/swarm/token-bucket.ts';

describe('a token bucket', () => {
  it('lets no more through than its rate, its burst and one last piece', () => {
    const run = fc.record({
      rate: fc.integer({ min: 1000, max: 100_000_000 }),
      piece: fc.integer({ min: 1, max: 1_000_000 }),
      steps: fc.array(fc.integer({ min: 0, max: 500 }), { maxLength: 200 }),
    });
    fc.assert(
      fc.property(run, ({ rate, piece, steps }) => {
        const bucket = new TokenBucket(rate, 0);
        let nowMs = 0;
        let spent = 0;
        for (const step of steps) {
          nowMs += step;
          while (bucket.waitMs(nowMs) === 0) {
            bucket.spend(piece, nowMs);
            spent += piece;
          }
        }
        expect(spent).toBeLessThanOrEqual((rate * (nowMs + 250)) / 1000 + piece + 1);
      }),
    );
  });

  it('says how long to wait, no longer than needed', () => {
    const bucket = new TokenBucket(1_000_000, 0);
    bucket.spend(1_250_000, 0);
    expect(bucket.waitMs(0)).toBe(1000);
    expect(bucket.waitMs(400)).toBe(600);
    expect(bucket.waitMs(1001)).toBe(0);
  });

  it('without a rate never waits', () => {
    const bucket = new TokenBucket(undefined, 0);
    bucket.spend(1e15, 0);
    expect(bucket.waitMs(0)).toBe(0);
  });
});
