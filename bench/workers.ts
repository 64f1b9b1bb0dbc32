/**
 * `pnpm bench workers`: one file from one seeder to one downloader with other values of `--workers` and `--memory`, the
 * same at both ends, one of the two at its default while the other varies. Where more of it brings nothing is the knee,
 * and the defaults should lie there.
 */
import { formatSize, table } from '../src/main/shell/format.ts';
import { GIB, MIB, PIECE_BYTES_DEFAULT } from '../src/protocol/limits.ts';
import { Course } from './peers/course.ts';
import { Ours } from './peers/ours.ts';
import type { Taken } from './peers/peer.ts';
import { countFlag, countsFlag, defineBench, sizeFlag, sizesFlag } from './support/bench.ts';
import { Network } from './support/network.ts';
import { type Report, spread } from './support/report.ts';
import { type Contender, type Rounds, takeTurns } from './support/rounds.ts';
import { Workspace } from './support/workspace.ts';

const OTHER_BYTES = GIB;
const MEMORIES = [8, 16, 32, 64, 128, 256].map((mebibytes) => mebibytes * MIB);

export const workers = defineBench({
  what: '--workers and --memory: where more of them brings nothing',
  flags: {
    size: sizeFlag('size of the file', 128 * MIB, 512 * MIB, GIB),
    rounds: countFlag('rounds, each of them once', 1, 3),
    workers: countsFlag('values of --workers', [1, 2, 4], [1, 2, 4, 8]),
    memory: sizesFlag('values of --memory', [8 * MIB, 64 * MIB], MEMORIES),
  },
  async run({ size, rounds, workers: counts, memory }): Promise<Report> {
    const workspace = new Workspace('p2p-bench-workers', 2 * size + OTHER_BYTES);
    try {
      const course = new Course(workspace);
      const load = await course.load('source.bin', size, PIECE_BYTES_DEFAULT);
      const network = await Network.start(workspace);
      const settings = [
        ...counts.map((count) => ({ name: `--workers ${count}`, flags: ['--workers', String(count)] })),
        ...memory.map((bytes) => ({ name: `--memory ${bytes / MIB}MiB`, flags: ['--memory', String(bytes)] })),
      ];
      const contenders: Contender<Taken>[] = [];
      for (const [at, { name, flags }] of settings.entries()) {
        const peer = new Ours(load, network, `ours-${at}`, { seeder: flags, downloader: flags });
        await peer.seed([1]);
        contenders.push(course.contender(name, load, peer, 1));
      }
      const taken = await takeTurns(contenders, {
        rounds,
        warmedUp: (name) => course.check(name),
        told: ({ seconds }) => `${(size / 1e9 / seconds).toFixed(2)} GB/s`,
      });
      return report(
        size,
        settings.map(({ name }) => name),
        taken,
      );
    } finally {
      await workspace.close();
    }
  },
});

function report(sizeBytes: number, names: readonly string[], taken: Rounds<Taken>): Report {
  const sizeGb = sizeBytes / 1e9;
  const lines = names.map((name) => ({
    name,
    gbPerSecond: taken.of(name, ({ seconds }) => sizeGb / seconds),
    downloaderCpuSecondsPerGb: taken.of(name, ({ ends }) => ends && ends.downloaderCpuSeconds / sizeGb),
    seederCpuSecondsPerGb: taken.of(name, ({ ends }) => ends && ends.seedersCpuSeconds / sizeGb),
    downloaderPeakBytes: taken.of(name, ({ ends }) => ends?.downloaderPeakBytes),
  }));
  return {
    title: `${formatSize(sizeBytes)} from one seeder to one downloader, medians of ${taken.count}`,
    text: table(
      [
        ['', 'GB/s', 'SPREAD', 'DOWNLOADER CPU s/GB', 'SEEDER CPU s/GB', 'PEAK MEMORY'],
        ...lines.map((line) => [
          line.name,
          line.gbPerSecond.median.toFixed(2),
          spread(line.gbPerSecond),
          line.downloaderCpuSecondsPerGb.median.toFixed(2),
          line.seederCpuSecondsPerGb.median.toFixed(2),
          formatSize(line.downloaderPeakBytes.max),
        ]),
      ],
      new Set([1, 3, 4, 5]),
    ),
    data: { sizeBytes, lines, rounds: taken.raw() },
    chart: [
      { unit: 'GB/s', bars: lines.map(({ name, gbPerSecond }) => ({ label: name, value: gbPerSecond })) },
      {
        unit: 'CPU seconds per GB, downloader',
        bars: lines.map((line) => ({ label: line.name, value: line.downloaderCpuSecondsPerGb })),
      },
    ],
  };
}
