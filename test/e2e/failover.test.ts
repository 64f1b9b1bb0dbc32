/**
 * A client whose tracker is killed goes on with the next: same login, same downloads, same seeding. Where there is no next,
 * what runs goes on with the peers that it knows.
 */
import { existsSync, rmSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { MIB } from '../../src/protocol/limits.ts';
import { ClientHome } from '../support/client-process.ts';
import { Cluster } from '../support/cluster.ts';
import { sha256, writeRandomFile } from '../support/network.ts';

const FAILOVER_MS_MAX = 2_000;

let cluster: Cluster | undefined;
const homes: ClientHome[] = [];
afterEach(async () => {
  for (const home of homes.splice(0)) await home.dispose();
  await cluster?.dispose();
});

async function member(infoPath: string, name: string, ...flags: readonly string[]) {
  const home = await ClientHome.create(infoPath);
  homes.push(home);
  const run = home.run(...flags);
  await run.done('create_user', name, 'secret');
  await run.done('login', name, 'secret');
  return { home, run };
}

test('commands, downloads and seeding go on when the tracker that a client used is killed', async () => {
  cluster = await Cluster.of(2);
  const first = await cluster.start(0);
  const second = await cluster.start(1);
  const swas = await member(cluster.infoPath, 'swas');
  const abe = await member(cluster.infoPath, 'abe');
  await swas.run.done('create_group', 'pdfs');
  await abe.run.done('join_group', 'pdfs');
  await swas.run.done('accept_request', 'pdfs', 'abe');
  const path = swas.home.file('big.bin');
  writeRandomFile(path, 256 * MIB);
  expect(await swas.run.done('upload_file', path, 'pdfs')).toMatchObject({ ok: true });

  const copy = abe.home.file('copy.bin');
  await abe.run.done('download_file', 'pdfs', 'big.bin', copy);
  first.kill('SIGKILL');
  await first.ended;
  const lostAtMs = performance.now();
  // Logged in as before, at the other tracker.
  expect(await swas.run.done('create_group', 'more')).toMatchObject({ trackers: 1 });
  expect(performance.now() - lostAtMs).toBeLessThan(FAILOVER_MS_MAX);
  await abe.run.notice('download-ended');
  expect(await sha256(copy)).toBe(await sha256(path));

  // Found again through the tracker that never heard of the first announcement but from the other.
  const again = abe.home.file('again.bin');
  await abe.run.done('download_file', 'pdfs', 'big.bin', again);
  await cluster.start(0);
  second.kill('SIGKILL');
  await second.ended;
  expect(await swas.run.done('list_groups')).toMatchObject({ groups: [{ name: 'more' }, { name: 'pdfs' }] });
  await abe.run.line((line) => line['notice'] === 'download-ended' && JSON.stringify(line).includes('again.bin'));
  expect(await sha256(again)).toBe(await sha256(path));
  for (const done of [copy, again]) if (existsSync(done)) rmSync(done);
});

test('a download of 256 MiB goes on while its only tracker is killed and restarted, and ends while it is down', async () => {
  cluster = await Cluster.of(1);
  let tracker = await cluster.start(0);
  const swas = await member(cluster.infoPath, 'swas');
  // Slow enough to be under way all the time.
  const abe = await member(cluster.infoPath, 'abe', '--download-limit', '48MiB');
  await swas.run.done('create_group', 'pdfs');
  await abe.run.done('join_group', 'pdfs');
  await swas.run.done('accept_request', 'pdfs', 'abe');
  const path = swas.home.file('big.bin');
  writeRandomFile(path, 256 * MIB);
  await swas.run.done('upload_file', path, 'pdfs');

  const copy = abe.home.file('copy.bin');
  await abe.run.done('download_file', 'pdfs', 'big.bin', copy);
  const downTo = async (doneBytes: number) => {
    await abe.run.line((line) => line['type'] === 'progress' && Number(line['doneBytes']) >= doneBytes);
    tracker.kill('SIGKILL');
    await tracker.ended;
  };
  await downTo(16 * MIB);
  tracker = await cluster.start(0);
  // Logged in again by itself, before the download has ended.
  await abe.run.done('list_groups');
  expect(abe.run.lines.some((line) => line['notice'] === 'download-ended')).toBe(false);
  await downTo(128 * MIB);
  expect(await abe.run.notice('download-ended')).toMatchObject({ ok: true, doneBytes: 256 * MIB });
  expect(await sha256(copy)).toBe(await sha256(path));
});
