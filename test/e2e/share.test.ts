/** The main job with real processes: share with a group, download from several members, whatever happens to them. */
import { copyFileSync, existsSync, readdirSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MIB } from '../../src/protocol/limits.ts';
import type { JsonLine } from '../support/client-process.ts';
import { LyingPeer } from '../support/lying-peer.ts';
import { type Member, Network, sha256, writeRandomFile } from '../support/network.ts';

let network: Network;
beforeEach(async () => {
  network = await Network.start();
});
afterEach(() => network.dispose());

interface Source {
  readonly user: string;
  readonly bytes: number;
  readonly badPieces: number;
  readonly state: string;
}
const sources = (line: JsonLine): Source[] => line['peers'] as Source[];
const source = (line: JsonLine, user: string) => sources(line).find((peer) => peer.user === user);

/** Both share the same file; small pieces, so that there are many. */
async function twoSeeders(
  sizeBytes: number,
): Promise<{ members: [Member, Member, Member]; file: string; digest: string }> {
  const [alice, bob, carol] = await network.members(['alice', 'bob', 'carol'], ['--piece-size', '16KiB']);
  if (!alice || !bob || !carol) throw new Error('three members');
  const file = alice.home.file('big file.bin');
  writeRandomFile(file, sizeBytes);
  copyFileSync(file, bob.home.file('big file.bin'));
  expect(await alice.run.done('upload_file', file, 'pdfs')).toMatchObject({ created: true });
  expect(await bob.run.done('upload_file', bob.home.file('big file.bin'), 'pdfs')).toMatchObject({ created: false });
  return { members: [alice, bob, carol], file, digest: await sha256(file) };
}

describe('a download from two seeders', () => {
  it('goes on when one is killed mid-way', async () => {
    const { members, digest } = await twoSeeders(64 * MIB);
    const [alice, bob, carol] = members;
    // One request at a time and 4,096 pieces: long enough to be in the middle when the first progress comes.
    await carol.run.quit();
    carol.run = carol.home.run('--pipeline', '1');
    const destination = carol.home.file('copy.bin');
    await carol.run.done('download_file', 'pdfs', 'big file.bin', destination);
    const midway = await carol.run.line(
      (line) =>
        line['type'] === 'progress' && (source(line, 'bob')?.bytes ?? 0) > 0 && (source(line, 'alice')?.bytes ?? 0) > 0,
    );
    bob.run.kill('SIGKILL');
    expect(midway['doneBytes']).toBeLessThan(60 * MIB);
    const end = await carol.run.notice('download-ended');
    expect(end).toMatchObject({ ok: true, state: 'done', doneBytes: 64 * MIB });
    expect(await sha256(destination)).toBe(digest);
    expect(source(end, 'bob')?.bytes).toBeGreaterThan(0);
    expect(source(end, 'bob')?.bytes).toBeLessThan(48 * MIB);
    // What the dead one did not bring came from the other; nothing was lost or counted twice.
    const bytes = sources(end).reduce((sum, peer) => sum + peer.bytes, 0);
    expect(bytes).toBeGreaterThanOrEqual(64 * MIB);
    expect(bytes).toBeLessThan(65 * MIB);
    expect(await alice.run.done('show_downloads')).toMatchObject({ downloads: [] });
  });

  it('makes the downloader a seeder, also after a restart', async () => {
    const { members, digest } = await twoSeeders(4 * MIB);
    const [alice, bob, carol] = members;
    await carol.run.done('download_file', 'pdfs', 'big file.bin', carol.home.path);
    await carol.run.notice('download-ended');
    await carol.run.quit();
    await alice.run.quit();
    await bob.run.quit();
    carol.run = carol.home.run();
    expect(await carol.run.done('whoami')).toMatchObject({ user: 'carol' });
    await carol.run.notice('tracker-connected');
    alice.run = alice.home.run();
    const destination = alice.home.file('back.bin');
    await alice.run.done('download_file', 'pdfs', 'big file.bin', destination);
    const end = await alice.run.notice('download-ended');
    expect(end).toMatchObject({ ok: true });
    expect(source(end, 'carol')?.bytes).toBeGreaterThan(0);
    expect(await sha256(destination)).toBe(digest);
  });
});

describe('a seeder that lies', () => {
  it('is found out, blamed and no longer asked', async () => {
    const { members, digest } = await twoSeeders(8 * MIB);
    const [alice, , carol] = members;
    const listing = await alice.run.done('list_files', 'pdfs');
    const liar = await LyingPeer.start(network, alice.run, 'pdfs', listing);
    try {
      const destination = carol.home.file('copy.bin');
      await carol.run.done('download_file', 'pdfs', 'big file.bin', destination);
      const end = await carol.run.notice('download-ended');
      expect(end).toMatchObject({ ok: true });
      expect(await sha256(destination)).toBe(digest);
      expect(source(end, 'mallory')).toMatchObject({ state: 'banned', bytes: 0 });
      expect(source(end, 'mallory')?.badPieces).toBeGreaterThanOrEqual(2);
      // What was asked ahead of it when it was found out is all; it would be asked for ever otherwise.
      expect(liar.requestsSeen).toBeLessThan(400);
    } finally {
      await liar.close();
    }
  });
});

