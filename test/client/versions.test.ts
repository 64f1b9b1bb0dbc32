/** Never fetch what the disk has; new versions under an old name; files that rot or change under us, and their repair. */

import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  closeSync,
  openSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Client, Notice } from '../../src/main/index.ts';
import { KIB, MIB } from '../../src/protocol/limits.ts';
import { Library } from '../support/library.ts';

const PIECE = 16 * KIB;
let library: Library;
beforeEach(async () => {
  library = await Library.start();
});
afterEach(() => library.dispose());

const fetchedBytes = (status: { peers: readonly { bytes: number }[] }) =>
  status.peers.reduce((sum, peer) => sum + peer.bytes, 0);

/** Overwrites a few bytes in the middle of each of these pieces. */
function damage(path: string, pieces: readonly number[]): void {
  const fd = openSync(path, 'r+');
  for (const piece of pieces) writeSync(fd, randomBytes(8), 0, 8, piece * PIECE + 1000);
  closeSync(fd);
}

async function download(client: Client, name: string, to: string) {
  return (await client.downloadFile('g', name, library.file('bob', to))).done;
}

describe('what the disk has', () => {
  it('is copied, not fetched: from another file, wherever in it the pieces lie', async () => {
    const [alice, bob] = await library.two();
    const bytes = randomBytes(4 * MIB);
    const first = library.file('alice', 'first.bin');
    writeFileSync(first, bytes);
    await alice.uploadFile(first, 'g');
    await download(bob, 'first.bin', 'first.bin');
    const second = library.file('alice', 'second.bin');
    // The second half first, something new, then the first half.
    writeFileSync(second, Buffer.concat([bytes.subarray(2 * MIB), randomBytes(3 * PIECE), bytes.subarray(0, 2 * MIB)]));
    await alice.uploadFile(second, 'g');
    const status = await download(bob, 'second.bin', 'second.bin');
    expect(Buffer.compare(readFileSync(library.file('bob', 'second.bin')), readFileSync(second))).toBe(0);
    expect(status.copiedBytes).toBe(4 * MIB);
    // Three new pieces, and the upper levels of the tree.
    expect(fetchedBytes(status)).toBeLessThan(3 * PIECE + 32 * KIB);
  });

  it('is checked on the way: a source that has changed gives nothing wrong', async () => {
    const [alice, bob] = await library.two();
    const file = library.file('alice', 'a.bin');
    writeFileSync(file, randomBytes(MIB));
    await alice.uploadFile(file, 'g');
    await download(bob, 'a.bin', 'a.bin');
    damage(library.file('bob', 'a.bin'), [3, 9]);
    const status = await download(bob, 'a.bin', 'again.bin');
    expect(Buffer.compare(readFileSync(library.file('bob', 'again.bin')), readFileSync(file))).toBe(0);
    expect(status.copiedBytes).toBe(MIB - 2 * PIECE);
  });

  it('is found for a file of a single piece', async () => {
    const [alice, bob] = await library.two();
    const file = library.file('alice', 'a.txt');
    writeFileSync(file, 'one small piece');
    await alice.uploadFile(file, 'g');
    await download(bob, 'a.txt', 'a.txt');
    await alice.close();
    const status = await download(bob, 'a.txt', 'b.txt');
    expect(status).toMatchObject({ state: 'done', copiedBytes: 15 });
  });
});

describe('a new version', () => {
  it('takes the place of the old one, and only what changed is fetched', async () => {
    const [alice, bob] = await library.two();
    const file = library.file('alice', 'a.bin');
    const bytes = randomBytes(4 * MIB);
    writeFileSync(file, bytes);
    await alice.uploadFile(file, 'g');
    await download(bob, 'a.bin', 'old.bin');
    damage(file, [5, 77]);
    await expect(alice.uploadFile(file, 'g')).rejects.toMatchObject({ code: 'name-taken' });
    const told = new Promise<Notice>((resolve) =>
      bob.onNotice((n) => n.type === 'file-shared' && n.isNewVersion && resolve(n)),
    );
    await alice.uploadFile(file, 'g', { replace: true });
    expect(await told).toMatchObject({ name: 'a.bin' });
    expect((await bob.listFiles('g')).map(({ name }) => name)).toEqual(['a.bin']);
    const status = await download(bob, 'a.bin', 'new.bin');
    expect(Buffer.compare(readFileSync(library.file('bob', 'new.bin')), readFileSync(file))).toBe(0);
    expect(Buffer.compare(readFileSync(library.file('bob', 'old.bin')), bytes)).toBe(0);
    expect(status.copiedBytes).toBe(4 * MIB - 2 * PIECE);
  });

  it('is only for who shared the file and for the owner of the group', async () => {
    const [alice, bob] = await library.two();
    const file = library.file('bob', 'a.bin');
    writeFileSync(file, 'bob has this');
    const mine = library.file('alice', 'a.bin');
    writeFileSync(mine, 'and alice that');
    await alice.uploadFile(mine, 'g');
    await expect(bob.uploadFile(file, 'g', { replace: true })).rejects.toMatchObject({ code: 'not-the-owner' });
  });

  it('is what a running download of the old one goes on with, keeping what has not changed', async () => {
    const [alice, bob] = await library.two();
    const file = library.file('alice', 'a.bin');
    writeFileSync(file, randomBytes(4 * MIB));
    await alice.uploadFile(file, 'g');
    // Half of it comes, then the only seeder goes.
    await bob.close();
    const slow = await library.client('bob', { downloadLimit: 2 * MIB });
    const old = await slow.downloadFile('g', 'a.bin', library.file('bob', 'a.bin'));
    await new Promise<void>((resolve) => old.onProgress(({ doneBytes }) => doneBytes > MIB && resolve()));
    const abandoned = expect(old.done).rejects.toThrow(/new version/);
    damage(file, [255]);
    await alice.uploadFile(file, 'g', { replace: true });
    await abandoned;
    const current = slow.downloads().at(-1);
    const status = await current?.done;
    expect(Buffer.compare(readFileSync(library.file('bob', 'a.bin')), readFileSync(file))).toBe(0);
    expect(status?.copiedBytes).toBeGreaterThan(MIB);
    expect(slow.downloads().length).toBe(1);
  });
});

