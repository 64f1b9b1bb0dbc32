/**
 * `pnpm bench <name> [flags]`: what is measured, and against whom. Without a name it lists the benches; `tour` runs all
 * of them, small. Numbers go to standard output, how it goes on to standard error.
 */
import { parseArgs } from 'node:util';
import { parseSize } from '../src/main/shell/flags.ts';
import { table } from '../src/main/shell/format.ts';
import { MIB } from '../src/protocol/limits.ts';
import { CRASH_DEFAULTS, crash } from './crash.ts';
import { FOLDER_DEFAULTS, folder } from './folder.ts';
import { join } from './join.ts';
import { metadata } from './metadata.ts';
import { picker } from './picker.ts';
import { SWARM_DEFAULTS, swarm } from './swarm.ts';
import { TRANSFER_DEFAULTS, transfer } from './transfer.ts';

interface Bench {
  readonly usage: string;
  readonly what: string;
  run(args: readonly string[]): Promise<void>;
  /** The same in well under a minute. */
  tour(): Promise<void>;
}

const BENCHES: Readonly<Record<string, Bench>> = {
  transfer: {
    usage: 'transfer [--size 2GiB] [--rounds 5] [--json]',
    what: 'a file from one member to another, beside cp and socat',
    run: (args) => {
      const { values } = parseArgs({
        args: [...args],
        options: { size: { type: 'string' }, rounds: { type: 'string' }, json: { type: 'boolean' } },
      });
      return transfer({
        sizeBytes: values.size === undefined ? TRANSFER_DEFAULTS.sizeBytes : sizeOf(values.size),
        rounds: values.rounds === undefined ? TRANSFER_DEFAULTS.rounds : countOf(values.rounds),
        json: values.json ?? false,
      });
    },
    tour: () => transfer({ sizeBytes: 256 * MIB, rounds: 3, json: false }),
  },
  swarm: {
    usage: 'swarm [--size 256MiB] [--downloaders 8] [--rate 20000000] [--json]',
    what: 'one seeder and several downloaders at once, against the bound',
    run: (args) => {
      const { values } = parseArgs({
        args: [...args],
        options: {
          size: { type: 'string' },
          downloaders: { type: 'string' },
          rate: { type: 'string' },
          json: { type: 'boolean' },
        },
      });
      return swarm({
        sizeBytes: values.size === undefined ? SWARM_DEFAULTS.sizeBytes : sizeOf(values.size),
        downloaders: values.downloaders === undefined ? SWARM_DEFAULTS.downloaders : countOf(values.downloaders),
        bytesPerSecond: values.rate === undefined ? SWARM_DEFAULTS.bytesPerSecond : sizeOf(values.rate),
        json: values.json ?? false,
      });
    },
    tour: () => swarm({ ...SWARM_DEFAULTS, sizeBytes: 64 * MIB, downloaders: 4 }),
  },
  folder: {
    usage: 'folder [--files 10000]',
    what: 'a folder of many files, shared and downloaded, beside cp -r',
    run: (args) => {
      const { values } = parseArgs({ args: [...args], options: { files: { type: 'string' } } });
      return folder({ files: values.files === undefined ? FOLDER_DEFAULTS.files : filesOf(values.files) });
    },
    tour: () => folder({ files: 1000 }),
  },
  metadata: {
    usage: 'metadata [--json]',
    what: 'how a download of 1 TiB begins',
    run: (args) => {
      const { values } = parseArgs({ args: [...args], options: { json: { type: 'boolean' } } });
      return metadata({ json: values.json ?? false });
    },
    tour: () => metadata({ json: false }),
  },
  crash: {
    usage: 'crash [--size 1GiB] [--kills 30] [--json]',
    what: 'a download whose process is killed again and again',
    run: (args) => {
      const { values } = parseArgs({
        args: [...args],
        options: { size: { type: 'string' }, kills: { type: 'string' }, json: { type: 'boolean' } },
      });
      return crash({
        sizeBytes: values.size === undefined ? CRASH_DEFAULTS.sizeBytes : sizeOf(values.size),
        kills: values.kills === undefined ? CRASH_DEFAULTS.kills : countOf(values.kills),
        json: values.json ?? false,
      });
    },
    tour: () => crash({ sizeBytes: 128 * MIB, kills: 5, json: false }),
  },
  picker: {
    usage: 'picker [--rounds 5]',
    what: 'time and memory a piece, at 4,096 to 2,097,152 pieces',
    run: async (args) => {
      const { values } = parseArgs({ args: [...args], options: { rounds: { type: 'string' } } });
      picker({ rounds: values.rounds === undefined ? 5 : countOf(values.rounds) });
    },
    tour: async () => picker({ rounds: 1 }),
  },
  join: {
    usage: 'join [--transactions 100000]',
    what: 'a tracker that joins another with a long log',
    run: (args) => {
      const { values } = parseArgs({ args: [...args], options: { transactions: { type: 'string' } } });
      const transactions = values.transactions ?? '100000';
      if (!/^[1-9]\d{0,6}$/.test(transactions)) throw new Error(`"${transactions}" is not a number of transactions`);
      return join(Number(transactions));
    },
    tour: () => join(10_000),
  },
};

function sizeOf(text: string): number {
  const bytes = parseSize(text);
  if (!bytes) throw new Error(`"${text}" is not a size such as 64MiB or 2GiB`);
  return bytes;
}

function countOf(text: string): number {
  if (!/^[1-9]\d{0,3}$/.test(text)) throw new Error(`"${text}" is not a number of rounds`);
  return Number(text);
}

function filesOf(text: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new Error(`"${text}" is not a number of files`);
  return Number(text);
}

function listing(): string {
  const rows = Object.values(BENCHES).map(({ usage, what }) => [`  pnpm bench ${usage}`, what]);
  return table([...rows, ['  pnpm bench tour', 'all of them, small']]);
}

async function main(name: string | undefined, args: readonly string[]): Promise<number> {
  if (name === undefined || name === '--help' || name === '-h') {
    process.stdout.write(`${listing()}\n`);
    return 0;
  }
  if (name === 'tour') {
    for (const bench of Object.values(BENCHES)) await bench.tour();
    return 0;
  }
  const bench = Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
  if (!bench) {
    process.stderr.write(`there is no bench "${name}"; there are:\n${listing()}\n`);
    return 2;
  }
  await bench.run(args);
  return 0;
}

const [name, ...args] = process.argv.slice(2);
try {
  process.exitCode = await main(name, args);
} catch (error) {
  process.stderr.write(`bench: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
