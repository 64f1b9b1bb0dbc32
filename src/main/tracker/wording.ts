/** PURE. Names inside sentences: safe on a terminal, of bounded length, and inside hints quoted as the shell reads them. */
import { printable } from '../../protocol/names.ts';

const SHOWN_CHARACTERS_MAX = 100;

/** A name inside a sentence. */
export function shown(name: string): string {
  const safe = printable(name);
  return safe.length > SHOWN_CHARACTERS_MAX ? `${safe.slice(0, SHOWN_CHARACTERS_MAX).toWellFormed()}...` : safe;
}

/** A name as an argument of a command inside a hint. */
export function argument(name: string): string {
  const safe = shown(name);
  return /^[\w.@%+,/:-]+$/u.test(safe) ? safe : `"${safe.replace(/["\\]/g, '\\$&')}"`;
}
