/** What a run comes to: how long the peers took beside how long they had to, what the seeders sent, what was wasted. */
import { formatDuration, table } from '../../src/main/shell/format.ts';
import { boundMs, type Scenario, type SwarmPlan } from './scenario.ts';
import type { Swarm } from './swarm.ts';

export interface Result {
  readonly boundMs: number;
  readonly finished: number;
  /** Honest peers that stayed, and did not finish. */
  readonly unfinished: number;
  readonly p50Ms: number;
  readonly p90Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
  /** What all seeders sent, in files. */
  readonly seederCopies: number;
  readonly wrongPieces: number;
  /** Right ones that came a second time, as a part of all. */
  readonly uselessShare: number;
  readonly events: number;
}

/** A swarm with a name, and what is expected of it. */
export interface Preset {
  readonly what: string;
  readonly plan: SwarmPlan;
  readonly target: { readonly what: string; isMet(result: Result): boolean };
  /** Published times of others in the same case, in ms. */
  readonly published?: {
    readonly who: string;
    readonly p50Ms: number;
    readonly p99Ms: number;
    readonly p999Ms: number;
  };
}

export function resultOf(scenario: Scenario, swarm: Swarm): Result {
  const times = swarm.hosts
    .flatMap(({ doneMs, spec }) => (doneMs === undefined || spec.leave ? [] : [doneMs - spec.joinMs]))
    .sort((a, b) => a - b);
  const quantile = (part: number) => times[Math.max(0, Math.ceil(part * times.length) - 1)] ?? Number.NaN;
  const sentBytes = swarm.hosts.reduce((sum, { spec, sentBytes }) => sum + (spec.isSeeder ? sentBytes : 0), 0);
  const pieces = swarm.hosts.reduce((sum, { rightPieces }) => sum + rightPieces, 0);
  return {
    boundMs: boundMs(scenario),
    finished: times.length,
    unfinished: swarm.fetching,
    p50Ms: quantile(0.5),
    p90Ms: quantile(0.9),
    p99Ms: quantile(0.99),
    p999Ms: quantile(0.999),
    maxMs: quantile(1),
    seederCopies: sentBytes / scenario.sizeBytes,
    wrongPieces: swarm.waste.wrong,
    uselessShare: swarm.waste.useless / (pieces + swarm.waste.useless),
    events: swarm.events,
  };
}

/** For people. Times count from when a peer came. */
export function describe(result: Result, { target, published }: Preset): string {
  const { boundMs: bound, p50Ms, p90Ms, p99Ms, p999Ms, maxMs } = result;
  const times = [p50Ms, p90Ms, p99Ms, p999Ms, maxMs];
  const rows = [
    ['', 'p50', 'p90', 'p99', 'p99.9', 'max'],
    ['time', ...times.map(formatDuration)],
    ['of the bound', ...times.map((timeMs) => (timeMs / bound).toFixed(2))],
  ];
  if (published) {
    const { who, p50Ms: p50, p99Ms: p99, p999Ms: p999 } = published;
    rows.push([who, formatDuration(p50), '', formatDuration(p99), formatDuration(p999), '']);
  }
  const { finished, unfinished, seederCopies, wrongPieces, uselessShare } = result;
  return [
    `  bound: ${formatDuration(bound)}`,
    table(rows.map((row) => [`  ${row[0]}`, ...row.slice(1)])),
    `  ${finished} peers finished, ${unfinished} did not; seeders sent ${seederCopies.toFixed(2)} copies`,
    `  ${wrongPieces} wrong pieces came, and ${(100 * uselessShare).toFixed(1)} % of the right ones came twice`,
    `  ${target.what}: ${target.isMet(result) ? 'yes' : 'NO'}`,
  ].join('\n');
}
