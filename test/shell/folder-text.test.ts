/** How a listing folds: a line for each folder, the files beside them, and the same one level further in. */
import { expect, test } from 'vitest';
import { filesListed } from '../../src/main/shell/folder-text.ts';
import type { FileListing } from '../../src/protocol/messages.ts';
import { fileId, root } from '../support/registry.ts';

const listing = (sizes: Readonly<Record<string, number>>): FileListing[] =>
  Object.entries(sizes).map(([name, sizeBytes], at) => {
    const facts = { file: fileId(at), sizeBytes, pieceSizeBytes: 16_384, root: root(at) };
    return { ...facts, name, sharedBy: 'alice', seedersOnline: 1 };
  });

const FILES = { 'notes.txt': 10, 'p/': 0, 'p/a/1': 1024, 'p/a/2': 1024, 'p/b': 5, 'p/empty/': 0 };

test('a group is listed with one line for each folder', () => {
  const { text, data } = filesListed('g', undefined, listing(FILES));
  expect(text.split('\n')).toEqual([
    expect.stringMatching(/^FILE +SIZE +SHARED BY +SEEDERS ONLINE$/),
    expect.stringMatching(/^p\/ +2\.0 KiB +3 files$/),
    expect.stringMatching(/^notes\.txt +10 B +alice +1$/),
  ]);
  expect(data).toMatchObject({
    folders: [{ name: 'p/', fileCount: 3, sizeBytes: 2053 }],
    files: [{ name: 'notes.txt' }],
  });
});

test('a folder is listed with what lies right in it, under its full name', () => {
  const inside = listing(FILES).filter(({ name }) => name.startsWith('p/'));
  for (const folder of ['p', 'p/']) {
    expect(filesListed('g', folder, inside).data).toMatchObject({
      folder: 'p/',
      folders: [
        { name: 'p/a/', fileCount: 2, sizeBytes: 2048 },
        { name: 'p/empty/', fileCount: 0, sizeBytes: 0 },
      ],
      files: [{ name: 'p/b', sizeBytes: 5 }],
    });
  }
  expect(filesListed('g', 'q', []).text).toBe('Nothing in q/ of g. See what there is: list_files g');
});
