/** 1,000 simulated networks of three trackers: each ends in agreement, with nothing lost that was acknowledged. */
import { expect, test } from 'vitest';
import { newIdentity } from '../../src/main/net/identity.ts';
import { addHardships, noHardships } from './hardships.ts';
import { World } from './world.ts';

const SEEDS = 1_000;

test(`${SEEDS} worlds of partitions, crashes and wrong clocks lose nothing and agree`, async () => {
  const identities = await Promise.all([newIdentity(), newIdentity(), newIdentity()]);
  const total = noHardships();
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const world = await new World(seed, identities).run().catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
    addHardships(total, world);
  }
  console.log(`${SEEDS} worlds: ${JSON.stringify(total)}`);
  // The worlds were as hard as they should be.
  expect(total.acknowledged).toBeGreaterThan(10 * SEEDS);
  expect(total.replayed).toBeGreaterThan(10 * SEEDS);
  expect(total.refusedAhead).toBeGreaterThan(SEEDS);
  for (const [name, count] of Object.entries(total)) expect([name, count > SEEDS / 2]).toEqual([name, true]);
});
