/**
 * Owns the log on disk: signed entries in the order of their seq, found again by request id.
 *
 * `append` resolves when the entry is committed and synced. Appends of one turn of the event loop go to disk in one
 * transaction, so that a thousand at once cost one fsync. After a failed commit nothing is appended any more: what is
 * on disk then is not known before it is read again. What entries mean, and whether they are genuine, is not asked
 * here. The interface is narrow and asynchronous so that a store beyond this machine can stand behind it.
 */
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { RequestError } from '../../protocol/errors.ts';
import type { RequestId } from '../../protocol/ids.ts';
import type { Signed } from '../../protocol/signed.ts';
import type { LogEntry } from '../../protocol/transaction.ts';

export interface StoredEntry {
  readonly seq: number;
  readonly requestId: string;
  readonly signed: Signed;
}

export interface LogStore {
  /** Counts the starts, from 1: a new number each time the store is opened. */
  readonly epoch: number;
  /** Everything that is committed, in order. */
  entries(): AsyncIterable<StoredEntry>;
  /** Resolves when the entry, and every one appended before it, is safe. */
  append(entry: LogEntry): Promise<void>;
  find(requestId: RequestId): Promise<StoredEntry | undefined>;
  /** Commits what was appended, then closes. */
  close(): Promise<void>;
}

interface Row {
  readonly seq: number;
  readonly request_id: string;
  readonly body: Uint8Array;
  readonly signature: Uint8Array;
}

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY,
    request_id TEXT NOT NULL UNIQUE,
    body BLOB NOT NULL,
    signature BLOB NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS starts (one INTEGER PRIMARY KEY CHECK (one = 1), epoch INTEGER NOT NULL) STRICT;
`;
const COLUMNS = 'seq, request_id, body, signature';
const READ_AT_ONCE = 1000;
const FORMAT = 1;

const storedEntry = (row: Row): StoredEntry => ({
  seq: row.seq,
  requestId: row.request_id,
  signed: { body: row.body, signature: row.signature },
});

export class SqliteLogStore implements LogStore {
  readonly epoch: number;
  readonly #db: Database.Database;
  readonly #find: Database.Statement<[string], Row>;
  readonly #commit: (entries: readonly LogEntry[]) => void;
  #batch: { entries: LogEntry[]; done: Promise<void> } | undefined;
  #failure: RequestError | undefined;
  #commitCount = 0;

  /** Opens `log.sqlite` in a directory, made when it is not there. Throws RequestError('log-damaged' | 'disk-error'). */
  constructor(directory: string) {
    const path = join(directory, 'log.sqlite');
    this.#db = opened(path);
    try {
      this.#configure();
      this.epoch = this.#nextEpoch();
      this.#find = this.#db.prepare<[string], Row>(`SELECT ${COLUMNS} FROM entries WHERE request_id = ?`);
      const insert = this.#db.prepare(`INSERT INTO entries (${COLUMNS}) VALUES (?, ?, ?, ?)`);
      this.#commit = this.#db.transaction((entries: readonly LogEntry[]) => {
        for (const { transaction, signed } of entries) {
          insert.run(transaction.seq, transaction.requestId, signed.body, signed.signature);
        }
      }).immediate;
    } catch (error) {
      this.#db.close();
      throw storeError(error, path);
    }
  }

  async *entries(): AsyncGenerator<StoredEntry, void, undefined> {
    const read = this.#db.prepare<[number, number], Row>(
      `SELECT ${COLUMNS} FROM entries WHERE seq > ? ORDER BY seq LIMIT ?`,
    );
    let last = Number.MIN_SAFE_INTEGER;
    for (;;) {
      const rows = this.#guarded(() => read.all(last, READ_AT_ONCE));
      for (const row of rows) yield storedEntry(row);
      const end = rows.at(-1);
      if (!end) return;
      last = end.seq;
    }
  }

  /** Commits since it was opened. */
  get commitCount(): number {
    return this.#commitCount;
  }

  /** How SQLite was told to keep what it commits, as it says itself. */
  durability(): { journalMode: unknown; synchronous: unknown } {
    const told = (pragma: string) => this.#db.pragma(pragma, { simple: true });
    return { journalMode: told('journal_mode'), synchronous: told('synchronous') };
  }

  append(entry: LogEntry): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (this.#batch) {
      this.#batch.entries.push(entry);
      return this.#batch.done;
    }
    const entries = [entry];
    const done = new Promise<void>((resolve, reject) => {
      setImmediate(() => {
        this.#batch = undefined;
        if (this.#failure) {
          reject(this.#failure);
          return;
        }
        try {
          this.#commit(entries);
          this.#commitCount += 1;
          resolve();
        } catch (error) {
          this.#failure = storeError(error, this.#db.name);
          reject(this.#failure);
        }
      });
    });
    this.#batch = { entries, done };
    return done;
  }

  async find(requestId: RequestId): Promise<StoredEntry | undefined> {
    const row = this.#guarded(() => this.#find.get(requestId));
    return row && storedEntry(row);
  }

  async close(): Promise<void> {
    try {
      await this.#batch?.done;
    } finally {
      this.#db.close();
    }
  }

  #configure(): void {
    const db = this.#db;
    db.pragma('journal_mode = WAL');
    // A commit is on the disk, not in the kernel's memory, before it is acknowledged.
    db.pragma('synchronous = FULL');
    db.pragma('foreign_keys = ON');
    db.pragma('trusted_schema = OFF');
    db.pragma('cell_size_check = ON');
    db.pragma('wal_autocheckpoint = 1000');
    const format = db.pragma('user_version', { simple: true });
    if (format !== 0 && format !== FORMAT) {
      throw new RequestError('disk-error', `${db.name} is in format ${format}, of another version of this program`);
    }
    db.exec(SCHEMA);
    db.pragma(`user_version = ${FORMAT}`);
  }

  #nextEpoch(): number {
    const row = this.#db
      .prepare<[], { epoch: number }>(
        'INSERT INTO starts VALUES (1, 1) ON CONFLICT DO UPDATE SET epoch = epoch + 1 RETURNING epoch',
      )
      .get();
    return row?.epoch ?? 1;
  }

  #guarded<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw storeError(error, this.#db.name);
    }
  }
}

function opened(path: string): Database.Database {
  try {
    return new Database(path, { timeout: 0 });
  } catch (error) {
    throw storeError(error, path);
  }
}

function storeError(error: unknown, path: string): RequestError {
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
