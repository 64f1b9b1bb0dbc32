/**
 * Trackers as programs on a real etcd: its leader killed under clients (`pnpm soak etcd` does the same for minutes), logs moved
 * there and back, certificates, and what is said about flags that are wrong.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { certificateFiles } from '../support/certificates.ts';
import { describeWithEtcd, EtcdCluster } from '../support/etcd.ts';
import { etcdRun } from '../support/etcd-run.ts';
import { eventually } from '../support/eventually.ts';
import { Program } from '../support/program.ts';
import { WireClient } from '../support/tracker.ts';
import { TrackerHome } from '../support/tracker-process.ts';

const KILLS = 3;
const ACKNOWLEDGED_BETWEEN = 60;

describeWithEtcd('an etcd whose leader is killed', () => {
  test(`${KILLS} times: no gap, no double, nothing acknowledged lost`, async () => {
    let enough = ACKNOWLEDGED_BETWEEN;
    const report = await etcdRun({
      clients: 8,
      async next(kills, acknowledged) {
        // Also after the last one, work goes on.
        await eventually(() => acknowledged() >= enough);
        enough = acknowledged() + ACKNOWLEDGED_BETWEEN;
        return kills < KILLS;
      },
    });
    expect(report).toMatchObject({ leaderKills: KILLS, lost: 0, doubled: 0, gaps: 0 });
    expect(report.acknowledged).toBeGreaterThan(KILLS * ACKNOWLEDGED_BETWEEN);
    expect(new Set(report.digests).size).toBe(1);
  });
});

describeWithEtcd('the tracker program on etcd', () => {
  let home: TrackerHome;
  let etcd: EtcdCluster;
  let path: string;
  beforeEach(async () => {
    path = mkdtempSync(join(tmpdir(), 'p2pfs-etcd-program-'));
    home = await TrackerHome.create();
  });
  afterEach(async () => {
    await home.dispose();
    await etcd.dispose();
    rmSync(path, { recursive: true, force: true });
  });

  const log = (...args: string[]) => new Program('tracker', ['log', ...args]).ended;
  const digestIn = (text: string) => /digest: ([0-9a-f]{64})/.exec(text)?.[1];

  async function startsWith(...flags: string[]): Promise<Program> {
    const run = home.run(...flags);
    await run.printed('listens on');
    return run;
  }

  /** Makes a user, and gives the digest of what the tracker has then. */
  async function use(run: Program, user: string): Promise<string | undefined> {
    const client = await WireClient.connect(home.address);
    await client.signUp(user);
    client.close();
    run.type('status');
    await run.printed('digest: ');
    const { stdout } = await run.quit();
    return digestIn(stdout);
  }

  test('takes its log there and back, the same tracker with the same users', async () => {
    etcd = await EtcdCluster.of(1);
    const url = etcd.url();
    const own = await use(await startsWith(), 'swas');
    const early = await home.run('--log', url).ended;
    expect(early).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('tracker log import') });

    expect(digestIn((await log('export', join(path, 'there'), '--data-dir', home.dataDir)).stdout)).toBe(own);
    expect(digestIn((await log('import', join(path, 'there'), '--log', url)).stdout)).toBe(own);
    const inEtcd = await use(await startsWith('--log', url), 'bob');
    const late = await home.run().ended;
    expect(late).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('tracker log export') });

    // The old end is no excuse to forget what came later.
    const old = await log('import', join(path, 'there'), '--data-dir', home.dataDir);
    expect(old).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('holds another log') });
    expect(digestIn((await log('export', join(path, 'back'), '--log', url)).stdout)).toBe(inEtcd);
    expect(digestIn((await log('import', join(path, 'back'), '--data-dir', home.dataDir)).stdout)).toBe(inEtcd);
    const again = await startsWith();
    const client = await WireClient.connect(home.address);
    expect((await client.refusal('create_user', { user: 'bob', password: 'x' })).code).toBe('name-taken');
    client.close();
    again.type('verify_log');
    await again.printed('4 entries verified: all hold');
    await again.quit();
  });

  test('speaks TLS, and to nobody who can not prove to be that etcd', async () => {
    const good = await certificateFiles(path, 'good');
    const bad = await certificateFiles(path, 'bad');
    etcd = await EtcdCluster.of(1, {
      flags: ['--cert-file', good.cert, '--key-file', good.key, '--client-cert-auth', '--trusted-ca-file', good.ca],
    });
    const url = etcd.url();
    const own = ['--etcd-cert', good.cert, '--etcd-key', good.key];
    await use(await startsWith('--log', url, '--etcd-ca', good.ca, ...own), 'swas');
    for (const flags of [[], ['--etcd-ca', good.ca], ['--etcd-ca', bad.ca, ...own]]) {
      const { exitCode, stderr } = await home.run('--log', url, ...flags).ended;
      expect({ exitCode, stderr }).toEqual({ exitCode: 3, stderr: expect.stringContaining('no majority answers') });
    }
  });

  test('says what is wrong with its flags', async () => {
    etcd = await EtcdCluster.of(1);
    const mistakes: [string[], number, string][] = [
      [['--log', 'http://127.0.0.1:2379'], 2, 'expected etcd://'],
      [['--log', 'etcd://10.255.255.1:2379'], 2, '--etcd-ca'],
      [['--etcd-ca', 'ca.pem'], 2, '--log'],
      [['--log', etcd.url(), '--etcd-ca', join(path, 'none.pem')], 5, 'none.pem'],
      [['--log', etcd.url(), '--etcd-user', 'swas'], 2, '--etcd-password-file'],
      [['--log', 'etcd://127.0.0.1:1'], 3, 'connection refused'],
    ];
    for (const [flags, exitCode, text] of mistakes) {
      expect(await home.run(...flags).ended).toMatchObject({ exitCode, stderr: expect.stringContaining(text) });
    }
    // None of them has made the directory one of etcd's.
    await use(await startsWith(), 'swas');
  });
});
