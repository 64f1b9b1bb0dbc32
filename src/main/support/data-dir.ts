/**
 * A program's data directory: for its owner alone (mode 0700), and held by one process at a time. The hold is an exclusive SQLite
 * lock on a file in it, which the system drops when the process ends in whatever way.
 */
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { RequestError } from '../../protocol/errors.ts';

/** Where a program keeps its data unless told otherwise; `name` tells programs on one machine apart. */
export function defaultDataDir(name: string): string {
  const base = process.env['XDG_DATA_HOME'] ?? join(homedir(), '.local', 'share');
  return join(base, 'p2p-file-share', name);
}

export interface DataDir {
  readonly path: string;
  has(file: string): boolean;
  /** A database of this name, with what belongs to it, if it is there. */
  removeDatabase(file: string): void;
  close(): void;
}

/** Throws RequestError('data-dir-in-use' | 'disk-error'). */
export function openDataDir(path: string): DataDir {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chmodSync(path, 0o700);
    writeFileSync(join(path, 'in-use'), '', { flag: 'a', mode: 0o600 });
  } catch (error) {
    throw new RequestError('disk-error', `can't use ${path}: ${(error as Error).message}`, 'choose another --data-dir');
  }
  const lockPath = join(path, 'in-use');
  const lock = new Database(lockPath, { timeout: 0 });
  try {
    lock.pragma('journal_mode = MEMORY');
    lock.pragma('locking_mode = EXCLUSIVE');
    lock.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    lock.close();
    if ((error as { code?: string }).code !== 'SQLITE_BUSY') throw error;
    throw new RequestError(
      'data-dir-in-use',
      `another process is using ${path}`,
      'quit it first, or give this one a directory of its own with --data-dir',
    );
  }
  let open = true;
  return {
    path,
    has: (file) => existsSync(join(path, file)),
    removeDatabase(file) {
      for (const suffix of ['', '-wal', '-shm']) rmSync(join(path, file + suffix), { force: true });
    },
    close() {
      if (!open) return;
      open = false;
      lock.close();
      rmSync(lockPath, { force: true });
    },
  };
}
