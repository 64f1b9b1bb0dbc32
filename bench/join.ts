/**
 * `pnpm bench join`: a tracker with a long log, and one that joins it with nothing. Told is how long the newcomer takes
 * from the start of its process until it serves clients, and the memory that it holds then; and the same for the
 * tracker with the log, which reads it from its disk.
 */
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { loadIdentity } from '../src/main/net/identity.ts';
import { formatSize, table } from '../src/main/shell/format.ts';
import { newId, systemClock } from '../src/main/support/clock.ts';
import { Journal } from '../src/main/tracker/journal.ts';
import { SqliteLogStore } from '../src/main/tracker/log-store.ts';
import type { DeviceId, RequestId, UserId } from '../src/protocol/ids.ts';
import { GIB, KIB } from '../src/protocol/limits.ts';
import { countFlag, defineBench } from './support/bench.ts';
import type { Report } from './support/report.ts';
import { Workspace } from './support/workspace.ts';

const INFO = 'tracker_info.txt';
const WRITTEN_AT_ONCE = 1_000;
const ENTRY_BYTES = 4 * KIB;
const DEVICE = '0'.repeat(64) as DeviceId;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  server.close();
  if (bound === null || typeof bound === 'string') throw new Error('no port');
  return bound.port;
}

/** As many users in the log of a tracker that has not run yet. */
async function writeLog(directory: string, transactions: number): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const identity = await loadIdentity(directory);
  const journal = await Journal.open(new SqliteLogStore(directory), identity, systemClock);
  for (let at = 0; at < transactions; at += 1) {
    const op = {
      type: 'user-created',
      user: newId<UserId>(),
      name: `user${at}`,
      passwordHash: 'x'.repeat(96),
    } as const;
    journal.write(op, { device: DEVICE }, newId<RequestId>());
    if (at % WRITTEN_AT_ONCE === 0) await journal.settled();
  }
  await journal.close();
}

/** Starts a tracker of the file, and gives ms until it serves clients and the bytes that it holds then. */
async function start(workspace: Workspace, number: number): Promise<{ ms: number; bytes: number }> {
  const startedMs = performance.now();
  const args = [INFO, String(number), '--data-dir', `tracker-${number}`];
  const tracker = workspace.startProgram(`tracker ${number}`, 'src/main/tracker.ts', args);
  await tracker.lineWith((line) => (line.includes('listens on') ? line : undefined));
  const ms = performance.now() - startedMs;
  const kib = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${tracker.pid}/status`, 'utf8'))?.[1] ?? '0';
  return { ms, bytes: Number(kib) * KIB };
}

export const join = defineBench({
  what: 'a tracker that joins another with a long log',
  flags: { transactions: countFlag('transactions in the log', 10_000, 100_000) },
  run: ({ transactions }) => measure(transactions),
});

async function measure(transactions: number): Promise<Report> {
  const workspace = new Workspace('p2pfs-join', transactions * ENTRY_BYTES + GIB / 4);
  try {
    const ports = [await freePort(), await freePort()];
    writeFileSync(workspace.path(INFO), ports.map((port) => `127.0.0.1 ${port}\n`).join(''));
    process.stderr.write(`writing ${transactions} transactions\n`);
    await writeLog(workspace.path('tracker-1'), transactions);
    const rows = [['', 'serves after', 'memory']];
    const starts = [];
    for (const [number, what] of [
      [1, 'its own log from the disk'],
      [2, 'a newcomer, all of it from the other'],
    ] as const) {
      const { ms, bytes } = await start(workspace, number);
      starts.push({ what, ms, bytes });
      rows.push([what, `${(ms / 1000).toFixed(1)} s`, formatSize(bytes)]);
    }
    return {
      title: `a log of ${transactions} transactions, read by the tracker that has it and by one that joins`,
      text: table(rows),
      data: { transactions, starts },
      chart: [],
    };
  } finally {
    await workspace.close();
  }
}
