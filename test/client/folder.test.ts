/** Folders, with clients in this process: what is shared of a directory, and what arrives of it. */
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Client, SharedFolder, ShareProgress } from '../../src/main/index.ts';
import { KIB } from '../../src/protocol/limits.ts';
import { Library } from '../support/library.ts';
import { writeRandomFile } from '../support/network.ts';

let library: Library;
beforeEach(async () => {
  library = await Library.start();
});
afterEach(() => library.dispose());

/** Files by their names and sizes; a name that ends in `/` is an empty folder. */
function makeTree(root: string, sizes: Readonly<Record<string, number>>): void {
  for (const [name, sizeBytes] of Object.entries(sizes)) {
    const path = join(root, name);
    mkdirSync(name.endsWith('/') ? path : join(path, '..'), { recursive: true });
    if (!name.endsWith('/')) writeRandomFile(path, sizeBytes);
  }
}

const PHOTOS = {
  'a.jpg': 5,
  'empty file': 0,
  'nothing/': 0,
  '2020/b.jpg': 16 * KIB,
  '2020/with spaces/c d.jpg': 40 * KIB,
  '2020/with spaces/nothing/': 0,
  'three pieces of tree.bin': 700 * KIB,
};

async function upload(client: Client, path: string): Promise<SharedFolder> {
  const shared = await client.uploadFile(path, 'g');
  if (!('fileCount' in shared)) throw new Error('a file was shared, not a folder');
  return shared;
}

const listed = async (client: Client) =>
  (await client.listFiles('g')).map(({ name, sizeBytes }) => [name, sizeBytes] as const);

describe('sharing a directory', () => {
  it('shares its tree under its name, empty files and empty folders too', async () => {
    const [alice, bob] = await library.two();
    const photos = library.file('alice', 'photos');
    makeTree(photos, PHOTOS);
    const steps: ShareProgress[] = [];
    const shared = await alice.uploadFile(`${photos}/`, 'g', { onProgress: (step) => steps.push(step) });
    const sizeBytes = Object.values(PHOTOS).reduce((sum, size) => sum + size, 0);
    expect(shared).toMatchObject({ name: 'photos', fileCount: 5, emptyFolderCount: 2, createdCount: 7, sizeBytes });
    expect(shared).toMatchObject({ skipped: [], pieceCount: 1 + 0 + 1 + 3 + 44 });
    expect(Object.fromEntries(await listed(bob))).toEqual(
      Object.fromEntries(Object.entries(PHOTOS).map(([name, size]) => [`photos/${name}`, size])),
    );
    expect(steps.at(-1)).toMatchObject({ doneBytes: sizeBytes, sizeBytes });
    expect(steps.map((step) => step.doneBytes)).toEqual(steps.map((step) => step.doneBytes).toSorted((a, b) => a - b));
  });

  it('names what it leaves out, with the reason, and shares the rest', async () => {
    const [alice, bob] = await library.two();
    const mixed = library.file('alice', 'mixed');
    makeTree(mixed, { 'good.txt': 10, 'sub/good too.txt': 20, nul: 3, 'bad. /inner': 4 });
    symlinkSync('/etc/passwd', join(mixed, 'link'));
    symlinkSync('..', join(mixed, 'sub', 'loop'));
    const socket = createServer().listen(join(mixed, 'socket'));
    await once(socket, 'listening');
    const shared = await upload(alice, mixed).finally(() => socket.close());
    expect(
      Object.fromEntries(shared.skipped.map(({ path, reason }) => [path.slice(mixed.length + 1), reason])),
    ).toEqual({
      link: 'symbolic links are not followed',
      'sub/loop': 'symbolic links are not followed',
      socket: 'it is no regular file',
      nul: "it can't be shared under its name: it is a reserved device name",
      'bad. ': "it can't be shared under its name: it ends with a dot or a space",
    });
    expect(await listed(bob)).toEqual([
      ['mixed/good.txt', 10],
      ['mixed/sub/good too.txt', 20],
    ]);
  });

  it('takes what is new when it is shared again, and names what has changed', async () => {
    const [alice] = await library.two();
    const docs = library.file('alice', 'docs');
    makeTree(docs, { a: 10, b: 20 });
    await upload(alice, docs);
    makeTree(docs, { b: 30, c: 40, 'd/': 0 });
    const again = await upload(alice, docs);
    expect(again).toMatchObject({ fileCount: 2, emptyFolderCount: 1, createdCount: 2 });
    expect(again.skipped).toEqual([{ path: join(docs, 'b'), reason: '"g" has another file named "docs/b"' }]);
  });

  it('shares a directory that holds nothing', async () => {
    const [alice] = await library.two();
    mkdirSync(library.file('alice', 'void'));
    expect(await upload(alice, library.file('alice', 'void'))).toMatchObject({ fileCount: 0, emptyFolderCount: 1 });
    expect(await listed(alice)).toEqual([['void/', 0]]);
  });

  it('is refused where a file has its name, where nothing can be shared, and outside a group', async () => {
    const [alice] = await library.two();
    writeFileSync(library.file('alice', 'photos'), 'a file');
    await alice.uploadFile(library.file('alice', 'photos'), 'g');
    rmSync(library.file('alice', 'photos'));
    makeTree(library.file('alice', 'photos'), { a: 10 });
    const refusal = { code: 'name-taken', message: expect.stringContaining('has a file named "photos"') };
    await expect(alice.uploadFile(library.file('alice', 'photos'), 'g')).rejects.toMatchObject(refusal);
    await expect(alice.uploadFile(library.file('alice', 'photos'), 'none')).rejects.toMatchObject({
      code: 'no-such-group',
    });
  });

  it('serves what it shared, also when its trees were lost', async () => {
    const [alice, bob] = await library.two();
    makeTree(library.file('alice', 'photos'), PHOTOS);
    await upload(alice, library.file('alice', 'photos'));
    rmSync(library.file('alice', 'data/trees'), { recursive: true });
    mkdirSync(library.file('alice', 'data/trees'));
    for (const name of ['three pieces of tree.bin', 'a.jpg']) {
      const download = await bob.downloadFile('g', `photos/${name}`, library.file('bob', name));
      expect((await download.done).state).toBe('done');
    }
  });
});

