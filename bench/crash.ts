/**
 * `pnpm bench crash`: one download whose process is killed (SIGKILL) again and again at random moments, and started
 * again. Told are the bytes fetched in all, the bytes hashed again after each start, and the time to the first new piece,
 * once from the start of the process and once from the moment it had taken the download up.
 */
import * as v from 'valibot';
import { formatSize, table } from '../src/main/shell/format.ts';
import { GIB, MIB } from '../src/protocol/limits.ts';
import { countFlag, defineBench, sizeFlag } from './support/bench.ts';
import { outsideDigest, writeRandomFile } from './support/files.ts';
import { Network } from './support/network.ts';
import { note, type Report } from './support/report.ts';
import type { ShellClient } from './support/shell-client.ts';
import { Workspace } from './support/workspace.ts';

const GROUP = 'bench';
const SOURCE = 'source.bin';
const COPY = 'downloader/copy.bin';
const OTHER_BYTES = 256 * MIB;
/** A run lives so long after its first new piece, at random. */
const LIFE_MS_MAX = 1_200;
/** What a run takes at least: its life at the mean, and what it needs to come to its first new piece. */
const RUN_SECONDS = 1.2;

const uploadsSchema = v.object({ sentBytes: v.number() });
const downloadsSchema = v.object({
  downloads: v.array(v.object({ doneBytes: v.number(), recheckedBytes: v.number(), state: v.string() })),
});
const progressSchema = v.looseObject({ type: v.string() });

interface Run {
  readonly recheckedBytes: number;
  readonly firstPieceMs: number;
  readonly afterTakeUpMs: number;
}

export const crash = defineBench({
  what: 'a download whose process is killed again and again',
  flags: {
    size: sizeFlag('size of the file', 128 * MIB, GIB),
    kills: countFlag('how often it is killed', 5, 30),
  },
  run: ({ size, kills }) => measure(size, kills),
});

async function measure(sizeBytes: number, kills: number): Promise<Report> {
  const workspace = new Workspace('p2p-bench-crash', 2 * sizeBytes + OTHER_BYTES);
  try {
    writeRandomFile(workspace.path(SOURCE), sizeBytes);
    const network = await Network.start(workspace);
    // Slow enough that there is still something to fetch when the last kill comes.
    const rate = Math.ceil(sizeBytes / (kills * RUN_SECONDS));
    const seeder = await network.client('seeder', ['--upload-limit', String(rate)]);
    let downloader = await network.client('downloader');
    await network.form(GROUP, [seeder, downloader]);
    await seeder.command('upload_file', SOURCE, GROUP);
    await downloader.command('download_file', GROUP, SOURCE, COPY);
    const runs: Run[] = [];
    for (let kill = 0; kill < kills; kill += 1) {
      if (!(await newPiece(downloader, 0))) break;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * LIFE_MS_MAX));
      downloader.child.kill('SIGKILL');
      await downloader.child.ended;
      const startedMs = performance.now();
      downloader = await network.client('downloader');
      const taken = v.parse(downloadsSchema, await downloader.command('show_downloads')).downloads[0];
      if (!taken || taken.state === 'done') break;
      const takenUpMs = performance.now();
      if (!(await newPiece(downloader, taken.doneBytes))) break;
      const nowMs = performance.now();
      runs.push({
        recheckedBytes: taken.recheckedBytes,
        firstPieceMs: nowMs - startedMs,
        afterTakeUpMs: nowMs - takenUpMs,
      });
      note(
        `kill ${kill + 1}: ${formatSize(taken.doneBytes)} kept, ${formatSize(taken.recheckedBytes)} hashed again, ` +
          `first new piece ${(nowMs - startedMs).toFixed(0)} ms after the start`,
      );
    }
    while (!(await isDone(downloader))) await newPiece(downloader, Number.POSITIVE_INFINITY);
    const { sentBytes } = v.parse(uploadsSchema, await seeder.command('show_uploads'));
    const [source, copy] = [await outsideDigest(workspace.path(SOURCE)), await outsideDigest(workspace.path(COPY))];
    if (source.hex !== copy.hex) throw new Error('the copy differs from the file');
    return report(sizeBytes, sentBytes / sizeBytes, runs);
  } finally {
    await workspace.close();
  }
}

async function isDone(client: ShellClient): Promise<boolean> {
  const { downloads } = v.parse(downloadsSchema, await client.command('show_downloads'));
  return downloads.every(({ state }) => state === 'done');
}

/** Waits for progress beyond what there was; false when the download ended instead. */
function newPiece(client: ShellClient, beforeBytes: number): Promise<boolean> {
  return client.child.lineWith((text) => {
    const line = v.parse(progressSchema, JSON.parse(text));
    const doneBytes = line['doneBytes'];
    if (line['notice'] === 'download-ended') return false;
    return line.type === 'progress' && typeof doneBytes === 'number' && doneBytes > beforeBytes ? true : undefined;
  });
}

function report(sizeBytes: number, fetchedOverSize: number, runs: readonly Run[]): Report {
  const worst = (of: (run: Run) => number) => Math.max(...runs.map(of));
  return {
    title: `${formatSize(sizeBytes)} downloaded through ${runs.length} kills; the copy is identical`,
    text: table([
      ['bytes sent by the seeder', `${fetchedOverSize.toFixed(3)} of the file`],
      ['hashed again after a start', `${formatSize(worst((run) => run.recheckedBytes))} at most`],
      ['first new piece after the start of the process', `${worst((run) => run.firstPieceMs).toFixed(0)} ms at most`],
      ['first new piece after the download was taken up', `${worst((run) => run.afterTakeUpMs).toFixed(0)} ms at most`],
    ]),
    data: { sizeBytes, kills: runs.length, fetchedOverSize, runs },
    chart: [],
  };
}
