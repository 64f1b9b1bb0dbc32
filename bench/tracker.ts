/**
 * `pnpm bench tracker`: what a tracker does a second for 64 clients with several calls under way each, every answer
 * counted when it has come; beside Redis that syncs before it answers. And what ten thousand idle connections take, and
 * what they do to the look-ups of somebody else. Tracker and load are processes of their own.
 */
import { formatSize, table } from '../src/main/shell/format.ts';
import { GIB } from '../src/protocol/limits.ts';
import { Redis } from './peers/redis.ts';
import { countFlag, defineBench } from './support/bench.ts';
import { shortNumber } from './support/chart.ts';
import { memoryBytes, peakMemoryBytes } from './support/measure.ts';
import { note, type Report } from './support/report.ts';
import { type Contender, type Rounds, takeTurns } from './support/rounds.ts';
import { BenchTracker, type LoadOrder, type LoadResult, standing } from './support/tracker-bench.ts';
import { Workspace } from './support/workspace.ts';

/** What an add_file comes to as an entry of the log, so that Redis keeps as much. */
const ENTRY_BYTES = 640;
/** Redis is told a number of requests and not a time: about as many as it does in that. */
const REDIS_PER_SECOND = 60_000;
const TRANSACTIONS = 'durable transactions';
const LOOKUPS = 'look-ups';
const REDIS_SET = 'redis SET, synced';
const REDIS_GET = 'redis GET';

interface Taken {
  readonly perSecond: number;
  /** Of the server's CPU, for each. */
  readonly micros: number;
}

interface Idle extends Omit<LoadResult, 'count' | 'seconds'> {
  readonly connections: number;
  readonly lookupsTimed: number;
  readonly connectedPerSecond: number;
  readonly bytesBefore: number;
  readonly bytes: number;
  readonly peakBytes: number;
}

export const tracker = defineBench({
  what: 'transactions, look-ups and logins a second, and 10,000 idle connections',
  flags: {
    rounds: countFlag('rounds, each of them once', 1, 3, 5),
    seconds: countFlag('seconds that each has in a round', 1, 3, 5),
    clients: countFlag('clients', 64),
    depth: countFlag('calls that each client has under way', 16),
    idle: countFlag('idle connections', 1_000, 10_000),
    watch: countFlag('seconds for which look-ups beside idle connections are timed', 4, 20, 60),
  },
  async run({ rounds, seconds, clients, depth, idle, watch }): Promise<Report> {
    const missing = Redis.missing();
    if (missing !== undefined) note(`redis is not installed, so it takes no part: ${missing}`);
    const busy = await measureBusy({ rounds, ms: seconds * 1000, clients, depth, redis: missing === undefined });
    const quiet = await measureIdle(idle, watch * 1000);
    return report({ clients, depth, missing }, busy, quiet);
  },
});

async function measureBusy(options: {
  rounds: number;
  ms: number;
  clients: number;
  depth: number;
  redis: boolean;
}): Promise<Rounds<Taken>> {
  const { rounds, ms, clients, depth } = options;
  const workspace = new Workspace('p2p-bench-tracker', GIB);
  try {
    const server = await BenchTracker.start(workspace, 'tracker-data');
    const load = await server.load(clients);
    const ours = (name: string, what: LoadOrder['what']): Contender<Taken> => ({
      name,
      async run() {
        // A login is a password's hash and little else; a client has one at a time.
        const order = { what, ms, depth: what === 'logins' ? 1 : depth };
        const { count, seconds, cpu } = await server.order(load, order);
        return { perSecond: count / seconds, micros: (cpu / count) * 1e6 };
      },
    });
    const contenders = [
      ours(TRANSACTIONS, 'transactions'),
      ours(LOOKUPS, 'look-ups'),
      ours('listings of 128 files', 'listings'),
      ours('logins', 'logins'),
    ];
    if (options.redis) {
      const redis = await Redis.start(workspace);
      const requests = (REDIS_PER_SECOND * ms) / 1000;
      const theirs = (name: string, command: 'set' | 'get'): Contender<Taken> => ({
        name,
        async run() {
          const done = await redis.run({ command, clients, depth, requests, valueBytes: ENTRY_BYTES });
          return { perSecond: done.perSecond, micros: (done.cpu / requests) * 1e6 };
        },
      });
      contenders.push(theirs(REDIS_SET, 'set'), theirs(REDIS_GET, 'get'));
    }
    const taken = await takeTurns(contenders, { rounds, told: ({ perSecond }) => `${shortNumber(perSecond)}/s` });
    await server.quit();
    return taken;
  } finally {
    await workspace.close();
  }
}