describe('check_file', () => {
  it('finds what is right, what has rotted, and mends it from the group', async () => {
    const [alice, bob] = await library.two();
    const file = library.file('alice', 'a.bin');
    writeFileSync(file, randomBytes(2 * MIB));
    await alice.uploadFile(file, 'g');
    await download(bob, 'a.bin', 'a.bin');
    const copy = library.file('bob', 'a.bin');
    const steps: number[] = [];
    const onProgress = ({ doneBytes }: { doneBytes: number }) => steps.push(doneBytes);
    expect(await bob.checkFile('g', 'a.bin', { onProgress })).toMatchObject({ badPieces: 0, pieceCount: 128 });
    expect(steps.at(-1)).toBe(2 * MIB);
    damage(copy, [0, 64, 127]);
    expect(await bob.checkFile('g', 'a.bin')).toMatchObject({ badPieces: 3, repair: undefined });
    const { repair } = await bob.checkFile('g', 'a.bin', { repair: true });
    const status = await repair?.done;
    expect(Buffer.compare(readFileSync(copy), readFileSync(file))).toBe(0);
    expect(status && fetchedBytes(status)).toBe(3 * PIECE);
    expect(await bob.checkFile('g', 'a.bin')).toMatchObject({ badPieces: 0 });
    // What is mended is served again.
    await alice.close();
    const [carol] = [await library.client('carol')];
    await carol.createUser('carol', 'x');
    await carol.login('carol', 'x');
    await carol.joinGroup('g');
    const again = await library.client('alice');
    await again.acceptRequest('g', 'carol');
    await again.close();
    const served = await carol.downloadFile('g', 'a.bin', library.file('carol', 'a.bin'));
    expect((await served.done).peers.map(({ userName }) => userName)).toEqual(['bob']);
  });

  it('pauses and goes on like any download', async () => {
    const [alice, bob] = await library.two();
    const file = library.file('alice', 'a.bin');
    writeFileSync(file, randomBytes(MIB));
    await alice.uploadFile(file, 'g');
    await download(bob, 'a.bin', 'a.bin');
    await alice.close();
    const copy = library.file('bob', 'a.bin');
    damage(copy, [1, 2]);
    const { repair } = await bob.checkFile('g', 'a.bin', { repair: true });
    await bob.pauseDownload('g', 'a.bin');
    await bob.resumeDownload('g', 'a.bin');
    await library.client('alice');
    expect(await repair?.done).toMatchObject({ state: 'done' });
    expect(Buffer.compare(readFileSync(copy), readFileSync(file))).toBe(0);
  });

  it('mends a file that was cut off, and leaves one that has grown alone', async () => {
    const [alice, bob] = await library.two();
    const file = library.file('alice', 'a.bin');
    writeFileSync(file, randomBytes(MIB));
    await alice.uploadFile(file, 'g');
    await download(bob, 'a.bin', 'a.bin');
    const copy = library.file('bob', 'a.bin');
    writeFileSync(copy, readFileSync(copy).subarray(0, 300_000));
    const { repair } = await bob.checkFile('g', 'a.bin', { repair: true });
    await repair?.done;
    expect(Buffer.compare(readFileSync(copy), readFileSync(file))).toBe(0);
    appendFileSync(copy, 'more');
    await expect(bob.checkFile('g', 'a.bin', { repair: true })).rejects.toMatchObject({ code: 'file-changed' });
    expect(statSync(copy).size).toBe(MIB + 4);
    await expect(bob.checkFile('g', 'nothing')).rejects.toMatchObject({ code: 'not-shared' });
  });

  it('notices rot when a piece is asked for, and says so', async () => {
    const [alice, bob] = await library.two();
    const file = library.file('alice', 'a.bin');
    writeFileSync(file, randomBytes(MIB));
    const asBefore = () => utimesSync(file, 1_000_000, 1_000_000);
    asBefore();
    await alice.uploadFile(file, 'g');
    damage(file, [10]);
    asBefore();
    const broken = new Promise<Notice>((resolve) => alice.onNotice((n) => n.type === 'share-broken' && resolve(n)));
    const asked = await bob.downloadFile('g', 'a.bin', library.file('bob', 'a.bin'));
    expect(await broken).toMatchObject({ reason: expect.stringContaining('piece 10') });
    expect(asked.status().state).not.toBe('done');
  });
});
