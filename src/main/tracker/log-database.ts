/**
 * What the SQLite files that hold a log have in common (log-store.ts, log-copy.ts): how they are opened and their format is
 * checked, the count of starts, a row as an entry, and what is said when SQLite refuses.
 */
import Database from 'better-sqlite3';
import { RequestError } from '../../protocol/errors.ts';
import type { StoredEntry } from './stored-entry.ts';

export interface EntryRow {
  readonly origin: string;
  readonly seq: number;
  readonly hlc_ms: number;
  readonly hlc_counter: number;
  readonly request_id: string;
  readonly body: Uint8Array;
  readonly signature: Uint8Array;
}

export const storedEntry = (row: EntryRow): StoredEntry => ({
  origin: row.origin,
  seq: row.seq,
  hlc: { ms: row.hlc_ms, counter: row.hlc_counter },
  requestId: row.request_id,
  signed: { body: row.body, signature: row.signature },
});

const STARTS =
  'CREATE TABLE IF NOT EXISTS starts (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL) STRICT';

export function opened(path: string): Database.Database {
  try {
    return new Database(path, { timeout: 0 });
  } catch (error) {
    throw storeError(error, path);
  }
}

/** Makes the tables that are not there. Throws RequestError when the file is in another format. */
export function configure(
  db: Database.Database,
  { schema, format, synchronous }: { schema: string; format: number; synchronous: 'FULL' | 'NORMAL' },
): void {
  db.pragma('journal_mode = WAL');
  db.pragma(`synchronous = ${synchronous}`);
  db.pragma('trusted_schema = OFF');
  db.pragma('cell_size_check = ON');
  const found = db.pragma('user_version', { simple: true });
  if (found !== 0 && found !== format) {
    throw new RequestError('disk-error', `${db.name} is in format ${found}, of another version of this program`);
  }
  db.exec(schema);
  db.exec(STARTS);
  db.pragma(`user_version = ${format}`);
}

/** Counts the starts, from 1: a new number at each call. */
export function nextEpoch(db: Database.Database): number {
  const row = db
    .prepare<[], { epoch: number }>(
      'INSERT INTO starts VALUES (1, 1) ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch',
    )
    .get();
  return row?.epoch ?? 1;
}

export function guarded<T>(db: Database.Database, task: () => T): T {
  try {
    return task();
  } catch (error) {
    throw storeError(error, db.name);
  }
}

export function storeError(error: unknown, path: string): RequestError {
  if (error instanceof RequestError) return error;
  const { code = '', message } = error as { code?: string; message: string };
  if (code === 'SQLITE_FULL') {
    return new RequestError('disk-full', `the disk of ${path} is full`, 'make room, then start the tracker again');
  }
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') {
    return new RequestError('log-damaged', `the log ${path} is damaged: ${message}`, 'restore it from a copy');
  }
  return new RequestError('disk-error', `the log ${path} can't be used: ${message}`);
}
