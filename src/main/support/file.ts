/** Files that flags and commands name: read, or written so that they are whole or not there. Every failure names the file. */
import {
  closeSync,
  createReadStream,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { RequestError } from '../../protocol/errors.ts';
import { MIB } from '../../protocol/limits.ts';

const CHUNK_BYTES = MIB;

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

/** The file's bytes, as they are read. Rejects with RequestError('file-missing' | 'unreadable'). */
export async function* chunksOf(path: string): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* createReadStream(path, { highWaterMark: CHUNK_BYTES });
  } catch (error) {
    if (!(error instanceof Error) || !('syscall' in error)) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new RequestError('file-missing', `there is no file ${path}`);
    throw new RequestError('unreadable', `${path} can't be read: ${message}`);
  }
}

export interface NewFile {
  write(bytes: Uint8Array): void;
  /** It is there, whole, under its name. */
  finish(): void;
  /** Nothing of it stays. */
  abandon(): void;
}

/** A file that comes to be whole or not at all. Throws RequestError('destination-exists' | 'disk-error'). */
export function newFile(path: string): NewFile {
  const part = `${path}.part`;
  const guarded = <T>(task: () => T): T => {
    try {
      return task();
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'EEXIST') throw new RequestError('destination-exists', `${path} is there already`);
      throw new RequestError(code === 'ENOSPC' ? 'disk-full' : 'disk-error', `${path} can't be written: ${message}`);
    }
  };
  if (existsSync(path)) throw new RequestError('destination-exists', `${path} is there already`);
  const descriptor = guarded(() => openSync(part, 'w', 0o600));
  return {
    write: (bytes) => guarded(() => writeFileSync(descriptor, bytes)),
    finish: () =>
      guarded(() => {
        fsyncSync(descriptor);
        // Never in the place of another.
        linkSync(part, path);
        closeSync(descriptor);
        unlinkSync(part);
      }),
    abandon() {
      closeSync(descriptor);
      rmSync(part, { force: true });
    },
  };
}
