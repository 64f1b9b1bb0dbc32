/** Turns: everyone has one in each round, and none is much longer than another, whoever comes and goes. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Rota } from '../../src/main/tracker/rota.ts';

const TURNS = 7;
const round = (rota: Rota<number>) => Array.from({ length: TURNS }, () => [...rota.turn()]);

describe('a round', () => {
  test('has everyone exactly once, whoever came and went', () => {
    const steps = fc.array(fc.record({ comes: fc.boolean(), member: fc.nat(30), turns: fc.nat(3) }));
    fc.assert(
      fc.property(steps, (all) => {
        const rota = new Rota<number>(TURNS);
        const members = new Set<number>();
        for (const { comes, member, turns } of all) {
          if (comes) members.add(member);
          else members.delete(member);
          if (comes) rota.add(member);
          else rota.delete(member);
          for (let at = 0; at < turns; at += 1) rota.turn();
        }
        expect(rota.size).toBe(members.size);
        expect([...rota].sort()).toEqual([...members].sort());
        expect(round(rota).flat().sort()).toEqual([...members].sort());
      }),
    );
  });

  test('is spread evenly over its turns', () => {
    const rota = new Rota<number>(TURNS);
    for (let member = 0; member < 100; member += 1) rota.add(member);
    const sizes = round(rota).map((turn) => turn.length);
    expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
  });
});
