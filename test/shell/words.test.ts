import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { continueWord, quoteWord, scanLine, splitWords } from '../../src/main/shell/words.ts';

const texts = (line: string) => splitWords(line).map((word) => word.text);

describe('a line is cut into words as a shell cuts it', () => {
  test.each([
    ['list_files pdfs', ['list_files', 'pdfs']],
    ['  a \t b  ', ['a', 'b']],
    [`upload_file "my file.pdf" 'other group'`, ['upload_file', 'my file.pdf', 'other group']],
    [String.raw`a\ b c`, ['a b', 'c']],
    [String.raw`"say \"hi\" \n \\."`, [String.raw`say "hi" \n \.`]],
    [String.raw`'no \ escapes'`, [String.raw`no \ escapes`]],
    [`pre"mid dle"post`, ['premid dlepost']],
    [`a '' ""`, ['a', '', '']],
    ['a#b #c', ['a#b', '#c']],
    ['', []],
    ['   ', []],
    ['  # a comment with an open " quote', []],
  ])('%j', (line, words) => expect(texts(line)).toEqual(words));

  test.each([
    [`login swas "123`, 'a quote " is opened and never closed'],
    [`login swas 'it`, "a quote ' is opened and never closed"],
    ['list_files pdfs\\', 'the line ends in a backslash'],
  ])('%j is refused', (line, message) => {
    expect(() => splitWords(line)).toThrow(expect.objectContaining({ code: 'bad-request', message }));
  });

  test('only a bare ~ at its beginning marks a home directory', () => {
    expect(splitWords(`~/a '~/b' \\~/c x~`).map((word) => word.bareStart)).toEqual([true, false, false, true]);
  });
});

describe('a line that is still being typed', () => {
  test('tells the open quote and whether a new word begins', () => {
    expect(scanLine('download_file "my f')).toMatchObject({ open: '"', atGap: false });
    expect(scanLine('list_files ')).toMatchObject({ open: undefined, atGap: true });
    expect(scanLine('list_files a\\')).toMatchObject({ open: '\\', atGap: false });
  });
});

describe('a spelled word reads as that word', () => {
  const name = fc.string({ unit: 'grapheme' }).filter((text) => text !== '');
  test('quoted', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(texts(`x ${quoteWord(text)}`)).toEqual(['x', text]);
      }),
    );
  });
  test('as the completion of a word in any quote', () => {
    fc.assert(
      fc.property(name, fc.constantFrom('"' as const, "'" as const, undefined), (text, open) => {
        expect(texts(`x ${continueWord(text, open, true)}`)).toEqual(['x', text]);
      }),
    );
  });
  test('plain words stay plain', () => expect(quoteWord('libc-2.0_x.pdf')).toBe('libc-2.0_x.pdf'));
});
