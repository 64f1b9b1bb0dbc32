/**
 * Owns a tracker's copy of a log that is kept elsewhere (etcd-log.sqlite): what makes a start quick, and finds an
 * entry. It may lack the end and can be made again at any time, so it is not synced. An entry's position is its place
 * in the order of execution, from 1.
 */
import { join } from 'node:path';
import type Database from 'better-sqlite3';
import type { TrackerId } from '../../protocol/ids.ts';
import type { LogEntry } from '../../protocol/transaction.ts';
import { configure, type EntryRow, guarded, nextEpoch, opened, storedEntry, storeError } from './log-database.ts';
import type { StoredEntry } from './stored-entry.ts';

export const LOG_COPY_FILE = 'etcd-log.sqlite';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS entries (
    position INTEGER PRIMARY KEY,
    origin TEXT NOT NULL,
    seq INTEGER NOT NULL,
    hlc_ms INTEGER NOT NULL,
    hlc_counter INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    body BLOB NOT NULL,
    signature BLOB NOT NULL,
    UNIQUE (origin, seq)
  ) STRICT;
`;
const COLUMNS = 'position, origin, seq, hlc_ms, hlc_counter, request_id, body, signature';
const READ_AT_ONCE = 1000;
const FORMAT = 1;

interface Row extends EntryRow {
  readonly position: number;
}

export class LogCopy {
  /** Counts the starts, from 1. */
  readonly epoch: number;
  readonly #db: Database.Database;
  readonly #at: Database.Statement<[string, number], Row>;
  readonly #append: (first: number, entries: readonly LogEntry[]) => void;

  /** Opens the copy in a directory, made when it is not there. Throws RequestError('log-damaged' | 'disk-error'). */
  constructor(directory: string) {
    const path = join(directory, LOG_COPY_FILE);
    this.#db = opened(path);
    try {
      configure(this.#db, { schema: SCHEMA, format: FORMAT, synchronous: 'NORMAL' });
      this.epoch = nextEpoch(this.#db);
      this.#at = this.#db.prepare<[string, number], Row>(`SELECT ${COLUMNS} FROM entries WHERE origin = ? AND seq = ?`);
      const insert = this.#db.prepare(`INSERT INTO entries (${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`);
      this.#append = this.#db.transaction((first: number, entries: readonly LogEntry[]) => {
        for (const [index, { transaction, signed }] of entries.entries()) {
          const { origin, seq, hlc, requestId } = transaction;
          insert.run(first + index, origin, seq, hlc.ms, hlc.counter, requestId, signed.body, signed.signature);
        }
      }).immediate;
    } catch (error) {
      this.#db.close();
      throw storeError(error, path);
    }
  }

  append(first: number, entries: readonly LogEntry[]): void {
    guarded(this.#db, () => this.#append(first, entries));
  }

  /** From a position on, in order. */
  *entries(from = 1): Generator<StoredEntry, void, undefined> {
    const read = this.#db.prepare<[number, number], Row>(
      `SELECT ${COLUMNS} FROM entries WHERE position >= ? ORDER BY position LIMIT ?`,
    );
    for (let next = from; ; ) {
      const rows = guarded(this.#db, () => read.all(next, READ_AT_ONCE));
      for (const row of rows) yield storedEntry(row);
      const last = rows.at(-1);
      if (!last) return;
      next = last.position + 1;
    }
  }

  /** The entry of a tracker with this number. */
  at(origin: TrackerId, seq: number): StoredEntry | undefined {
    const row = guarded(this.#db, () => this.#at.get(origin, seq));
    return row && storedEntry(row);
  }

  /** There is nothing in it any more. */
  clear(): void {
    guarded(this.#db, () => this.#db.exec('DELETE FROM entries'));
  }

  close(): void {
    this.#db.close();
  }
}
