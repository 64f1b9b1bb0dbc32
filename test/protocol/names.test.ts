/** Names: lists of what is taken and what is refused, and properties that hold for any text. */
import { basename, resolve, sep } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  fileNameRefusal,
  fileSegmentRefusal,
  foldersOf,
  groupNameRefusal,
  passwordRefusal,
  printable,
  shareNameRefusal,
  userNameRefusal,
} from '../../src/protocol/names.ts';

const shown = (text: string) =>
  JSON.stringify(text).replace(/[^\x20-\x7e]/g, (c) => `\\u${c.charCodeAt(0).toString(16)}`);
const cases = (texts: readonly string[]) => texts.map((text): [string, string] => [shown(text.slice(0, 40)), text]);

const REFUSED_EVERYWHERE = [
  '',
  'a\0b',
  'a\nb',
  'a\tb',
  'a\x1b[31mb',
  'a\x7fb',
  'a\u0085b',
  'gnp.\u202eexe',
  'a\u202ab',
  'a\u2066b\u2069',
  'a\u200fb',
  'a\u200bb',
  'a\ufeff',
  'a\u061cb',
  'a\u00adb',
  'a\u2028b',
  'a\u2029b',
  'a\ud800b',
  '\udc00',
  'e\u0301',
  'A\u030a',
  'a\\b',
];

describe('a file name', () => {
  test.each(
    cases([
      'libc.pdf',
      'my file (2).txt',
      '.hidden',
      '...a',
      'a..b',
      'folder/sub folder/file',
      'naïve café.txt',
      '日本語.txt',
      '😀.png',
      'con1',
      'console.log',
      'company.txt',
      'lpt',
      'com10.txt',
      'x.con',
      '~tilde',
      'می\u200cخواهم.txt',
      '👩\u200d🔬.png',
      '-rf',
      '$HOME',
      'a'.repeat(255),
      `${'a'.repeat(255)}/${'b'.repeat(255)}`,
    ]),
  )('%s is taken', (_, name) => {
    expect(fileNameRefusal(name)).toBeUndefined();
  });

  test.each(
    cases([
      ...REFUSED_EVERYWHERE,
      '.',
      '..',
      '../x',
      'a/../b',
      'a/..',
      './a',
      'a/./b',
      '/etc/passwd',
      'a/',
      'a//b',
      '/',
      '..\\x',
      'C:\\x',
      'con',
      'CON',
      'Con.txt',
      'nul',
      'nul.tar.gz',
      'nul .txt',
      'aux.c',
      'prn',
      'com1',
      'COM9.log',
      'com¹',
      'lpt3',
      'CONIN$',
      'folder/nul',
      'nul/file',
      'trailing.',
      'trailing ',
      'folder /x',
      'folder./x',
      'a'.repeat(256),
      'é'.repeat(128),
      Array.from({ length: 5 }, () => 'a'.repeat(250)).join('/'),
    ]),
  )('%s is refused', (_, name) => {
    expect(fileNameRefusal(name)).toMatch(/^(it|".*") /);
  });

  test('that is taken stays inside the directory it is joined to', () => {
    const text = fc.string({ unit: fc.constantFrom('.', '/', '\\', 'a', ' ', ':', '\0', '~'), maxLength: 12 });
    let taken = 0;
    fc.assert(
      fc.property(fc.oneof(text, fc.string({ unit: 'binary' })), (name) => {
        if (fileNameRefusal(name) !== undefined) return;
        taken += 1;
        const path = resolve('/base', name);
        expect(path.startsWith(`/base${sep}`)).toBe(true);
        expect(path).toBe(`/base/${name}`);
      }),
      { numRuns: 5000 },
    );
    expect(taken).toBeGreaterThan(100);
  });

  test('of one segment is taken when the segment is, and is its own base name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (name) => {
        if (fileSegmentRefusal(name) !== undefined) return;
        expect(fileNameRefusal(name)).toBeUndefined();
        expect(basename(name)).toBe(name);
      }),
    );
  });
});

describe('the name of a share', () => {
  test('is that of a file, or of an empty folder, which ends in / and has no bytes', () => {
    for (const name of ['a', 'a/b', 'a b/c.txt']) {
      expect(shareNameRefusal(name, 0)).toBeUndefined();
      expect(shareNameRefusal(name, 5)).toBeUndefined();
      expect(shareNameRefusal(`${name}/`, 0)).toBeUndefined();
      expect(shareNameRefusal(`${name}/`, 5)).toMatch(/empty folder/);
    }
    for (const name of ['/', '//', 'a//', '../', 'a/../', '/a/', 'nul/', `${'a/'.repeat(512)}b/`]) {
      expect(shareNameRefusal(name, 0)).toMatch(/^(it|".*") /);
    }
  });

  test('tells the folders that it stands in', () => {
    expect([...foldersOf('a')]).toEqual([]);
    expect([...foldersOf('a/b/c')]).toEqual(['a', 'a/b']);
    expect([...foldersOf('a/b/')]).toEqual(['a', 'a/b']);
  });
});

describe.each([
  ['user', userNameRefusal],
  ['group', groupNameRefusal],
])('a %s name', (_, refusal) => {
  test.each(cases(['swas', 'pdfs', 'a', 'Ada Lovelace', '名前', 'über.user-1', 'x'.repeat(64), '😀'.repeat(16)]))(
    '%s is taken',
    (_shown, name) => {
      expect(refusal(name)).toBeUndefined();
    },
  );

  test.each(
    cases([
      ...REFUSED_EVERYWHERE,
      ' a',
      'a ',
      '\u00a0a',
      ' ',
      'a/b',
      'a~b',
      'alice~1a2b',
      'x'.repeat(65),
      '😀'.repeat(17),
    ]),
  )('%s is refused', (_shown, name) => {
    expect(refusal(name)).toMatch(/^it /);
  });
});

test('a password is anything but empty or endless', () => {
  for (const password of ['1', ' ', 'with\nnewline', 'ü'.repeat(128)])
    expect(passwordRefusal(password)).toBeUndefined();
  for (const password of ['', 'ü'.repeat(129), 'x'.repeat(257)]) expect(passwordRefusal(password)).toMatch(/^it /);
});

test('printable text holds nothing that a terminal would act on', () => {
  expect(printable('ok \x1b[31m\u202e\n')).toBe('ok \ufffd[31m\ufffd\ufffd');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(printable(text)).not.toMatch(/[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u061c\u00ad]/u);
      expect(printable(printable(text))).toBe(printable(text));
    }),
  );
});
