/**
 * The rounds of `pnpm bench transfer` as numbers: medians with their spread, ratios taken round by round (so that a slow
 * moment of the machine counts for both sides), and the table that people read. Pure.
 */
import { formatSize, table } from '../src/main/shell/format.ts';
import { PIECE_BYTES_DEFAULT } from '../src/protocol/limits.ts';
import { type Summary, summarize } from './support/measure.ts';
import { howToInstall } from './support/tools.ts';

export const OURS = 'p2p-file-share';
export const SOCAT = { command: 'socat', debianPackage: 'socat' };

/** What one copy took. */
export interface Taken {
  readonly seconds: number;
  /** Of all processes that took part. */
  readonly cpuSeconds: number;
  /** Ours alone: the two ends, apart. */
  readonly ends?: {
    readonly downloaderCpuSeconds: number;
    readonly seederCpuSeconds: number;
    readonly downloaderPeakBytes: number;
    readonly seederPeakBytes: number;
    /** How much later than asked for the downloader's event loop looked up. */
    readonly loopP99Ms: number;
    readonly loopMaxMs: number;
  };
}

/** By name of the contender, in the order in which they ran. */
export type Round = ReadonlyMap<string, Taken>;

export function summarizeTransfer(sizeBytes: number, rounds: readonly Round[]) {
  const sizeGb = sizeBytes / 1e9;
  const rate = (round: Round, name: string) => sizeGb / (round.get(name)?.seconds ?? Number.NaN);
  const names = ['cp', 'socat', OURS].filter((name) => rounds[0]?.has(name));
  const ratioTo = (name: string) =>
    names.includes(name) ? summarize(rounds.map((round) => rate(round, OURS) / rate(round, name))) : undefined;
  const ends = rounds.flatMap((round) => round.get(OURS)?.ends ?? []);
  return {
    sizeBytes,
    pieceBytes: PIECE_BYTES_DEFAULT,
    rounds: rounds.map((round) => Object.fromEntries(round)),
    contenders: names.map((name) => ({
      name,
      gbPerSecond: summarize(rounds.map((round) => rate(round, name))),
      cpuSecondsPerGb: summarize(rounds.map((round) => (round.get(name)?.cpuSeconds ?? Number.NaN) / sizeGb)),
    })),
    ratioToSocat: ratioTo('socat'),
    ratioToCp: ratioTo('cp'),
    downloader: {
      cpuSecondsPerGb: summarize(ends.map((end) => end.downloaderCpuSeconds / sizeGb)),
      peakMemoryBytes: summarize(ends.map((end) => end.downloaderPeakBytes)),
      loopDelayP99Ms: summarize(ends.map((end) => end.loopP99Ms)),
      loopDelayMaxMs: summarize(ends.map((end) => end.loopMaxMs)),
    },
    seeder: {
      cpuSecondsPerGb: summarize(ends.map((end) => end.seederCpuSeconds / sizeGb)),
      peakMemoryBytes: summarize(ends.map((end) => end.seederPeakBytes)),
    },
  };
}

const spread = ({ min, max }: Summary) => `${min.toFixed(2)} to ${max.toFixed(2)}`;

export function describeTransfer(report: ReturnType<typeof summarizeTransfer>): string {
  const { contenders, downloader, seeder, ratioToSocat, rounds, pieceBytes } = report;
  const rows = contenders.map(({ name, gbPerSecond, cpuSecondsPerGb }) => [
    name,
    gbPerSecond.median.toFixed(2),
    spread(gbPerSecond),
    Math.round((gbPerSecond.median * 1e9) / pieceBytes).toLocaleString('en'),
    cpuSecondsPerGb.median.toFixed(2),
  ]);
  const ratio = ratioToSocat
    ? `${OURS} / socat, round by round: ${ratioToSocat.median.toFixed(2)} (${spread(ratioToSocat)})`
    : `socat is not installed, so nothing is compared with it: ${howToInstall(SOCAT)}`;
  const ends = [
    [
      'downloader',
      downloader.cpuSecondsPerGb.median.toFixed(2),
      formatSize(downloader.peakMemoryBytes.max),
      `${downloader.loopDelayP99Ms.median.toFixed(1)} ms`,
    ],
    ['seeder', seeder.cpuSecondsPerGb.median.toFixed(2), formatSize(seeder.peakMemoryBytes.max), ''],
  ];
  return [
    '',
    `${formatSize(report.sizeBytes)} from one member to another in pieces of ${formatSize(pieceBytes)}, median of ${rounds.length}`,
    '',
    table([['', 'GB/s', 'SPREAD', 'PIECES/s', 'CPU s/GB'], ...rows], new Set([1, 3, 4])),
    '',
    ratio,
    '',
    table([['', 'CPU s/GB', 'PEAK MEMORY', 'EVENT LOOP p99'], ...ends], new Set([1, 2, 3])),
  ].join('\n');
}
