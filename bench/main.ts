/**
 * `pnpm bench [name] [flags]`: what is measured, and against whom. Without a name, a tour: all benches, small. Numbers go
 * to standard output and to files under bench/results/, how it goes on to standard error.
 */
import { Command, CommanderError, Option } from 'commander';
import { crash } from './crash.ts';
import { folder } from './folder.ts';
import { join } from './join.ts';
import { metadata } from './metadata.ts';
import { micro } from './micro.ts';
import { picker } from './picker.ts';
import { pieces } from './pieces.ts';
import { share } from './share.ts';
import { type Bench, type Scale, Unavailable } from './support/bench.ts';
import { asJson, note, type Report, writeResults } from './support/report.ts';
import { swarm } from './swarm.ts';
import { tracker } from './tracker.ts';
import { transfer } from './transfer.ts';
import { workers } from './workers.ts';

/** In the order of the tour. */
const BENCHES: Readonly<Record<string, Bench>> = {
  transfer,
  pieces,
  workers,
  swarm,
  share,
  folder,
  metadata,
  crash,
  tracker,
  picker,
  join,
  micro,
};

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

interface CommonOptions {
  readonly full?: true;
  readonly json?: true;
}

function deliver(name: string, report: Report, asJsonLine: boolean): void {
  const [first, ...others] = writeResults(name, report);
  note(`written: ${[first, ...others].join(', ')}`);
  const line = asJsonLine ? JSON.stringify(asJson(name, report)) : `\n${name}: ${report.title}\n\n${report.text}`;
  process.stdout.write(`${line}\n`);
}

/** All of them; one that fails, or can't run here, does not keep the others from it. Returns the exit code. */
async function tour(scale: Scale, json: boolean): Promise<number> {
  let exitCode = 0;
  for (const [name, bench] of Object.entries(BENCHES)) {
    note(`\n${name}: ${bench.what}`);
    try {
      deliver(name, await bench.run(scale, {}), json);
    } catch (error) {
      note(`${name}: ${(error as Error).message}`);
      if (!(error instanceof Unavailable)) exitCode = EXIT_FAILED;
    }
  }
  return exitCode;
}

function listing(): string {
  const width = Math.max(...Object.keys(BENCHES).map((name) => name.length));
  return Object.entries(BENCHES)
    .map(([name, { what }]) => `  ${name.padEnd(width)}  ${what}`)
    .join('\n');
}

/** pieceSize as piece-size. */
const dashed = (name: string) => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

function addBench(program: Command, name: string, bench: Bench): void {
  const command = program.command(name).description(bench.what);
  for (const [flagName, { placeholder, what, parse, shown }] of Object.entries(bench.flags)) {
    const option = new Option(`--${dashed(flagName)} <${placeholder}>`, `${what} (${shownOf(shown)})`);
    command.addOption(option.argParser(parse));
  }
  addCommon(command).action(async ({ full, json, ...given }: CommonOptions & Record<string, unknown>) => {
    deliver(name, await bench.run(full ? 'full' : 'usual', given), json ?? false);
  });
}

function addCommon(command: Command): Command {
  return command
    .option('--full', 'long enough for figures to be quoted')
    .option('--json', 'one line of JSON in place of tables')
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'bench: ')) })
    .exitOverride();
}

/** What a flag is when it isn't set: alone, and with --full where that differs. */
function shownOf({ usual, full }: Readonly<Record<Scale, string>>): string {
  return usual === full ? `${usual}` : `${usual}; with --full ${full}`;
}

function programOf(): Command {
  const program = new Command('pnpm bench')
    .enablePositionalOptions()
    .description(
      'Measures this project, beside other programs where there are any. Without a name: a tour of all, small.',
    )
    .option('--list', 'the benches, and what they measure')
    .addHelpText('after', '\nFlags of one bench: pnpm bench <name> --help. Method and figures: docs/BENCHMARKS.md.');
  addCommon(program).action(async ({ list, full, json }: CommonOptions & { readonly list?: true }) => {
    if (list) process.stdout.write(`${listing()}\n`);
    else process.exitCode = await tour(full ? 'full' : 'tour', json ?? false);
  });
  for (const [name, bench] of Object.entries(BENCHES)) addBench(program, name, bench);
  return program;
}

try {
  await programOf().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
  } else {
    note(`bench: ${(error as Error).message}`);
    process.exitCode = EXIT_FAILED;
  }
}
