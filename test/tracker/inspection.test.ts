/** To see what a tracker does: its status, its log, a check of what is on the disk, and figures for a monitor. */
import { PassThrough } from 'node:stream';
import Database from 'better-sqlite3';
import { afterEach, describe, expect, test } from 'vitest';
import { readCommands } from '../../src/main/tracker/console.ts';
import { Trackers } from '../support/trackers.ts';

let trackers: Trackers | undefined;
afterEach(() => trackers?.dispose());

async function network(): Promise<Trackers> {
  trackers = await Trackers.of(2);
  for (const at of [0, 1]) await trackers.start(at);
  await trackers.linked();
  const swas = await trackers.client(0);
  await swas.signUp('swas');
  await swas.call('create_group', { group: 'pdfs' });
  await trackers.agreed();
  return trackers;
}

/** Types commands at a tracker, and gives what each printed. */
async function typed(here: Trackers, ...commands: readonly string[]): Promise<string[]> {
  const input = new PassThrough();
  const said: string[] = [];
  const all = Promise.withResolvers<void>();
  const say = (text: string) => {
    said.push(text);
    if (said.length === commands.length) all.resolve();
  };
  const stop = readCommands(input, say, () => {}, here.tracker(0));
  input.write(commands.map((command) => `${command}\n`).join(''));
  await all.promise;
  stop();
  return said;
}

describe('the commands of a tracker', () => {
  test('status names logs, trackers and what the registry adds up to', async () => {
    const here = await network();
    const [status = ''] = await typed(here, 'status');
    const [mine, other] = [here.tracker(0), here.tracker(1)];
    expect(status).toContain(`pin: ${mine.id}`);
    expect(status).toContain('connections: 1\ntransactions: 3, ');
    expect(status).toContain(`digest: ${other.state().digest}\n`);
    expect(status).toContain(`${mine.id.slice(0, 16)}  3 entries (this tracker)`);
    expect(status).toMatch(new RegExp(`${other.id.slice(0, 16)} {2}(in step|it lacks)`));
  });

  test('log shows the last transactions, and never the hash of a password', async () => {
    const here = await network();
    const [text = '', json = '', wrong = ''] = await typed(here, 'log', 'log --tail 2 --json', 'log --head');
    expect(text.split('\n').map((line) => line.split('  ')[2])).toEqual([
      'user-created',
      'session-opened',
      'group-created',
    ]);
    const lines = json.split('\n').map((line) => JSON.parse(line));
    expect(lines).toMatchObject([
      { seq: 2, op: { type: 'session-opened' } },
      { seq: 3, op: { name: 'pdfs' } },
    ]);
    const [all = ''] = await typed(here, 'log --json');
    expect(text + all).not.toContain('argon2');
    expect(wrong).toBe('usage: log [--tail N] [--json]');
  });

  test('verify_log holds on a good log, and says where a flipped bit is', async () => {
    const here = await network();
    expect(await typed(here, 'verify_log')).toEqual(['3 entries verified: all hold']);
    const db = new Database(`${here.dataDir(0)}/log.sqlite`);
    db.exec('UPDATE entries SET signature = zeroblob(64) WHERE seq = 2');
    db.close();
    const [found = ''] = await typed(here, 'verify_log');
    expect(found).toContain(`DAMAGED after 1 entries: entry 2 of ${here.tracker(0).id}`);
  });
});

test('figures for Prometheus are served as text, and nothing else is', async () => {
  const here = await network();
  const { host, port } = await here.tracker(0).serveMetrics({ host: '127.0.0.1', port: 0 });
  const page = await fetch(`http://${host}:${port}/metrics`);
  expect(page.headers.get('content-type')).toContain('text/plain');
  const text = await page.text();
  expect(text).toContain('p2pfs_tracker_connections 1');
  expect(text).toContain('p2pfs_tracker_transactions 3');
  expect(text).toContain(`p2pfs_tracker_log_entries{origin="${here.tracker(0).id}"} 3`);
  expect(text).toContain(`p2pfs_tracker_peer_lag{peer="${here.tracker(1).id}",side="we"} 0`);
  expect((await fetch(`http://${host}:${port}/`)).status).toBe(404);
});
