/**
 * A command line cut into words as a POSIX shell cuts it: blanks separate, '...' keeps all, "..." keeps all but \" and
 * \\, a backslash keeps the next character. No variables, globs or operators. Also the way back: a name spelled so that
 * it reads as one word, and a line that is still being typed, for completion. Pure.
 */
import { RequestError } from '../../protocol/errors.ts';

export interface Word {
  readonly text: string;
  /** Where it begins in the line, quotes included. */
  readonly start: number;
  /** Its first character stood there bare, so that a leading `~` means the home directory. */
  readonly bareStart: boolean;
}

export type OpenQuote = '"' | "'" | '\\' | undefined;

export interface ScannedLine {
  readonly words: readonly Word[];
  /** The quote that the line ends in, or a backslash with nothing after it. */
  readonly open: OpenQuote;
  /** The line ends outside of any word, so that the next character would begin a new one. */
  readonly atGap: boolean;
}

/** Never throws: a line that ends inside a quote is said to be open. */
export function scanLine(line: string): ScannedLine {
  const words: Word[] = [];
  let word: { text: string; start: number; bareStart: boolean } | undefined;
  let open: OpenQuote;
  const add = (text: string, at: number, bare: boolean) => {
    word ??= { text: '', start: at, bareStart: bare };
    word.text += text;
  };
  for (let at = 0; at < line.length; at += 1) {
    const character = line.charAt(at);
    if (open === "'" || open === '"') {
      const next = line.charAt(at + 1);
      if (character === open) open = undefined;
      else if (open === '"' && character === '\\' && (next === '"' || next === '\\')) {
        add(next, at, false);
        at += 1;
      } else add(character, at, false);
    } else if (character === "'" || character === '"') {
      add('', at, false);
      open = character;
    } else if (character === '\\') {
      add(line.charAt(at + 1), at, false);
      if (at + 1 === line.length) open = '\\';
      at += 1;
    } else if (/\s/.test(character)) {
      if (word) words.push(word);
      word = undefined;
    } else add(character, at, true);
  }
  if (word) words.push(word);
  return { words, open, atGap: word === undefined };
}

/** The words of a whole line; none for an empty line or a comment. Throws RequestError('bad-request'). */
export function splitWords(line: string): readonly Word[] {
  if (/^\s*#/.test(line)) return [];
  const { words, open } = scanLine(line);
  if (open === '\\') {
    throw new RequestError('bad-request', 'the line ends in a backslash', 'write \\\\ for a backslash itself');
  }
  if (open) {
    throw new RequestError(
      'bad-request',
      `a quote ${open} is opened and never closed`,
      `close it, or write \\${open} for the character itself`,
    );
  }
  return words;
}

const SPECIAL = /[\s"'\\]/g;
const needsQuotes = (text: string) => text === '' || /[\s"'\\]/.test(text) || /^[#~]/.test(text);

/** Spells a text so that splitWords reads it as that one word; plain texts stay as they are. */
export function quoteWord(text: string): string {
  if (!needsQuotes(text)) return text;
  return text.includes("'") ? `"${text.replace(/["\\]/g, '\\$&')}"` : `'${text}'`;
}

/** Spells the completion of a word whose quote, if any, is open; `closed` ends the quote. */
export function continueWord(text: string, open: OpenQuote, closed: boolean): string {
  if (open === '"') return `"${text.replace(/["\\]/g, '\\$&')}${closed ? '"' : ''}`;
  if (open === "'" && !text.includes("'")) return `'${text}${closed ? "'" : ''}`;
  const escaped = text.replace(SPECIAL, '\\$&');
  return escaped.startsWith('#') ? `\\${escaped}` : escaped;
}
