/**
 * `pnpm bench transfer`: one file from one member to another, beside `cp` and a plain `socat` copy over loopback of the
 * same file into the same directory. Each copies once to warm up (and is checked), then they take turns. What is
 * compared is the time until the last byte is handed to the system; the ratio is taken round by round.
 */
import { mkdirSync, rmSync } from 'node:fs';
import * as v from 'valibot';
import { GIB, MIB } from '../src/protocol/limits.ts';
import { outsideDigest, writeRandomFile } from './support/files.ts';
import { cpuSeconds, endedChildrenCpuSeconds, peakMemoryBytes, rotated } from './support/measure.ts';
import { freeAddress, freePort, Network, TRACKER_INFO } from './support/network.ts';
import type { ShellClient } from './support/shell-client.ts';
import { isInstalled } from './support/tools.ts';
import { Workspace } from './support/workspace.ts';
import { describeTransfer, OURS, type Round, SOCAT, summarizeTransfer, type Taken } from './transfer-report.ts';

export interface TransferOptions {
  readonly sizeBytes: number;
  readonly rounds: number;
  /** One JSON object on standard output in place of the table. */
  readonly json: boolean;
}

export const TRANSFER_DEFAULTS: TransferOptions = { sizeBytes: 2 * GIB, rounds: 5, json: false };

const SOCAT_BLOCK_BYTES = MIB;
const SOURCE = 'source.bin';
const COPY = 'copy.bin';
const GROUP = 'bench';
const OTHER_BYTES = 256 * MIB;

interface Contender {
  readonly name: string;
  /** Copies SOURCE to COPY, and tells what that took. */
  copy(): Promise<Taken>;
}

const measuredSchema = v.object({ seconds: v.number(), loopP99Ms: v.number(), loopMaxMs: v.number() });

/** What it takes to run processes to their end. */
async function taken(run: () => Promise<unknown>): Promise<Taken> {
  const cpuBefore = endedChildrenCpuSeconds();
  const startedMs = performance.now();
  await run();
  const seconds = (performance.now() - startedMs) / 1000;
  return { seconds, cpuSeconds: endedChildrenCpuSeconds() - cpuBefore };
}

function cp(workspace: Workspace): Contender {
  // A clone of the file would copy nothing.
  const args = ['--reflink=never', SOURCE, COPY];
  return { name: 'cp', copy: () => taken(() => workspace.start('cp', 'cp', args).success()) };
}

function socat(workspace: Workspace): Contender {
  const block = ['-u', '-b', String(SOCAT_BLOCK_BYTES)];
  return {
    name: 'socat',
    async copy() {
      const port = await freePort();
      const receiver = [...block, `TCP-LISTEN:${port},bind=127.0.0.1,reuseaddr`, `CREATE:${COPY}`];
      const sender = [...block, `OPEN:${SOURCE},rdonly`, `TCP:127.0.0.1:${port},retry=1000,interval=0.005`];
      return taken(() =>
        Promise.all([receiver, sender].map((args) => workspace.start('socat', 'socat', args).success())),
      );
    },
  };
}

/** A fresh downloader each time: its keys, catalog and memory are new, as the file is. */
function ours(workspace: Workspace, seeder: ShellClient): Contender {
  let number = 0;
  return {
    name: OURS,
    async copy() {
      number += 1;
      const directory = `downloader-${number}`;
      mkdirSync(workspace.path(directory));
      const client = [await freeAddress(), TRACKER_INFO, '--data-dir', directory];
      const args = ['downloader', 'downloader-123', GROUP, SOURCE, COPY, ...client];
      const downloader = workspace.startProgram('downloader', 'bench/support/downloader.ts', args);
      await downloader.lineWith((line) => (line.includes('"ready"') ? line : undefined));
      const pids = [downloader.pid, seeder.child.pid] as const;
      const [downloaderBefore, seederBefore] = pids.map(cpuSeconds);
      const measured = downloader.lineWith((line) => v.parse(measuredSchema, JSON.parse(line)));
      downloader.writeLine('go');
      const { seconds, ...loop } = await measured;
      const downloaderCpuSeconds = cpuSeconds(pids[0]) - (downloaderBefore ?? 0);
      const seederCpuSeconds = cpuSeconds(pids[1]) - (seederBefore ?? 0);
      const ends = {
        ...loop,
        downloaderCpuSeconds,
        seederCpuSeconds,
        downloaderPeakBytes: peakMemoryBytes(pids[0]),
        seederPeakBytes: peakMemoryBytes(pids[1]),
      };
      downloader.closeInput();
      await downloader.success();
      return { seconds, cpuSeconds: downloaderCpuSeconds + seederCpuSeconds, ends };
    },
  };
}

export async function transfer(options: TransferOptions): Promise<void> {
  const workspace = new Workspace('p2p-bench', 2 * options.sizeBytes + OTHER_BYTES);
  try {
    writeRandomFile(workspace.path(SOURCE), options.sizeBytes);
    const network = await Network.start(workspace);
    const [seeder, member] = [await network.client('seeder'), await network.client('downloader')];
    await network.form(GROUP, [seeder, member]);
    await seeder.command('upload_file', SOURCE, GROUP);
    await member.quit();

    const contenders = [cp(workspace), ...(isInstalled(SOCAT) ? [socat(workspace)] : []), ours(workspace, seeder)];
    await warmUp(workspace, contenders);
    const rounds = await race(workspace, contenders, options);
    const report = summarizeTransfer(options.sizeBytes, rounds);
    process.stdout.write(`${options.json ? JSON.stringify(report) : describeTransfer(report)}\n`);
  } finally {
    await workspace.close();
  }
}

/** Each contender once, its copy compared with the source by a program of nobody's here. */
async function warmUp(workspace: Workspace, contenders: readonly Contender[]): Promise<void> {
  const { hex } = await outsideDigest(workspace.path(SOURCE));
  for (const { name, copy } of contenders) {
    note(`warm-up: ${name}`);
    await copy();
    if ((await outsideDigest(workspace.path(COPY))).hex !== hex) throw new Error(`${name} made a copy that differs`);
    rmSync(workspace.path(COPY));
  }
}

/** What each contender took in each round. */
async function race(
  workspace: Workspace,
  contenders: readonly Contender[],
  options: TransferOptions,
): Promise<Round[]> {
  const rounds: Round[] = [];
  for (let turn = 0; turn < options.rounds; turn += 1) {
    const round = new Map<string, Taken>();
    for (const { name, copy } of rotated(contenders, turn)) {
      round.set(name, await copy());
      rmSync(workspace.path(COPY));
    }
    rounds.push(round);
    const said = [...round].map(([name, { seconds }]) => `${name} ${(options.sizeBytes / 1e9 / seconds).toFixed(2)}`);
    note(`round ${turn + 1} of ${options.rounds}: ${said.join(', ')} GB/s`);
  }
  return rounds;
}

const note = (text: string) => void process.stderr.write(`${text}\n`);
