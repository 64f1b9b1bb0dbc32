/**
 * `pnpm bench folder`: a folder of many files (8 KiB to 1 MiB, any size as likely, the same at each run), shared by one
 * process and downloaded by another, beside `cp -r` of it. What counts is the time until the share is acknowledged, and
 * until the download is done; the copy is then compared with `diff -r`.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { formatSize, table } from '../src/main/shell/format.ts';
import { GIB, KIB, MIB } from '../src/protocol/limits.ts';
import { countFlag, defineBench } from './support/bench.ts';
import { cpuSeconds, endedChildrenCpuSeconds, peakMemoryBytes, summarize } from './support/measure.ts';
import { Network } from './support/network.ts';
import { note, type Report } from './support/report.ts';
import { Workspace } from './support/workspace.ts';

const SIZE_MIN = 8 * KIB;
const SIZE_MAX = MIB;
const FILES_PER_FOLDER = 100;
const SEED = 20_240_601;
const GROUP = 'bench';
const FOLDER = 'folder';
const COPIES = 3;

interface Taken {
  readonly what: string;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number | undefined;
}

export const folder = defineBench({
  what: 'a folder of many files, shared and downloaded, beside cp -r',
  flags: { files: countFlag('files in it', 1_000, 10_000) },
  run: ({ files }) => measure(files),
});

async function measure(files: number): Promise<Report> {
  const workspace = new Workspace('p2p-bench-folder', COPIES * files * SIZE_MAX + GIB);
  try {
    const sizeBytes = makeFolder(workspace.path(FOLDER), files);
    note(`${files} files, ${formatSize(sizeBytes)}`);
    const network = await Network.start(workspace);
    const [seeder, downloader] = [await network.client('seeder'), await network.client('downloader')];
    await network.form(GROUP, [seeder, downloader]);
    const measured = async (what: string, pid: number, run: () => Promise<unknown>): Promise<Taken> => {
      const [startedMs, cpuBefore] = [performance.now(), cpuSeconds(pid)];
      await run();
      const seconds = (performance.now() - startedMs) / 1000;
      note(`${what}: ${seconds.toFixed(2)} s`);
      return { what, seconds, cpuSeconds: cpuSeconds(pid) - cpuBefore, peakBytes: peakMemoryBytes(pid) };
    };
    const rows = [
      await measured('share', seeder.child.pid, () => seeder.command('upload_file', FOLDER, GROUP)),
      await measured('download', downloader.child.pid, () => downloader.download([GROUP, FOLDER, 'copy'], () => {})),
      await copied(workspace),
    ];
    await workspace.start('diff', 'diff', ['-r', FOLDER, 'copy']).success();
    return report(files, sizeBytes, rows);
  } finally {
    await workspace.close();
  }
}

async function copied(workspace: Workspace): Promise<Taken> {
  const [startedMs, cpuBefore] = [performance.now(), endedChildrenCpuSeconds()];
  await workspace.start('cp', 'cp', ['-r', '--reflink=never', FOLDER, 'cp-copy']).success();
  const seconds = (performance.now() - startedMs) / 1000;
  return { what: 'cp -r', seconds, cpuSeconds: endedChildrenCpuSeconds() - cpuBefore, peakBytes: undefined };
}

function report(files: number, sizeBytes: number, rows: readonly Taken[]): Report {
  const text = table(
    [
      ['', 'SECONDS', 'FILES/S', 'MB/S', 'CPU S', 'PEAK MEMORY'],
      ...rows.map(({ what, seconds, cpuSeconds: cpu, peakBytes }) => [
        what,
        seconds.toFixed(2),
        (files / seconds).toFixed(0),
        (sizeBytes / 1e6 / seconds).toFixed(0),
        cpu.toFixed(1),
        peakBytes === undefined ? '' : formatSize(peakBytes),
      ]),
    ],
    new Set([1, 2, 3, 4, 5]),
  );
  const bars = rows.map(({ what, seconds }) => ({ label: what, value: summarize([sizeBytes / 1e6 / seconds]) }));
  return {
    title: `a folder of ${files} files, ${formatSize(sizeBytes)}`,
    text,
    data: { files, sizeBytes, rows },
    chart: [{ unit: 'MB/s', bars }],
  };
}

/** Files whose sizes and bytes follow from SEED alone; returns their bytes. */
function makeFolder(root: string, files: number): number {
  const random = xorshift(SEED);
  // Files are stretches of one block of noise, each from a place of its own: no two pieces are the same.
  const noise = new Uint32Array((SIZE_MAX + files * Uint32Array.BYTES_PER_ELEMENT) / Uint32Array.BYTES_PER_ELEMENT);
  for (let at = 0; at < noise.length; at += 1) noise[at] = random();
  let total = 0;
  for (let number = 0; number < files; number += 1) {
    const path = `${root}/${Math.floor(number / FILES_PER_FOLDER)}/${number}.bin`;
    if (number % FILES_PER_FOLDER === 0) mkdirSync(dirname(path), { recursive: true });
    const sizeBytes = SIZE_MIN + (random() % (SIZE_MAX - SIZE_MIN + 1));
    writeFileSync(path, new Uint8Array(noise.buffer, number * Uint32Array.BYTES_PER_ELEMENT, sizeBytes));
    total += sizeBytes;
  }
  return total;
}

/** Marsaglia's xorshift of 32 bits. */
function xorshift(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
