/** 1,000 simulated networks of three trackers: each ends in agreement, with nothing lost that was acknowledged. */
import { expect, test } from 'vitest';
import { newIdentity } from '../../src/main/net/identity.ts';
import { World } from './world.ts';

const SEEDS = 1_000;

test(`${SEEDS} worlds of partitions, crashes and wrong clocks lose nothing and agree`, async () => {
  const identities = await Promise.all([newIdentity(), newIdentity(), newIdentity()]);
  let acknowledged = 0;
  let crashes = 0;
  let replayed = 0;
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const report = await new World(seed, identities).run().catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
    acknowledged += report.acknowledged;
    crashes += report.crashes;
    replayed += report.replayed;
  }
  // The worlds were as hard as they should be.
  expect(acknowledged).toBeGreaterThan(10 * SEEDS);
  expect(crashes).toBeGreaterThan(SEEDS);
  expect(replayed).toBeGreaterThan(10 * SEEDS);
  console.log(`${SEEDS} worlds: ${acknowledged} acknowledged, ${crashes} crashes, ${replayed} done again`);
});
