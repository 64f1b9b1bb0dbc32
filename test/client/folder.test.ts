/** Folders, with clients in this process: what is shared of a directory, and what arrives of it. */
import { once } from 'node:events';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Client, SharedFolder, ShareProgress } from '../../src/main/index.ts';
import { KIB } from '../../src/protocol/limits.ts';
import { Library } from '../support/library.ts';
import { writeRandomFile } from '../support/network.ts';

let library: Library;
beforeEach(async () => {
  library = await Library.start();
});
afterEach(() => library.dispose());

async function two(): Promise<[Client, Client]> {
  const [alice, bob] = await library.members(['alice', 'bob']);
  if (!alice || !bob) throw new Error('two members');
  return [alice, bob];
}

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
    const [alice, bob] = await two();
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
    const [alice, bob] = await two();
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
    const [alice] = await two();
    const docs = library.file('alice', 'docs');
    makeTree(docs, { a: 10, b: 20 });
    await upload(alice, docs);
    makeTree(docs, { b: 30, c: 40, 'd/': 0 });
    const again = await upload(alice, docs);
    expect(again).toMatchObject({ fileCount: 2, emptyFolderCount: 1, createdCount: 2 });
    expect(again.skipped).toEqual([{ path: join(docs, 'b'), reason: '"g" has another file named "docs/b"' }]);
  });

  it('shares a directory that holds nothing', async () => {
    const [alice] = await two();
    mkdirSync(library.file('alice', 'void'));
    expect(await upload(alice, library.file('alice', 'void'))).toMatchObject({ fileCount: 0, emptyFolderCount: 1 });
    expect(await listed(alice)).toEqual([['void/', 0]]);
  });

  it('is refused where a file has its name, where nothing can be shared, and outside a group', async () => {
    const [alice] = await two();
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
    const [alice, bob] = await two();
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
