/** Reads small files that flags name. Every failure names the file. */
import { readFileSync } from 'node:fs';
import { RequestError } from '../../protocol/errors.ts';

/** `what` is what it should hold. Throws RequestError('file-missing' | 'unreadable'). */
export function readNamedFile(path: string, what: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new RequestError('file-missing', `there is no file ${path} with ${what}`);
    throw new RequestError('unreadable', `${path}, which should hold ${what}, can't be read: ${message}`);
  }
}