/** Of a tracker that has done nothing else. */
async function measureIdle(connections: number, ms: number): Promise<Idle> {
  const workspace = new Workspace('p2p-bench-tracker', GIB);
  try {
    const server = await BenchTracker.start(workspace, 'tracker-data');
    const { pid } = server.child;
    const load = await server.load(1);
    const bytesBefore = memoryBytes(pid);
    note(`${connections} connections`);
    const startedMs = performance.now();
    const idle = await server.idle(connections);
    const connectedPerSecond = connections / ((performance.now() - startedMs) / 1000);
    note('look-ups beside them');
    const { count, p50, p99, max } = await server.order(load, { what: 'probe', ms, depth: 1 });
    const stood = await standing(idle);
    if (stood !== connections) throw new Error(`${connections - stood} idle connections were lost`);
    const [bytes, peakBytes] = [memoryBytes(pid), peakMemoryBytes(pid)];
    await server.quit();
    return { connections, lookupsTimed: count, connectedPerSecond, bytesBefore, bytes, peakBytes, p50, p99, max };
  } finally {
    await workspace.close();
  }
}

function report(
  { clients, depth, missing }: { clients: number; depth: number; missing: string | undefined },
  busy: Rounds<Taken>,
  idle: Idle,
): Report {
  const names = Object.keys(busy.raw()[0] ?? {});
  const perSecond = (name: string) => busy.of(name, (taken) => taken.perSecond);
  const rows = names.map((name) => {
    const { median, min, max } = perSecond(name);
    const micros = busy.of(name, (taken) => taken.micros).median;
    return [name, shortNumber(median), `${shortNumber(min)} to ${shortNumber(max)}`, shortNumber(micros)];
  });
  const ratio = (name: string, other: string) =>
    names.includes(other)
      ? [`${name} / ${other}, round by round: ${busy.ratio(name, other, (taken) => taken.perSecond).median.toFixed(2)}`]
      : [];
  const ms = (value: number) => `${value.toFixed(2)} ms`;
  const text = [
    table([['', 'a second', 'spread', 'server CPU us each'], ...rows]),
    '',
    ...ratio(TRANSACTIONS, REDIS_SET),
    ...ratio(LOOKUPS, REDIS_GET),
    ...(missing === undefined ? [] : [`redis took no part: ${missing}`]),
    '',
    table([
      [`${idle.connections} idle connections`, ''],
      ['  memory before', formatSize(idle.bytesBefore)],
      ['  memory with them', `${formatSize(idle.bytes)}, at most ${formatSize(idle.peakBytes)}`],
      ['  connected', `${shortNumber(idle.connectedPerSecond)} a second`],
      ['  look-up beside them', `p50 ${ms(idle.p50)}, p99 ${ms(idle.p99)}, slowest ${ms(idle.max)}`],
    ]),
  ];
  return {
    title: `a tracker, ${clients} clients with ${depth} calls under way each`,
    text: text.join('\n'),
    data: { clients, depth, rounds: busy.raw(), idle, missing },
    chart: [{ unit: 'a second', bars: names.map((name) => ({ label: name, value: perSecond(name) })) }],
  };
}
