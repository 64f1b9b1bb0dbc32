/** Late transactions: whatever the order in which they come, the registry is that of their own order. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { History } from '../../src/main/tracker/history.ts';
import { comparePlaces } from '../../src/main/tracker/hlc.ts';
import { Registry } from '../../src/main/tracker/registry.ts';
import { registryDigest } from '../../src/main/tracker/registry-digest.ts';
import type { TrackerId } from '../../src/protocol/ids.ts';
import type { Transaction } from '../../src/protocol/transaction.ts';
import { operation } from '../support/operations.ts';
import { transactionOf } from '../support/registry.ts';

const tracker = (number: number) => number.toString(16).padStart(64, '0') as TrackerId;

/** Logs of three trackers that heard little of each other. */
const logs = fc
  .array(fc.record({ op: operation, origin: fc.integer({ min: 1, max: 3 }), seen: fc.nat(4), step: fc.nat(3) }), {
    maxLength: 80,
  })
  .map((written) => {
    const seqs = new Map<number, number>();
    const times = new Map<number, number>();
    return written.map(({ op, origin, seen, step }, at): Transaction => {
      const seq = (seqs.get(origin) ?? 0) + 1;
      const ms = (times.get(origin) ?? 0) + 1 + step;
      seqs.set(origin, seq);
      times.set(origin, ms);
      const versionVector = Object.fromEntries([...seqs].map(([of, last]) => [tracker(of), Math.max(0, last - seen)]));
      return { ...transactionOf(op, at + 1), origin: tracker(origin), seq, hlc: { ms, counter: 0 }, versionVector };
    });
  });

/** The logs cut into batches, in an order that keeps each log's own. */
const arrivals = logs.chain((transactions) =>
  fc.record({
    transactions: fc.constant(transactions),
    order: fc.array(fc.nat(2), { minLength: transactions.length, maxLength: transactions.length }),
    batch: fc.integer({ min: 1, max: 7 }),
    window: fc.integer({ min: 1, max: 40 }),
  }),
);

describe('a history', () => {
  test('adds up to the same in whatever order the logs come, however little can be undone', () => {
    fc.assert(
      fc.property(arrivals, ({ transactions, order, batch, window }) => {
        const queues = [1, 2, 3].map((of) => transactions.filter(({ origin }) => origin === tracker(of)));
        const arriving = order.flatMap((at) => queues[at]?.shift() ?? []).concat(queues.flat());
        const history = new History(window);
        const stored: Transaction[] = [];
        let executed = 0;
        for (let at = 0; at < arriving.length; at += batch) {
          const fresh = arriving.slice(at, at + batch);
          stored.push(...fresh);
          executed += history.insert(fresh, () => stored.toSorted(comparePlaces)).executed.length;
        }
        const straight = new Registry();
        for (const transaction of transactions.toSorted(comparePlaces)) straight.execute(transaction);
        expect(executed).toBe(transactions.length);
        expect(history.registry.snapshot()).toEqual(straight.snapshot());
        expect(registryDigest(history.registry)).toEqual(registryDigest(straight));
      }),
      { numRuns: 300 },
    );
  });
});
