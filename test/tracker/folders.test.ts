/** Files and folders of a group share one namespace: compared with a naive look at all names. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Folders } from '../../src/main/tracker/folders.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import { root, Town } from '../support/registry.ts';

const segment = fc.constantFrom('a', 'b', 'ab');
const fileName = fc.array(segment, { minLength: 1, maxLength: 4 }).map((segments) => segments.join('/'));
const shareName = fc.oneof(
  fileName,
  fileName.map((name) => `${name}/`),
);

/** Every folder that some name lies in. */
const naiveFolders = (names: readonly string[]) =>
  new Set(names.flatMap((name) => [...name.matchAll(/\//g)].map(({ index }) => name.slice(0, index))));

describe('the folders of a group', () => {
  test('are those that names lie in, whatever is added and deleted', () => {
    fc.assert(
      fc.property(fc.array(shareName), fc.array(fc.nat()), (names, gone) => {
        const folders = new Folders();
        const left = [...names];
        for (const name of names) folders.add(name);
        for (const number of gone) {
          const [name] = left.length > 0 ? left.splice(number % left.length, 1) : [];
          if (name !== undefined) folders.delete(name);
        }
        const expected = naiveFolders(left);
        for (const folder of naiveFolders([...names, 'a/', 'b/', 'ab/'])) {
          expect(folders.has(folder)).toBe(expected.has(folder));
        }
      }),
    );
  });

  test('never hold a name that is a file and a folder', () => {
    fc.assert(
      fc.property(fc.array(shareName, { maxLength: 30 }), (names) => {
        const folders = new Folders();
        const taken = new Set<string>();
        for (const name of names) {
          const wouldClash = [...taken].some(
            (other) => name.startsWith(`${other}/`) || (!name.endsWith('/') && other.startsWith(`${name}/`)),
          );
          expect(folders.clash(name, (file) => taken.has(file)) !== undefined).toBe(wouldClash);
          if (wouldClash || taken.has(name)) continue;
          taken.add(name);
          folders.add(name);
        }
        for (const name of taken) expect(naiveFolders([...taken]).has(name)).toBe(false);
      }),
    );
  });
});

describe('a tracker', () => {
  const town = new Town();
  const [swas] = town.users('swas') as [never];
  town.group('pdfs', swas);
  const file = { sizeBytes: 9, pieceSizeBytes: 16_384, root: root(7) };
  const add = (name: string, sizeBytes = 9) =>
    town.ask(swas, { method: 'add_file', params: { group: 'pdfs', ...file, name, sizeBytes } });
  const refused = (name: string, sizeBytes?: number) => {
    try {
      add(name, sizeBytes);
    } catch (error) {
      if (error instanceof RequestError) return `${error.code} | ${error.message}`;
      throw error;
    }
    return 'taken';
  };
  add('photos/2020/a.jpg');
  add('photos/empty/', 0);
  add('notes');

  test.each([
    ['photos', 'name-taken | "pdfs" has a folder named "photos": a file can\'t have the same name'],
    ['photos/2020', 'name-taken | "pdfs" has a folder named "photos/2020": a file can\'t have the same name'],
    ['photos/empty', 'name-taken | "pdfs" has a folder named "photos/empty": a file can\'t have the same name'],
    ['notes/x', 'name-taken | "pdfs" has a file named "notes": "notes/x" can\'t lie in a folder of that name'],
    ['photos/2020/a.jpg/b', expect.stringContaining('has a file named "photos/2020/a.jpg"')],
    [
      'music/',
      'bad-name | "music/" can\'t be the name of a file: it ends in "/", as only the name of an empty folder does',
    ],
  ])('refuses %s, saying which is a file and which a folder', (name, sentence) => {
    expect(refused(name)).toEqual(sentence);
  });

  test.each(['notes/', 'photos/2020/a.jpg/'])('refuses the empty folder %s where a file has the name', (name) => {
    expect(refused(name, 0)).toMatch(/^name-taken \| "pdfs" has a file named/);
  });

  test('takes an empty folder, also where a folder is, and more files beside', () => {
    expect(add('photos/2020/', 0)).toBeDefined();
    expect(add('photos/2020/b.jpg')).toBeDefined();
    expect(add('photo')).toBeDefined();
  });
});
