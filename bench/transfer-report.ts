/** The rounds of `pnpm bench transfer` as a report: medians, spreads, and ratios taken round by round. Pure. */
import { formatSize, table } from '../src/main/shell/format.ts';
import type { Taken } from './peers/peer.ts';
import type { Summary } from './support/measure.ts';
import { fixed, type Report, spread, withSpread } from './support/report.ts';
import type { Rounds } from './support/rounds.ts';

export const OURS = 'p2p-file-share';

/** Of a contender: one name for each number of seeders. */
export const nameOf = (name: string, seeders: number) => (seeders === 1 ? name : `${name}, ${seeders} seeders`);

export interface TransferSetting {
  readonly sizeBytes: number;
  readonly pieceBytes: number;
  readonly counts: readonly number[];
  /** Who took part. */
  readonly names: readonly string[];
  /** Who did not, and the command that installs it. */
  readonly missing: readonly { readonly name: string; readonly command: string }[];
}

const NOTHING: Summary = { median: Number.NaN, min: Number.NaN, max: Number.NaN };

export function reportTransfer(setting: TransferSetting, taken: Rounds<Taken>): Report {
  const { sizeBytes, pieceBytes, counts, names, missing } = setting;
  const sizeGb = sizeBytes / 1e9;
  const rate = ({ seconds }: Taken) => sizeGb / seconds;
  const lines = counts.flatMap((seeders) =>
    names.flatMap((peer) => {
      const name = nameOf(peer, seeders);
      const of = (number: (one: Taken) => number | undefined) => taken.of(name, number);
      const gbPerSecond = of(rate);
      if (Number.isNaN(gbPerSecond.median)) return [];
      return {
        name,
        peer,
        seeders,
        gbPerSecond,
        oursOverIt: peer === OURS ? NOTHING : taken.ratio(nameOf(OURS, seeders), name, rate),
        cpuSecondsPerGb: of(({ cpuSeconds }) => cpuSeconds / sizeGb),
        downloaderCpuSecondsPerGb: of(({ ends }) => ends && ends.downloaderCpuSeconds / sizeGb),
        seedersCpuSecondsPerGb: of(({ ends }) => ends && ends.seedersCpuSeconds / sizeGb),
        downloaderPeakBytes: of(({ ends }) => ends?.downloaderPeakBytes),
        seederPeakBytes: of(({ ends }) => ends?.seederPeakBytes),
        loopP99Ms: of(({ loop }) => loop?.p99Ms),
        loopMaxMs: of(({ loop }) => loop?.maxMs),
      };
    }),
  );
  const [first, ...others] = counts.map((count) => nameOf(OURS, count));
  const ofFirst = others.flatMap((name) => {
    if (first === undefined) return [];
    const ratio = taken.ratio(name, first, rate);
    return Number.isNaN(ratio.median) ? [] : [{ name, ratio }];
  });
  const loops = lines.filter(({ loopP99Ms }) => !Number.isNaN(loopP99Ms.median));
  return {
    title: `${formatSize(sizeBytes)} in pieces of ${formatSize(pieceBytes)} to one downloader, medians of ${taken.count}`,
    text: [
      table([HEAD, ...lines.map(row)], new Set([1, 3, 5, 6, 7, 8])),
      '',
      ...ofFirst.map(({ name, ratio }) => `${name}: ${withSpread(ratio)} of ${first}, round by round`),
      ...loops.map(({ name, loopP99Ms }) => `${name}: event loop p99 ${loopP99Ms.median.toFixed(1)} ms`),
      ...missing.map(({ name, command }) => `not installed, so not compared: ${name} (${command})`),
    ].join('\n'),
    data: { ...setting, lines, ofFirst, rounds: taken.raw() },
    chart: [
      { unit: 'GB/s', bars: lines.map(({ name, gbPerSecond }) => ({ label: name, value: gbPerSecond })) },
      {
        unit: 'CPU seconds per GB, downloader and seeders together',
        bars: lines.map(({ name, cpuSecondsPerGb }) => ({ label: name, value: cpuSecondsPerGb })),
      },
    ],
  };
}

const HEAD = ['', 'GB/s', 'SPREAD', 'OURS / IT', 'SPREAD', 'CPU s/GB', 'DOWNLOADER', 'SEEDERS', 'PEAK MEMORY'];

function row(line: {
  readonly name: string;
  readonly gbPerSecond: Summary;
  readonly oursOverIt: Summary;
  readonly cpuSecondsPerGb: Summary;
  readonly downloaderCpuSecondsPerGb: Summary;
  readonly seedersCpuSecondsPerGb: Summary;
  readonly downloaderPeakBytes: Summary;
}): string[] {
  return [
    line.name,
    fixed(line.gbPerSecond.median),
    spread(line.gbPerSecond),
    fixed(line.oursOverIt.median),
    spread(line.oursOverIt),
    fixed(line.cpuSecondsPerGb.median),
    fixed(line.downloaderCpuSecondsPerGb.median),
    fixed(line.seedersCpuSecondsPerGb.median),
    Number.isNaN(line.downloaderPeakBytes.max) ? '' : formatSize(line.downloaderPeakBytes.max),
  ];
}
