/**
 * `pnpm sim <preset> [flags]`: a whole swarm in one process, on a virtual clock and by a seed. Prints how long its peers
 * took beside the least they could have, and exits with 1 where the preset's target is missed.
 */
import { parseArgs } from 'node:util';
import { parseSize } from '../../src/main/shell/flags.ts';
import { table } from '../../src/main/shell/format.ts';
import { seeded } from '../support/seeded.ts';
import { PRESETS } from './presets.ts';
import { describe, resultOf } from './result.ts';
import { type SwarmPlan, scenarioOf } from './scenario.ts';
import { Swarm } from './swarm.ts';

/** Virtual time after which a swarm that is not done is given up, in bounds. */
const GIVE_UP_BOUNDS = 20;

/** Flags of a plan's numbers, by name. */
const COUNTS = { peers: 'peers', seeders: 'seeders', 'max-peers': 'peersMax', pipeline: 'pipeline' } as const;
const SIZES = {
  size: 'sizeBytes',
  'piece-size': 'pieceSizeBytes',
  memory: 'memoryBytes',
  'seed-up': 'seedUp',
  up: 'up',
  down: 'down',
} as const;
const NUMBERS = { latency: 'latencyMs', spread: 'spread', leaving: 'leaving', lying: 'lying', late: 'late' } as const;

const HELP = `Flags, each replacing a number of the preset:
  --peers 100 --seeders 1 --max-peers 50 --pipeline 4
  --size 1GiB --piece-size 512KiB --memory 64MiB
  --seed-up 100000000 --up 20MiB --down 20MiB     bytes per second
  --latency 1                                     ms, one way
  --spread 20                                     uplinks and latencies up to so many times apart
  --leaving 0.3 --lying 0.2 --late 0.1            parts of the peers
  --seed 1 --json`;

function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new Error(`--${name}: "${text}" is not a number from 0 up`);
  return value;
}

function wholeNumber(name: string, text: string): number {
  const value = positive(name, text);
  if (!Number.isSafeInteger(value)) throw new Error(`--${name}: "${text}" is not a whole number`);
  return value;
}

function bytes(name: string, text: string): number {
  const value = /^\d+$/.test(text) ? Number(text) : parseSize(text);
  if (!value) throw new Error(`--${name}: "${text}" is not a size such as 512KiB`);
  return value;
}

function withFlags(plan: SwarmPlan, values: Readonly<Record<string, string | boolean | undefined>>): SwarmPlan {
  const changes: Record<string, number> = {};
  const take = (fields: Readonly<Record<string, string>>, read: (name: string, text: string) => number) => {
    for (const [name, field] of Object.entries(fields)) {
      const text = values[name];
      if (typeof text === 'string') changes[field] = read(name, text);
    }
  };
  take(COUNTS, wholeNumber);
  take(SIZES, bytes);
  take(NUMBERS, positive);
  return { ...plan, ...changes };
}

function main(args: readonly string[]): number {
  const names = Object.keys({ ...COUNTS, ...SIZES, ...NUMBERS });
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      ...Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])),
      seed: { type: 'string' as const },
      json: { type: 'boolean' as const },
      help: { type: 'boolean' as const, short: 'h' },
    },
  });
  const [name] = positionals;
  if (name === undefined || values.help) {
    const rows = Object.entries(PRESETS).map(([preset, { what }]) => [`  pnpm sim ${preset}`, what]);
    process.stdout.write(`${table(rows)}\n\n${HELP}\n`);
    return 0;
  }
  const preset = Object.hasOwn(PRESETS, name) ? PRESETS[name] : undefined;
  if (!preset) throw new Error(`there is no preset "${name}"; pnpm sim lists them`);
  const seed = wholeNumber('seed', values.seed ?? '1');
  const random = seeded(seed);
  const scenario = scenarioOf(withFlags(preset.plan, values), random);
  const swarm = new Swarm(scenario, random);
  const startedMs = performance.now();
  swarm.run(GIVE_UP_BOUNDS);
  const result = resultOf(scenario, swarm);
  if (values.json) process.stdout.write(`${JSON.stringify({ preset: name, seed, ...result })}\n`);
  else {
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
    process.stdout.write(`${name}, seed ${seed}: ${preset.what}\n${describe(result, preset)}\n`);
    process.stderr.write(`  (${result.events} events in ${seconds} s of ours)\n`);
  }
  return preset.target.isMet(result) && result.unfinished === 0 ? 0 : 1;
}

try {
  process.exitCode = main(process.argv.slice(2));
} catch (error) {
  process.stderr.write(`sim: ${(error as Error).message}\n`);
  process.exitCode = 2;
}