describe('a download', () => {
  it('of no bytes, of one byte and of a name with spaces and accents arrives', async () => {
    const [alice, bob] = await network.members(['alice', 'bob']);
    if (!alice || !bob) throw new Error('two members');
    for (const [name, bytes] of [
      ['nothing', 0],
      ['one byte', 1],
      ['Größe „é“ 例.txt', 1234],
    ] as const) {
      const file = alice.home.file(name);
      writeRandomFile(file, bytes);
      await alice.run.done('upload_file', file, 'pdfs');
      await bob.run.done('download_file', 'pdfs', basename(file), `${bob.home.path}/`);
      await bob.run.line((line) => line['notice'] === 'download-ended' && line['name'] === name && line['ok'] === true);
      expect(await sha256(bob.home.file(name))).toBe(await sha256(file));
    }
    expect(readdirSync(bob.home.path).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  it('waits for a seeder, and starts by itself when one comes', async () => {
    const [alice, bob] = await network.members(['alice', 'bob']);
    if (!alice || !bob) throw new Error('two members');
    const file = alice.home.file('late.bin');
    writeRandomFile(file, MIB);
    await alice.run.done('upload_file', file, 'pdfs');
    await alice.run.quit();
    const outcome = await bob.run.done('download_file', 'pdfs', 'late.bin', bob.home.path);
    expect(outcome).toMatchObject({ state: 'waiting' });
    alice.run = alice.home.run();
    expect(await bob.run.notice('download-ended')).toMatchObject({ ok: true });
    expect(await sha256(bob.home.file('late.bin'))).toBe(await sha256(file));
  });

  it('that was interrupted goes on at the next start', async () => {
    const { members, digest } = await twoSeeders(32 * MIB);
    const carol = members[2];
    await carol.run.quit();
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      carol.run = carol.home.run('--pipeline', '1');
      if (signal === 'SIGTERM') {
        await carol.run.done('download_file', 'pdfs', 'big file.bin', carol.home.file('copy.bin'));
      }
      await carol.run.line((line) => line['type'] === 'progress' && Number(line['doneBytes']) > 0);
      carol.run.kill(signal);
      await carol.run.ended;
      expect(existsSync(carol.home.file('copy.bin.part'))).toBe(true);
    }
    carol.run = carol.home.run();
    expect(await carol.run.notice('download-ended')).toMatchObject({ ok: true, doneBytes: 32 * MIB });
    expect(await sha256(carol.home.file('copy.bin'))).toBe(digest);
    expect(existsSync(carol.home.file('copy.bin.part'))).toBe(false);
  });

  it('goes on while the tracker is away, and the tracker is found again without a new login', async () => {
    const { members, digest } = await twoSeeders(32 * MIB);
    const carol = members[2];
    await carol.run.quit();
    carol.run = carol.home.run('--pipeline', '1');
    await carol.run.done('download_file', 'pdfs', 'big file.bin', carol.home.file('copy.bin'));
    await carol.run.line((line) => line['type'] === 'progress' && Number(line['doneBytes']) > 0);
    network.tracker.kill('SIGKILL');
    await carol.run.notice('tracker-lost');
    expect(await carol.run.notice('download-ended')).toMatchObject({ ok: true });
    expect(await sha256(carol.home.file('copy.bin'))).toBe(digest);
    network.tracker = await network.trackerHome.start();
    expect(await carol.run.done('list_groups')).toMatchObject({ groups: [{ name: 'pdfs', standing: 'member' }] });
  });
});

describe('what goes wrong on the disk', () => {
  it('is told in a sentence, and nothing is lost', async () => {
    const [alice, bob] = await network.members(['alice', 'bob']);
    if (!alice || !bob) throw new Error('two members');
    const file = alice.home.file('a.bin');
    writeRandomFile(file, 100_000);
    await alice.run.done('upload_file', file, 'pdfs');
    const target = bob.home.file('mine.txt');
    writeFileSync(target, 'mine');
    const before = await sha256(target);
    expect(await bob.run.command('download_file', 'pdfs', 'a.bin', target)).toMatchObject({
      code: 'destination-exists',
      exitCode: 5,
    });
    expect(await sha256(target)).toBe(before);
    bob.run = bob.home.run();
  });
});

describe('a download of a person who changes their mind', () => {
  it('pauses, also over a restart, goes on, and is given up without a trace', async () => {
    const { members, digest } = await twoSeeders(32 * MIB);
    const carol = members[2];
    await carol.run.quit();
    carol.run = carol.home.run('--pipeline', '1');
    const destination = carol.home.file('copy.bin');
    await carol.run.done('download_file', 'pdfs', 'big file.bin', destination);
    await carol.run.line((line) => line['type'] === 'progress' && Number(line['doneBytes']) > 0);
    await carol.run.done('pause_download', 'pdfs', 'big file.bin');
    const paused = await carol.run.done('show_downloads');
    expect(paused).toMatchObject({ downloads: [{ state: 'paused' }] });
    await carol.run.quit();
    carol.run = carol.home.run('--pipeline', '1');
    const [rested] = (await carol.run.done('show_downloads'))['downloads'] as JsonLine[];
    expect(rested).toEqual(expect.objectContaining({ state: 'paused', name: 'big file.bin' }));
    expect(rested?.['doneBytes']).toBeGreaterThan(0);
    await carol.run.done('resume_download', 'pdfs', 'big file.bin');
    await carol.run.notice('download-ended');
    expect(await sha256(destination)).toBe(digest);

    await carol.run.done('download_file', 'pdfs', 'big file.bin', carol.home.file('second.bin'));
    await carol.run.done('cancel_download', 'pdfs', 'big file.bin');
    expect(readdirSync(carol.home.path).filter((name) => name.startsWith('second'))).toEqual([]);
    expect((await carol.run.quit()).exitCode).toBe(0);
  });
});
