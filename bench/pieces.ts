/**
 * `pnpm bench pieces`: the same bytes cut into few pieces and into many, to see what a piece costs whatever its size. A
 * quarter of the bytes in the smallest pieces shows whether a piece of many costs more than a piece of few, all else
 * being equal; libtorrent on the smallest pieces is what to compare with.
 */
import { formatSize, table } from '../src/main/shell/format.ts';
import { GIB, KIB, MIB } from '../src/protocol/limits.ts';
import { Course } from './peers/course.ts';
import { libtorrent } from './peers/libtorrent.ts';
import { Ours } from './peers/ours.ts';
import type { Load, Taken } from './peers/peer.ts';
import { countFlag, defineBench, sizeFlag } from './support/bench.ts';
import type { Summary } from './support/measure.ts';
import { Network } from './support/network.ts';
import { note, type Report, withSpread } from './support/report.ts';
import { type Contender, type Rounds, takeTurns } from './support/rounds.ts';
import { Workspace } from './support/workspace.ts';

const PIECE_BYTES = [MIB, 64 * KIB, 16 * KIB] as const;
const SMALLEST_BYTES = 16 * KIB;
const QUARTER = 4;
const OTHER_BYTES = GIB;

interface Layout {
  readonly name: string;
  readonly load: Load;
  readonly pieces: number;
}

export const pieces = defineBench({
  what: 'the same bytes in few and in many pieces: what a piece costs',
  flags: {
    size: sizeFlag('size of the file', 128 * MIB, GIB, 4 * GIB),
    rounds: countFlag('rounds, each of them once', 1, 3),
  },
  async run({ size, rounds }): Promise<Report> {
    const workspace = new Workspace('p2p-bench-pieces', 3 * size + OTHER_BYTES);
    try {
      const course = new Course(workspace);
      const network = await Network.start(workspace);
      const layouts: Layout[] = [];
      const contenders: Contender<Taken>[] = [];
      const add = (name: string, load: Load, contender: Contender<Taken>) => {
        layouts.push({ name, load, pieces: Math.ceil(load.sizeBytes / load.pieceBytes) });
        contenders.push(contender);
      };
      const addOurs = async (source: string, sizeBytes: number, pieceBytes: number) => {
        const load = await course.load(source, sizeBytes, pieceBytes);
        const peer = new Ours(load, network, `ours-${layouts.length}`);
        await peer.seed([1]);
        const name = nameOf(sizeBytes, pieceBytes);
        add(name, load, course.contender(name, load, peer, 1));
      };
      for (const pieceBytes of PIECE_BYTES) await addOurs('whole.bin', size, pieceBytes);
      await addOurs('quarter.bin', Math.ceil(size / QUARTER), SMALLEST_BYTES);
      const lacking = libtorrent.missing();
      if (lacking === undefined) {
        const load = await course.load('whole.bin', size, SMALLEST_BYTES);
        const peer = await libtorrent.start(load);
        await peer.seed([1]);
        const name = `libtorrent, ${nameOf(size, SMALLEST_BYTES)}`;
        add(name, load, course.contender(name, load, peer, 1));
      } else {
        note(`libtorrent is not installed, so it takes no part: ${lacking}`);
      }
      const taken = await takeTurns(contenders, {
        rounds,
        warmedUp: (name) => course.check(name),
        told: ({ seconds }) => `${seconds.toFixed(2)} s`,
      });
      return report(size, layouts, taken);
    } finally {
      await workspace.close();
    }
  },
});

function nameOf(sizeBytes: number, pieceBytes: number): string {
  const count = Math.ceil(sizeBytes / pieceBytes).toLocaleString('en');
  return `${count} pieces of ${formatSize(pieceBytes)}`;
}

function report(sizeBytes: number, layouts: readonly Layout[], taken: Rounds<Taken>): Report {
  const lines = layouts.map(({ name, load, pieces: count }) => ({
    name,
    pieces: count,
    pieceBytes: load.pieceBytes,
    sizeBytes: load.sizeBytes,
    seconds: taken.of(name, ({ seconds }) => seconds),
    gbPerSecond: taken.of(name, ({ seconds }) => load.sizeBytes / 1e9 / seconds),
    wallMicroseconds: taken.of(name, ({ seconds }) => (seconds * 1e6) / count),
    downloaderMicroseconds: taken.of(name, ({ ends }) => ends && (ends.downloaderCpuSeconds * 1e6) / count),
    seederMicroseconds: taken.of(name, ({ ends }) => ends && (ends.seedersCpuSeconds * 1e6) / count),
  }));
  const many = nameOf(sizeBytes, SMALLEST_BYTES);
  const few = nameOf(Math.ceil(sizeBytes / QUARTER), SMALLEST_BYTES);
  const peer = `libtorrent, ${many}`;
  const piecesOf = (name: string) => layouts.find((layout) => layout.name === name)?.pieces ?? Number.NaN;
  const growth = piecesOf(many) / piecesOf(few);
  const grown = (number: (one: Taken) => number): Summary => {
    const { median, min, max } = taken.ratio(many, few, number);
    return { median: median / growth, min: min / growth, max: max / growth };
  };
  const timeOfMany = grown(({ seconds }) => seconds);
  const cpuOfMany = grown(({ cpuSeconds }) => cpuSeconds);
  const overPeer = taken.ratio(many, peer, ({ seconds }) => 1 / seconds);
  return {
    title: `${formatSize(sizeBytes)} from one seeder to one downloader in pieces of several sizes, medians of ${taken.count}`,
    text: [
      table(
        [
          ['', 'SECONDS', 'GB/s', 'us/PIECE', 'DOWNLOADER CPU us/PIECE', 'SEEDER CPU us/PIECE'],
          ...lines.map((line) => [
            line.name,
            line.seconds.median.toFixed(2),
            line.gbPerSecond.median.toFixed(2),
            line.wallMicroseconds.median.toFixed(0),
            line.downloaderMicroseconds.median.toFixed(0),
            line.seederMicroseconds.median.toFixed(0),
          ]),
        ],
        new Set([1, 2, 3, 4, 5]),
      ),
      '',
      `one of ${many} takes ${withSpread(timeOfMany)} of the time and ${withSpread(cpuOfMany)} of the CPU of one of ${few}`,
      ...(Number.isNaN(overPeer.median) ? [] : [`${many}: ${withSpread(overPeer)} of libtorrent's throughput`]),
    ].join('\n'),
    data: { sizeBytes, lines, timeOfMany, cpuOfMany, overPeer, rounds: taken.raw() },
    chart: [
      { unit: 'GB/s', bars: lines.map(({ name, gbPerSecond }) => ({ label: name, value: gbPerSecond })) },
      {
        unit: 'microseconds a piece',
        bars: lines.map(({ name, wallMicroseconds }) => ({ label: name, value: wallMicroseconds })),
      },
    ],
  };
}
