/** The swarms that `pnpm sim` knows by name, and what is expected of each. */
import { KIB, MIB } from '../../src/protocol/limits.ts';
import type { Preset, Result } from './result.ts';
import type { SwarmPlan } from './scenario.ts';

const MB = 1_000_000;

const HUNDRED: SwarmPlan = {
  seeders: 1,
  peers: 100,
  sizeBytes: 1024 * MIB,
  pieceSizeBytes: 512 * KIB,
  seedUp: 100 * MB,
  up: 100 * MB,
  down: 100 * MB,
  latencyMs: 1,
  spread: 1,
  peersMax: 50,
  memoryBytes: 64 * MIB,
  pipeline: undefined,
  leaving: 0,
  lying: 0,
  late: 0,
};

const allFinish = { what: 'all honest peers that stay finish', isMet: (result: Result) => result.unfinished === 0 };

export const PRESETS: Readonly<Record<string, Preset>> = {
  hundred: {
    what: '1 seeder with 100 MB/s, 100 peers with 100 MB/s each way, 1 GiB',
    plan: HUNDRED,
    target: { what: 'the last peer within 1.25 of the bound', isMet: ({ maxMs, boundMs }) => maxMs <= 1.25 * boundMs },
  },
  kraken: {
    what: '2,600 hosts with 300 MB/s each way, 5 origins, 3 GB in pieces of 4 MiB',
    plan: {
      ...HUNDRED,
      seeders: 5,
      peers: 2600,
      sizeBytes: 3000 * MB,
      pieceSizeBytes: 4 * MIB,
      seedUp: 300 * MB,
      up: 300 * MB,
      down: 300 * MB,
    },
    target: { what: 'p99 under 18 s', isMet: ({ p99Ms }) => p99Ms < 18_000 },
    published: { who: 'Kraken', p50Ms: 10_000, p99Ms: 18_000, p999Ms: 22_000 },
  },
  churn: {
    what: 'hundred, with 30 % of the peers leaving mid-way, half of them without a word',
    plan: { ...HUNDRED, leaving: 0.3 },
    target: allFinish,
  },
  liars: {
    what: 'hundred, with 20 % of the peers saying that they have everything, and lying',
    plan: { ...HUNDRED, lying: 0.2 },
    target: allFinish,
  },
  mixed: {
    what: '200 peers with 1 to 20 MB/s up and 4 to 20 MB/s down, 5 to 50 ms away; some leave, lie or come late',
    plan: {
      ...HUNDRED,
      peers: 200,
      sizeBytes: 256 * MIB,
      seedUp: 20 * MB,
      up: 20 * MB,
      down: 20 * MB,
      latencyMs: 5,
      spread: 20,
      leaving: 0.1,
      lying: 0.1,
      late: 0.3,
    },
    target: allFinish,
  },
};
