/**
 * How an error ends a program or a command: the exit code for scripts, and for people one sentence with what to do next.
 * Exit codes: 0 done, 1 refused, 2 usage, 3 no tracker or peer reachable, 4 integrity, 5 local disk.
 * Text that came from other machines is made safe for a terminal here.
 */
import { type ErrorKind, RequestError } from '../../protocol/errors.ts';
import { printable } from '../../protocol/names.ts';

export const EXIT_CODES = {
  done: 0,
  refused: 1,
  usage: 2,
  unreachable: 3,
  integrity: 4,
  disk: 5,
} as const satisfies Record<ErrorKind | 'done', number>;

/** System errors that mean "nobody there" and those that mean "the disk won't". */
const UNREACHABLE = /^(ECONN|EHOST|ENET|ETIMEDOUT|EPIPE|ENOTFOUND|EAI_)/;
const DISK = /^(ENOENT|EACCES|EPERM|ENOSPC|EDQUOT|EIO|EROFS|EISDIR|ENOTDIR|EEXIST|EMFILE|ENFILE|SQLITE_)/;

const systemCode = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

export function exitCodeOf(error: unknown): number {
  if (error instanceof RequestError) return EXIT_CODES[error.kind];
  if (error instanceof Error && error.name === 'ConnectionLost') return EXIT_CODES.unreachable;
  const code = systemCode(error);
  if (UNREACHABLE.test(code)) return EXIT_CODES.unreachable;
  if (DISK.test(code)) return EXIT_CODES.disk;
  return EXIT_CODES.refused;
}

/** The sentence, and on a line of its own what to do next where there is something. No line end after the last. */
export function describeError(error: unknown): string {
  if (!(error instanceof Error)) return printable(String(error));
  const sentence = printable(error.message);
  return error instanceof RequestError && error.hint ? `${sentence}\n  hint: ${printable(error.hint)}` : sentence;
}
