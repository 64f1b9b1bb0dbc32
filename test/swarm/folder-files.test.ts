/** What a tracker says of a folder is data: hostile listings are refused, and no name leads outside the destination. */
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { checkFolder, relativeName, turnsOf } from '../../src/main/swarm/folder-files.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import type { FileRecord } from '../../src/protocol/messages.ts';
import { fileId, root } from '../support/registry.ts';

let lastId = 0;
function record(name: string, sizeBytes = 5, pieceSizeBytes = 16_384): FileRecord {
  lastId += 1;
  return { file: fileId(lastId), name, sizeBytes, pieceSizeBytes, root: root(1) };
}

describe('a listing of a folder', () => {
  test('gives its files, and the folders in it, parents first', () => {
    const listing = [record('p/b/c/d'), record('p/a'), record('p/b/x'), record('p/e/f/', 0), record('p/', 0)];
    const { files, folders } = checkFolder('p', listing);
    expect(files.map(({ name }) => name)).toEqual(['p/b/c/d', 'p/a', 'p/b/x']);
    expect(folders).toEqual(['b', 'b/c', 'e', 'e/f']);
  });

  test.each([
    [['p/../x']],
    [['p/a/../../x']],
    [['/etc/passwd']],
    [['p//a']],
    [['p/./a']],
    [['p/a\\b']],
    [['p/a\0b']],
    [['q/a']],
    [['pa']],
    [['p']],
    [['p/a', 'p/a/b']],
    [['p/a/b', 'p/a']],
    [['p/a', 'p/a']],
    [['p/nul']],
  ])('is refused for %j', (names) => {
    expect(() =>
      checkFolder(
        'p',
        names.map((name) => record(name)),
      ),
    ).toThrow(RequestError);
  });

  test('is refused for an empty folder with bytes, and for sizes that no file can have', () => {
    expect(() => checkFolder('p', [record('p/a/', 1)])).toThrow(/empty folder/);
    expect(() => checkFolder('p', [record('p/a', 2 ** 52)])).toThrow(RequestError);
    expect(() => checkFolder('p', [record('p/a', 5, 3)])).toThrow(RequestError);
  });

  test('leads nowhere outside the destination, whatever it says', () => {
    const name = fc.array(fc.constantFrom('..', '.', '', 'a', 'b c', '/', '\\'), { maxLength: 5 });
    fc.assert(
      fc.property(fc.array(name.map((parts) => record(`p/${parts.join('/')}`))), (listing) => {
        try {
          const { files, folders } = checkFolder('p', listing);
          for (const one of [...folders, ...files.map((file) => relativeName('p', file.name))]) {
            expect(resolve('/base', one)).toBe(join('/base', one));
            expect(resolve('/base', one).startsWith('/base/')).toBe(true);
          }
        } catch (error) {
          expect(error).toBeInstanceOf(RequestError);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('fetches a file only after the one whose .part has its name', () => {
    const files = ['p/x', 'p/x.part', 'p/x.part.part', 'p/y.part'].map((name) => record(name));
    expect(files.map(turnsOf(files))).toEqual([0, 1, 2, 0]);
  });
});
