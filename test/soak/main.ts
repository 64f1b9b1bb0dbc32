/**
 * What is too long for the tests: `pnpm soak [--seeds 10000] [--kills 300] [--minutes 3] [--clients 32]`. Simulated networks
 * of three trackers, then two real ones killed in turn under clients, then two on an etcd whose leaders are killed;
 * `pnpm soak etcd` is the last alone. Prints figures; ends with 1 at the first fault.
 */
import { parseArgs } from 'node:util';
import { newIdentity } from '../../src/main/net/identity.ts';
import { killRun } from '../support/kill-run.ts';
import { addHardships, noHardships } from '../tracker-sim/hardships.ts';
import { World } from '../tracker-sim/world.ts';
import { soakEtcd } from './etcd.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '10000' },
    kills: { type: 'string', default: '300' },
    minutes: { type: 'string', default: '3' },
    clients: { type: 'string', default: '32' },
  },
});
const HEALED_MS_MAX = 5_000;
const print = (text: string) => process.stdout.write(`${text}\n`);

async function simulate(seeds: number): Promise<void> {
  const identities = await Promise.all([newIdentity(), newIdentity(), newIdentity()]);
  const total = noHardships();
  for (let seed = 1; seed <= seeds; seed += 1) {
    const world = await new World(seed, identities).run().catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
    addHardships(total, world);
    if (seed % 1000 === 0) print(`${seed} worlds agree`);
  }
  print(`${seeds} worlds: ${JSON.stringify(total)}`);
}

async function kill(kills: number, clients: number): Promise<void> {
  const report = await killRun({ kills, clients });
  print(`${kills} kills under ${clients} clients: ${JSON.stringify(report)}`);
  const { lost, doubled, healedMs, digests } = report;
  if (lost > 0 || doubled > 0 || healedMs > HEALED_MS_MAX || new Set(digests).size !== 1) {
    throw new Error('not what was promised');
  }
}

const isAll = !positionals.includes('etcd');
if (isAll && Number(values.seeds) > 0) await simulate(Number(values.seeds));
if (isAll && Number(values.kills) > 0) await kill(Number(values.kills), Number(values.clients));
if (Number(values.minutes) > 0) await soakEtcd(Number(values.minutes), Number(values.clients), print);
