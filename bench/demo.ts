/**
 * `pnpm demo`: all of it on one machine in a few seconds. A tracker and three members, each a process of its own, form a
 * group; two share a file, the third fetches it from both; a program that shares no code with ours compares the two
 * files. Shows each command as it is sent, and leaves nothing behind.
 */
import { mkdirSync, statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import { Bars } from '../src/main/shell/bars.ts';
import { parseSize } from '../src/main/shell/flags.ts';
import { averageRate, count, formatDuration, formatSize } from '../src/main/shell/format.ts';
import { quoteWord } from '../src/main/shell/words.ts';
import { MIB } from '../src/protocol/limits.ts';
import { outsideDigest, writeRandomFile } from './support/files.ts';
import { Network } from './support/network.ts';
import { type DownloadLine, type ShellClient, sharedSchema } from './support/shell-client.ts';
import { Workspace } from './support/workspace.ts';

const USAGE = `pnpm demo [--size 512MiB | --file PATH]

  --size SIZE   share a random file of this size (default 512MiB)
  --file PATH   share this file instead; it is only read`;
const GROUP = 'demo';
const DEFAULT_BYTES = 512 * MIB;
/** What keys, catalogs and logs take, generously. */
const OTHER_BYTES = 64 * MIB;

interface Options {
  readonly sizeBytes: number;
  /** A file of the user's own; undefined for a random one. */
  readonly file: string | undefined;
}

const say = (text: string) => void process.stdout.write(`${text}\n`);
const speak = (speaker: string, text: string) => say(`${speaker.padStart(8)} ${text}`);

function options(): Options | undefined {
  const { values } = parseArgs({
    options: { size: { type: 'string' }, file: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  });
  if (values.help) return undefined;
  if (values.file !== undefined) {
    const file = resolve(values.file);
    const stats = statSync(file, { throwIfNoEntry: false });
    if (!stats) throw new Error(`there is no ${file}`);
    if (!stats.isFile()) throw new Error(`${file} is not a file`);
    return { sizeBytes: stats.size, file };
  }
  const sizeBytes = values.size === undefined ? DEFAULT_BYTES : parseSize(values.size);
  if (sizeBytes === undefined) throw new Error(`"${values.size}" is not a size such as 64MiB or 2GiB`);
  return { sizeBytes, file: undefined };
}

async function demo({ sizeBytes, file }: Options): Promise<void> {
  const workspace = new Workspace('p2p-demo', (file ? 1 : 2) * sizeBytes + OTHER_BYTES);
  try {
    say(`A tracker and three members on this machine, in ${workspace.directory}. Every connection is encrypted.\n`);
    const source = file ?? 'random.bin';
    if (!file) {
      speak('', `# ${formatSize(sizeBytes)} of random bytes for ${source}`);
      writeRandomFile(workspace.path(source), sizeBytes);
    }
    const network = await Network.start(workspace, speak);
    const alice = await network.client('alice');
    const bob = await network.client('bob');
    const carol = await network.client('carol');
    await network.form(GROUP, [alice, bob, carol]);
    const shared = v.parse(sharedSchema, await network.say(alice, 'upload_file', source, GROUP));
    await network.say(bob, 'upload_file', source, GROUP);
    await network.say(carol, 'list_files', GROUP);

    const name = basename(source);
    mkdirSync(workspace.path('carol', 'downloads'));
    speak('carol', `> download_file ${GROUP} ${quoteWord(name)} carol/downloads`);
    const download = await withBar(carol, [GROUP, name, 'carol/downloads']);
    await report(
      resolve(workspace.directory, source),
      workspace.path('carol', 'downloads', name),
      download,
      shared.pieceCount,
    );
    await network.quit();
  } finally {
    await workspace.close();
  }
  say('\nEverything was stopped and removed again.');
}

/** On a terminal a bar; elsewhere a line for each quarter, which reads well in a log. */
async function withBar(client: ShellClient, words: readonly [string, string, string]): Promise<DownloadLine> {
  const bars = process.stdout.isTTY ? new Bars(process.stdout) : undefined;
  let quarters = 0;
  const show = ({ name, doneBytes, sizeBytes, elapsedMs }: DownloadLine) => {
    const rate = averageRate(doneBytes, elapsedMs) ?? '';
    bars?.show(name, { label: name, done: doneBytes, total: sizeBytes, note: rate });
    const reached = Math.floor((4 * doneBytes) / Math.max(1, sizeBytes));
    if (!bars && reached > quarters) speak('', `  ${reached * 25} %  ${rate}`);
    quarters = Math.max(quarters, reached);
  };
  try {
    return await client.download(words, show);
  } finally {
    bars?.close();
  }
}

async function report(source: string, copy: string, download: DownloadLine, pieceCount: number): Promise<void> {
  const { sizeBytes, elapsedMs, peers } = download;
  const total = peers.reduce((sum, { bytes }) => sum + bytes, 0);
  const gigabytesPerSecond = (sizeBytes / 1e6 / Math.max(elapsedMs, 1)).toFixed(2);
  const [original, fetched] = await Promise.all([outsideDigest(source), outsideDigest(copy)]);
  const row = (label: string, text: string) => say(`${label.padStart(12)}  ${text}`);
  say('');
  row('size', `${formatSize(sizeBytes)} in ${count(pieceCount, 'piece')}, each verified by its BLAKE3 digest`);
  row('time', `${formatDuration(elapsedMs)}, ${gigabytesPerSecond} GB/s`);
  for (const { user, bytes } of peers) {
    row(`from ${user}`, `${formatSize(bytes)} (${Math.round((100 * bytes) / Math.max(total, 1))} %)`);
  }
  row(original.tool, `${original.hex}  original`);
  row('', `${fetched.hex}  downloaded`);
  if (original.hex !== fetched.hex) throw new Error('the two files differ');
  row('', 'identical');
}

try {
  const chosen = options();
  if (chosen) await demo(chosen);
  else say(USAGE);
} catch (error) {
  process.stderr.write(`\ndemo: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
