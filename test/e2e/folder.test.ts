/** Folders with real processes: a few hundred small files shared by one, fetched by another, as people would. */
import { mkdirSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Network, writeRandomFile } from '../support/network.ts';

const FILES = 300;

let network: Network;
beforeEach(async () => {
  network = await Network.start();
});
afterEach(() => network.dispose());

describe('a folder of several hundred files', () => {
  it('arrives whole, is told of once, and is one line in a listing', async () => {
    const [alice, bob] = await network.members(['alice', 'bob']);
    if (!alice || !bob) throw new Error('two members');
    const source = alice.home.file('my photos');
    mkdirSync(`${source}/empty/folder`, { recursive: true });
    for (let number = 0; number < FILES; number += 1) writeRandomFile(`${source}/${number}.jpg`, 100 * number);
    const sizeBytes = (100 * FILES * (FILES - 1)) / 2;
    const shared = await alice.run.done('upload_file', source, 'pdfs');
    expect(shared).toMatchObject({ name: 'my photos', fileCount: FILES, emptyFolderCount: 1, sizeBytes, skipped: [] });
    const news = await bob.run.notice('folder-shared');
    expect(news).toMatchObject({ user: 'alice', name: 'my photos', fileCount: FILES, sizeBytes });
    expect(await bob.run.done('list_files', 'pdfs')).toMatchObject({
      folders: [{ name: 'my photos/', fileCount: FILES, sizeBytes }],
      files: [],
    });
    const inside = await bob.run.done('list_files', 'pdfs', 'my photos');
    expect(inside['files']).toHaveLength(FILES);
    expect(inside['folders']).toEqual([{ name: 'my photos/empty/', fileCount: 0, sizeBytes: 0 }]);
    await bob.run.done('download_file', 'pdfs', 'my photos', `${bob.home.path}/`);
    const end = await bob.run.notice('download-ended');
    expect(end).toMatchObject({ ok: true, doneBytes: sizeBytes, files: { count: FILES, done: FILES } });
    for (let number = 0; number < FILES; number += 1) {
      const [was, is] = [source, bob.home.file('my photos')].map((path) => readFileSync(`${path}/${number}.jpg`));
      expect(is?.equals(was ?? Buffer.of())).toBe(true);
    }
    expect((await bob.run.quit()).exitCode).toBe(0);
  });
});
