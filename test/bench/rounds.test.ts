/** Contenders take turns, and their rounds become medians and ratios. */
import { expect, test } from 'vitest';
import { summarize } from '../../bench/support/measure.ts';
import { Rounds, rotated, takeTurns } from '../../bench/support/rounds.ts';

const identity = (value: number) => value;

test('the median of an even number of values lies between the two in the middle', () => {
  expect(summarize([9, 1, 4, 2])).toEqual({ median: 3, min: 1, max: 9 });
  expect(summarize([5, 1, 3])).toEqual({ median: 3, min: 1, max: 5 });
  expect(summarize([]).median).toBeNaN();
});

test('a ratio is taken in each round, not of the medians', () => {
  const rounds = new Rounds([
    new Map([
      ['a', 10],
      ['b', 1],
    ]),
    new Map([
      ['a', 3],
      ['b', 3],
    ]),
    new Map([
      ['a', 8],
      ['b', 4],
    ]),
  ]);
  expect(rounds.ratio('a', 'b', identity)).toEqual({ median: 2, min: 1, max: 10 });
});

test('rounds without a number count for nothing', () => {
  const rounds = new Rounds([new Map([['a', 1]]), new Map([['b', 1]]), new Map([['a', 5]])]);
  expect(rounds.of('a', (value) => (value > 1 ? value : undefined))).toEqual({ median: 5, min: 5, max: 5 });
  expect(rounds.ratio('a', 'b', identity).median).toBeNaN();
});

test('each begins once before any comes second to begin', () => {
  expect([0, 1, 2, 3].map((round) => rotated(['a', 'b', 'c'], round).join(''))).toEqual(['abc', 'bca', 'cab', 'abc']);
  expect(rotated([], 1)).toEqual([]);
});

test('all warm up, which counts for nothing, and then run once a round in rotated order', async () => {
  const ran: string[] = [];
  const contender = (name: string) => ({
    name,
    run: async () => {
      ran.push(name);
      return ran.length;
    },
  });
  const warmedUp: string[] = [];
  const rounds = await takeTurns([contender('a'), contender('b')], {
    rounds: 2,
    warmedUp: async (name) => void warmedUp.push(name),
    told: String,
  });
  expect(ran.join('')).toBe('ababba');
  expect(warmedUp).toEqual(['a', 'b']);
  expect(rounds.raw()).toEqual([
    { a: 3, b: 4 },
    { b: 5, a: 6 },
  ]);
});
