/**
 * A thousand small swarms, each by its seed, with every promise checked after every event; and what the simulator itself
 * promises. To replay a failing seed: `P2PFS_SEED=<seed> vitest run test/sim`.
 */
import { describe, expect, it } from 'vitest';
import { seeded } from '../support/seeded.ts';
import { runMixed } from './mixed.ts';
import { PRESETS } from './presets.ts';
import { resultOf } from './result.ts';
import { boundMs, type SwarmPlan, scenarioOf } from './scenario.ts';
import { Swarm } from './swarm.ts';
import { Timeline } from './timeline.ts';

function planOf(name: string, changes: Partial<SwarmPlan>): SwarmPlan {
  const preset = PRESETS[name];
  if (!preset) throw new Error(`a preset ${name}`);
  return { ...preset.plan, ...changes };
}

function run(plan: SwarmPlan, seed: number) {
  const random = seeded(seed);
  const scenario = scenarioOf(plan, random);
  const swarm = new Swarm(scenario, random);
  swarm.run(20);
  return resultOf(scenario, swarm);
}

const MB = 1_000_000;
const EIGHT = { peers: 8, sizeBytes: 64 * MB, seedUp: 20 * MB, up: 20 * MB, down: 20 * MB };

describe('a thousand small swarms', () => {
  const wished = process.env['P2PFS_SEED'];
  const seeds = wished ? [Number(wished)] : Array.from({ length: 1000 }, (_, seed) => seed);

  it('all finish, no promise broken on the way', () => {
    let wrong = 0;
    let useless = 0;
    for (const seed of seeds) {
      try {
        const { waste } = runMixed(seed);
        wrong += waste.wrong;
        useless += waste.useless;
      } catch (error) {
        throw new Error(`P2PFS_SEED=${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
    if (wished) return;
    // They are worth something only if they hold lies and an endgame.
    expect(wrong).toBeGreaterThan(500);
    expect(useless).toBeGreaterThan(100);
  });
});

describe('a simulated swarm', () => {
  it('runs alike for the same seed, and differently for another', () => {
    const plan = planOf('mixed', { peers: 20, sizeBytes: 16 * MB });
    expect(run(plan, 3)).toEqual(run(plan, 3));
    expect(run(plan, 3).events).not.toBe(run(plan, 4).events);
  });

  it('is never faster than its links', () => {
    for (let seed = 0; seed < 5; seed += 1) {
      const result = run(planOf('hundred', EIGHT), seed);
      expect(result.maxMs).toBeGreaterThan(result.boundMs);
      expect(result.seederCopies).toBeGreaterThanOrEqual(1);
    }
  });

  it('takes as long as the bound says, nearly, and its seeder sends little twice', () => {
    const result = run(planOf('hundred', EIGHT), 1);
    expect(result.unfinished).toBe(0);
    expect(result.maxMs / result.boundMs).toBeLessThan(1.25);
    expect(result.seederCopies).toBeLessThan(1.25);
  });

  it('gives all honest peers the file, also where many lie or leave', () => {
    for (const name of ['liars', 'churn']) {
      const result = run(planOf(name, { peers: 20, sizeBytes: 32 * MB }), 1);
      expect(result.unfinished).toBe(0);
      expect(result.finished).toBe(name === 'liars' ? 16 : 14);
    }
  });
});

describe('the bound', () => {
  const of = (changes: Partial<SwarmPlan>) => boundMs(scenarioOf(planOf('hundred', changes), seeded(1)));

  it('is the seeder, the slowest downlink, or all uplinks together', () => {
    expect(of({ sizeBytes: 100 * MB, seedUp: 10 * MB })).toBeCloseTo(10_000);
    expect(of({ sizeBytes: 100 * MB, down: 5 * MB })).toBeCloseTo(20_000);
    expect(of({ sizeBytes: 100 * MB, peers: 10, up: 1 * MB, seedUp: 90 * MB })).toBeCloseTo(10_000);
  });
});

describe('the timeline', () => {
  it('lets things happen by time, and as planned among equals', () => {
    const timeline = new Timeline();
    const random = seeded(5);
    const planned = Array.from({ length: 500 }, (_, order) => ({ timeMs: Math.floor(random() * 50), order }));
    const happened: typeof planned = [];
    for (const one of planned) timeline.at(one.timeMs, () => happened.push(one));
    while (timeline.step());
    expect(happened).toEqual(planned.toSorted((a, b) => a.timeMs - b.timeMs || a.order - b.order));
    expect(timeline.nowMs).toBe(happened.at(-1)?.timeMs);
  });
});