/** What stands in a directory: digests of files by name, and folders that hold nothing. */
function contentsOf(root: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const name = path.slice(root.length + 1);
    if (entry.isFile()) found[name] = readFileSync(path).toString('base64');
    else if (readdirSync(path).length === 0) found[`${name}/`] = 'empty';
  }
  return found;
}

const file = (client: string, name: string) => library.file(client, name);
const manyFiles = (count: number, sizeBytes: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, number) => [`${number % 7}/file ${number}`, sizeBytes]));

describe('downloading a folder', () => {
  it('brings the whole tree as one download, and makes the downloader a seeder of all of it', async () => {
    const [alice, bob] = await library.two();
    makeTree(file('alice', 'photos'), PHOTOS);
    const { sizeBytes, pieceCount } = await upload(alice, file('alice', 'photos'));
    const download = await bob.downloadFile('g', 'photos', `${file('bob', '')}/`);
    const seen: number[] = [];
    download.onProgress((status) => seen.push(status.doneBytes));
    const status = await download.done;
    expect(status).toMatchObject({ name: 'photos', state: 'done', sizeBytes, doneBytes: sizeBytes, pieceCount });
    expect(status).toMatchObject({ donePieces: pieceCount, files: { count: 5, done: 5 } });
    expect(status.peers).toMatchObject([{ userName: 'alice', badPieces: 0 }]);
    expect(status.peers[0]?.bytes).toBeGreaterThanOrEqual(sizeBytes);
    expect(contentsOf(file('bob', 'photos'))).toEqual(contentsOf(file('alice', 'photos')));
    expect(bob.downloads()).toEqual([download]);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    const [carol] = await library.moreMembers(['carol'], alice);
    await alice.close();
    await (await carol?.downloadFile('g', 'photos/', file('carol', 'pictures')))?.done;
    expect(contentsOf(file('carol', 'pictures'))).toEqual(contentsOf(file('alice', 'photos')));
  });

  it('takes a part of it: a folder inside, or one file', async () => {
    const [alice, bob] = await library.two();
    makeTree(file('alice', 'photos'), PHOTOS);
    await upload(alice, file('alice', 'photos'));
    await (await bob.downloadFile('g', 'photos/2020', file('bob', ''))).done;
    expect(Object.keys(contentsOf(file('bob', '2020'))).sort()).toEqual([
      'b.jpg',
      'with spaces/c d.jpg',
      'with spaces/nothing/',
    ]);
    await (await bob.downloadFile('g', 'photos/2020/with spaces/c d.jpg', file('bob', ''))).done;
    expect(statSync(file('bob', 'c d.jpg')).size).toBe(40 * KIB);
    await (await bob.downloadFile('g', 'photos/nothing', file('bob', 'void'))).done;
    expect(readdirSync(file('bob', 'void'))).toEqual([]);
    await expect(bob.downloadFile('g', 'photo', file('bob', 'x'))).rejects.toMatchObject({ code: 'no-such-file' });
  });

  it('goes nowhere near what stands there already', async () => {
    const [alice, bob] = await library.two();
    makeTree(file('alice', 'photos'), { a: 10 });
    await upload(alice, file('alice', 'photos'));
    makeTree(file('bob', 'photos'), { mine: 5 });
    for (const destination of [file('bob', ''), file('bob', 'no such/place')]) {
      await expect(bob.downloadFile('g', 'photos', destination)).rejects.toMatchObject({ kind: 'disk' });
    }
    expect(Object.keys(contentsOf(file('bob', 'photos')))).toEqual(['mine']);
  });

  it('takes files whose names are those that others have while they are fetched', async () => {
    const [alice, bob] = await library.two();
    makeTree(file('alice', 'odd'), { x: 20 * KIB, 'x.part': 30 * KIB, 'x.part.part': 5 });
    await upload(alice, file('alice', 'odd'));
    await (await bob.downloadFile('g', 'odd', file('bob', ''))).done;
    expect(contentsOf(file('bob', 'odd'))).toEqual(contentsOf(file('alice', 'odd')));
  });

  it('pauses, goes on, and is one download all the while', async () => {
    const [alice, bob] = await library.two();
    makeTree(file('alice', 'many'), manyFiles(120, 40 * KIB));
    await upload(alice, file('alice', 'many'));
    const download = await bob.downloadFile('g', 'many', file('bob', 'many'));
    const [paused] = await bob.pauseDownload('g', 'many');
    expect(paused).toBe(download);
    expect(download.status()).toMatchObject({ state: 'paused', bytesPerSecond: 0 });
    const { doneBytes } = download.status();
    expect(doneBytes).toBeLessThan(120 * 40 * KIB);
    await expect(bob.pauseDownload('g', 'many')).rejects.toMatchObject({ code: 'no-such-download' });
    const [resumed] = await bob.resumeDownload('g', 'many');
    expect(resumed).toBe(download);
    const status = await download.done;
    // What was there before the pause was not fetched again.
    expect(status.peers.reduce((sum, peer) => sum + peer.bytes, 0)).toBeLessThanOrEqual(
      120 * (40 * KIB + 96) - doneBytes + 32 * 96,
    );
    expect(contentsOf(file('bob', 'many'))).toEqual(contentsOf(file('alice', 'many')));
    expect(bob.downloads()).toHaveLength(1);
  });

  it('is given up without a trace, but for what its owner changed', async () => {
    const [alice, bob] = await library.two();
    makeTree(file('alice', 'many'), manyFiles(40, 20 * KIB));
    await upload(alice, file('alice', 'many'));
    const download = await bob.downloadFile('g', 'many', file('bob', 'many'));
    const refused = expect(download.done).rejects.toMatchObject({ code: 'cancelled' });
    await bob.cancelDownload('g', 'many/');
    await refused;
    expect(existsSync(file('bob', 'many'))).toBe(false);
    await expect(bob.resumeDownload('g', 'many')).rejects.toMatchObject({ code: 'no-such-download' });

    const again = await bob.downloadFile('g', 'many', file('bob', 'many'));
    await vi.waitUntil(() => existsSync(file('bob', 'many/0/file 0')), { interval: 1 });
    await bob.pauseDownload('g', 'many');
    writeFileSync(file('bob', 'many/0/file 0'), 'mine now');
    writeFileSync(file('bob', 'many/notes'), 'mine');
    await bob.cancelDownload('g', 'many');
    expect(again.status().state).toBe('cancelled');
    expect(Object.keys(contentsOf(file('bob', 'many'))).sort()).toEqual(['0/file 0', 'notes']);
  });

  it('goes on after a restart where it was, running or paused', async () => {
    const [alice, bob] = await library.two();
    makeTree(file('alice', 'many'), { ...manyFiles(100, 40 * KIB), 'empty/': 0 });
    await upload(alice, file('alice', 'many'));
    await bob.downloadFile('g', 'many', file('bob', 'many'));
    await vi.waitUntil(() => existsSync(file('bob', 'many/0/file 0')), { interval: 1 });
    await bob.close();
    await alice.close();
    let again = await library.client('bob');
    const [running] = again.downloads();
    expect(running?.status()).toMatchObject({ name: 'many', sizeBytes: 100 * 40 * KIB });
    await again.pauseDownload('g', 'many');
    await again.close();
    again = await library.client('bob');
    const [rested] = again.downloads();
    expect(rested?.status().state).toBe('paused');
    expect(rested?.status().doneBytes).toBeGreaterThan(0);
    await library.client('alice');
    const taken = await again.downloadFile('g', 'many', file('bob', 'many'));
    await taken.done;
    expect(contentsOf(file('bob', 'many'))).toEqual(contentsOf(file('alice', 'many')));
    await again.close();
    expect((await library.client('bob')).downloads()).toEqual([]);
  });

  it('fetches again what a crash took of a finished file', async () => {
    const [alice, bob] = await library.two();
    makeTree(file('alice', 'some'), { ...manyFiles(60, 40 * KIB), 'last one': 700 * KIB });
    await upload(alice, file('alice', 'some'));
    await bob.downloadFile('g', 'some', file('bob', 'some'));
    await vi.waitUntil(() => existsSync(file('bob', 'some/0/file 0')), { interval: 1 });
    await bob.close();
    writeFileSync(file('bob', 'some/0/file 0'), Buffer.alloc(40 * KIB));
    const again = await library.client('bob');
    const [download] = again.downloads();
    await download?.done;
    const whole = contentsOf(file('alice', 'some'));
    const came = contentsOf(file('bob', 'some'));
    // Where it was safely on disk already, the change is its owner's, and stays.
    expect({ ...came, '0/file 0': '' }).toEqual({ ...whole, '0/file 0': '' });
    expect(again.downloads()).toEqual([download]);
  });
});
