/**
 * `pnpm flame transfer`: a flamegraph of the downloader and one of the seeder of a transfer as `pnpm bench transfer` makes it,
 * each thread a tower of its own. Pages go to bench/results/flame/, the hottest functions of each thread to standard output.
 */
import { mkdirSync } from 'node:fs';
import { Command, CommanderError, Option } from 'commander';
import { GIB, MIB, PIECE_BYTES_DEFAULT } from '../src/protocol/limits.ts';
import { Ours } from './peers/ours.ts';
import { sizeFlag } from './support/bench.ts';
import { writeRandomFile } from './support/files.ts';
import { flamePage } from './support/flame-page.ts';
import { Network } from './support/network.ts';
import { note } from './support/report.ts';
import { perfWorks, SAMPLERS } from './support/sampler.ts';
import { WatchedWorkspace } from './support/watched-workspace.ts';

const OTHER_BYTES = 512 * MIB;
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const SOURCE = 'source.bin';
const GROUP = 'flame';
const SEEDER = 'ours-seeder-1';
const DOWNLOADER = 'downloader';

interface Subject {
  readonly what: string;
  /** The processes that are drawn: by what they are called there, their names. */
  readonly processes: Readonly<Record<string, string>>;
  /** Begins and ends the workspace's span. All processes have ended when it resolves. */
  run(workspace: WatchedWorkspace, sizeBytes: number): Promise<void>;
}

const SUBJECTS: Readonly<Record<string, Subject>> = {
  transfer: {
    what: 'a file from one seeder to one downloader: both of them',
    processes: { downloader: DOWNLOADER, seeder: SEEDER },
    async run(workspace, sizeBytes) {
      const network = await Network.start(workspace);
      const peer = new Ours({ workspace, source: SOURCE, sizeBytes, pieceBytes: PIECE_BYTES_DEFAULT }, network, 'ours');
      await peer.seed([1]);
      note('warming up, then once more');
      // The span is the second's: each begins one anew when its downloader is ready.
      workspace.spanOf(DOWNLOADER, '"ready"', '"loopMaxMs"');
      for (const directory of ['warm-up', 'copy']) {
        mkdirSync(workspace.path(directory));
        await peer.download(1, directory);
      }
      await network.quit();
    },
  },
  share: {
    what: 'upload_file: the client that hashes the file',
    processes: { share: SEEDER },
    async run(workspace) {
      const network = await Network.start(workspace);
      const seeder = await network.client(SEEDER);
      await network.form(GROUP, [seeder]);
      workspace.begin();
      await seeder.command('upload_file', SOURCE, GROUP);
      workspace.end();
      await network.quit();
    },
  },
};

interface Options {
  readonly size: number;
  readonly sampler: keyof typeof SAMPLERS;
}

async function flame({ processes, run }: Subject, { size: sizeBytes, sampler: samplerName }: Options): Promise<void> {
  const sampler = SAMPLERS[samplerName];
  note(`by ${sampler.what}`);
  const workspace = new WatchedWorkspace('p2p-flame', 3 * sizeBytes + OTHER_BYTES, sampler, Object.values(processes));
  try {
    writeRandomFile(workspace.path(SOURCE), sizeBytes);
    await run(workspace, sizeBytes);
    const { seconds } = workspace;
    process.stdout.write(`${(sizeBytes / 1e9).toFixed(2)} GB in ${seconds.toFixed(2)} s, by ${sampler.what}\n`);
    for (const [title, name] of Object.entries(processes)) {
      note(`drawing the graph of ${title}`);
      process.stdout.write(await flamePage(title, samplerName, await workspace.samplesOf(name), sizeBytes));
    }
  } finally {
    await workspace.close();
  }
}

function programOf(): Command {
  const program = new Command('pnpm flame')
    .description(
      'Draws flamegraphs of this project at work, its threads told apart. How to read them: docs/PROFILING.md.',
    )
    .exitOverride();
  const { parse, placeholder } = sizeFlag('', GIB);
  for (const [name, subject] of Object.entries(SUBJECTS)) {
    program
      .command(name)
      .description(subject.what)
      .addOption(new Option(`--size <${placeholder}>`, 'size of the file').default(GIB, '1GiB').argParser(parse))
      .addOption(
        new Option('--sampler <NAME>', 'perf (Linux; needs a permission), or v8 (anywhere)')
          .choices(Object.keys(SAMPLERS))
          .default(perfWorks() ? 'perf' : 'v8', 'perf where it works, else v8'),
      )
      .exitOverride()
      .action((options: Options) => flame(subject, options));
  }
  return program;
}

try {
  const program = programOf();
  if (process.argv.length > 2) await program.parseAsync();
  else program.outputHelp();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : EXIT_USAGE;
  } else {
    note(`flame: ${(error as Error).message}`);
    process.exitCode = EXIT_FAILED;
  }
}
