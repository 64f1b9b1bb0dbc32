/**
 * Names that people give: users, groups, files. Names from others are data, never paths: they are checked here where
 * they are accepted and again where they are used. Each check returns why a name is refused, or undefined.
 */
import {
  FILE_PATH_BYTES_MAX,
  FILE_SEGMENT_BYTES_MAX,
  GROUP_NAME_BYTES_MAX,
  PASSWORD_BYTES_MAX,
  USER_NAME_BYTES_MAX,
} from './limits.ts';

const CONTROL = /\p{Cc}/u;
/**
 * Characters that reorder or hide text: bidi controls, zero-width spaces, line separators, the byte order mark. The two
 * joiners (U+200C, U+200D) stay: Persian words and many emoji are spelled with them.
 */
const INVISIBLE = /[\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\u061c\u00ad]/u;
/** Names that Windows gives to devices, with any extension, and with spaces before it. */
const DEVICE_NAME = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)( *\..*)?$/iu;

const byteLength = (text: string) => Buffer.byteLength(text, 'utf8');

const tooLong = (bytesMax: number) => `it is longer than ${bytesMax} bytes`;

function textRefusal(text: string, bytesMax: number): string | undefined {
  if (text.length === 0) return 'it is empty';
  if (byteLength(text) > bytesMax) return tooLong(bytesMax);
  if (!text.isWellFormed()) return 'it is not valid Unicode';
  if (CONTROL.test(text)) return 'it has control characters';
  if (INVISIBLE.test(text)) return 'it has invisible or direction-changing characters';
  if (text !== text.normalize('NFC')) return 'it is not in Unicode normal form C';
  return undefined;
}

/** User and group names: printable, one line, no `/`, and no `~`, which marks the later of two clashing names. */
function labelRefusal(text: string, bytesMax: number): string | undefined {
  const refusal = textRefusal(text, bytesMax);
  if (refusal) return refusal;
  if (text !== text.trim()) return 'it begins or ends with a space';
  if (/[/\\~]/.test(text)) return 'it has one of / \\ ~';
  if (/[\u200c\u200d]/u.test(text)) return 'it has invisible or direction-changing characters';
  return undefined;
}

export const userNameRefusal = (name: string) => labelRefusal(name, USER_NAME_BYTES_MAX);
export const groupNameRefusal = (name: string) => labelRefusal(name, GROUP_NAME_BYTES_MAX);

export function passwordRefusal(password: string): string | undefined {
  if (password.length === 0) return 'it is empty';
  if (byteLength(password) > PASSWORD_BYTES_MAX) return `it is longer than ${PASSWORD_BYTES_MAX} bytes`;
  return undefined;
}

/** One segment of a file's name: what a directory may hold on every common system. */
export function fileSegmentRefusal(segment: string): string | undefined {
  const refusal = textRefusal(segment, FILE_SEGMENT_BYTES_MAX);
  if (refusal) return refusal;
  if (segment === '.' || segment === '..') return `"${segment}" is not a name`;
  if (/[/\\]/.test(segment)) return 'it has a path separator';
  if (DEVICE_NAME.test(segment)) return 'it is a reserved device name';
  if (/[. ]$/.test(segment)) return 'it ends with a dot or a space';
  return undefined;
}

/** The relative name of a share: segments joined by `/`. */
export function fileNameRefusal(name: string): string | undefined {
  if (byteLength(name) > FILE_PATH_BYTES_MAX) return tooLong(FILE_PATH_BYTES_MAX);
  for (const segment of name.split('/')) {
    const refusal = fileSegmentRefusal(segment);
    if (refusal) return refusal;
  }
  return undefined;
}

/**
 * The name of a share: a file's, or an empty folder's, which ends in `/` and has no bytes. A folder that holds anything
 * needs no share of its own.
 */
export function shareNameRefusal(name: string, sizeBytes: number): string | undefined {
  if (!isFolderName(name)) return fileNameRefusal(name);
  if (sizeBytes !== 0) return 'it ends in "/", as only the name of an empty folder does';
  return byteLength(name) > FILE_PATH_BYTES_MAX ? tooLong(FILE_PATH_BYTES_MAX) : fileNameRefusal(name.slice(0, -1));
}

export const isFolderName = (name: string) => name.endsWith('/');

/** The folders that a share's name stands in, outermost first: `a` and `a/b` for `a/b/c`, and for the folder `a/b/` too. */
export function* foldersOf(name: string): Generator<string, void, undefined> {
  for (let at = name.indexOf('/'); at !== -1; at = name.indexOf('/', at + 1)) yield name.slice(0, at);
}

/** A name made safe to print on a terminal, for messages about names that were refused. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u061c\u00ad]/gu, '\ufffd');
}
