/**
 * Owns the log on disk: signed entries of every tracker, in the order in which all of them are executed, found again by
 * origin and seq. There is no index of request ids: being random, each entry would dirty a page of it, and cost more than
 * all else about a commit; the registry knows where the entry of a request stands.
 *
 * `append` and `write` resolve when the entry is committed and synced. What is given in one turn of the event loop, or
 * while the thread that writes (log-thread.ts) has enough to do, goes to disk in one transaction, so that a thousand at
 * once cost one fsync. Batches are committed in order. After a failed commit nothing is taken any more: what is on disk
 * then is not known before it is read again. What entries mean, and whether they are genuine, is not asked here.
 */
import type { KeyObject } from 'node:crypto';
import { join } from 'node:path';
import type Database from 'better-sqlite3';
import type { RequestError } from '../../protocol/errors.ts';
import type { TrackerId } from '../../protocol/ids.ts';
import type { LogEntry, OpenEntry } from '../../protocol/transaction.ts';
import type { LogRow } from '../../workers/log-jobs.ts';
import { configure, type EntryRow, guarded, nextEpoch, opened, storedEntry, storeError } from './log-database.ts';
import { LogThread } from './log-thread.ts';
import type { StoredEntry } from './stored-entry.ts';

export const LOG_FILE = 'log.sqlite';

export interface LogStore {
  /** Counts the starts, from 1: a new number each time the store is opened. */
  readonly epoch: number;
  /** Everything that is committed, in the order of execution. */
  entries(): Iterable<StoredEntry>;
  /** The committed entries of one tracker after a seq, at most so many. */
  after(origin: TrackerId, seq: number, limit: number): readonly StoredEntry[];
  /** Resolves when the entry, and every one appended before it, is safe. Takes the place of one that was damaged. */
  append(entry: LogEntry): Promise<void>;
  /** The same for an entry of ours, which is chained and signed on its way. */
  write(entry: OpenEntry, seal: Seal): Promise<void>;
  /** Commits what was appended, then closes. */
  close(): Promise<void>;
}

/** What an entry of ours still needs. */
export interface Seal {
  readonly privateKey: KeyObject;
  /** The hash of the entry before it; undefined when that is one that was given to `write`. */
  readonly prevHash: Uint8Array | undefined;
}

interface Batch {
  readonly rows: LogRow[];
  readonly bodies: Uint8Array[];
  readonly done: PromiseWithResolvers<void>;
}

type Place = Pick<EntryRow, 'hlc_ms' | 'hlc_counter' | 'origin' | 'seq'>;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS entries (
    origin TEXT NOT NULL,
    seq INTEGER NOT NULL,
    hlc_ms INTEGER NOT NULL,
    hlc_counter INTEGER NOT NULL,
    request_id TEXT NOT NULL,
    body BLOB NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (origin, seq)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS in_order ON entries (hlc_ms, hlc_counter, origin, seq);
`;
const COLUMNS = 'origin, seq, hlc_ms, hlc_counter, request_id, body, signature';
const READ_AT_ONCE = 1000;
const FORMAT = 3;
/** With the next batch at hand the thread need not wait for this one to make up another. */
const COMMITS_UNDER_WAY_MAX = 2;

export class SqliteLogStore implements LogStore {
  readonly epoch: number;
  readonly #db: Database.Database;
  readonly #after: Database.Statement<[string, number, number], EntryRow>;
  readonly #thread: LogThread;
  #batch: Batch | undefined;
  #underWay = 0;
  #flushQueued = false;
  #last: Promise<void> = Promise.resolve();
  #failure: RequestError | undefined;
  #commitCount = 0;
  #closing: Promise<void> | undefined;

  /** Opens `log.sqlite` in a directory, made when it is not there. Throws RequestError('log-damaged' | 'disk-error'). */
  constructor(directory: string) {
    const path = join(directory, LOG_FILE);
    this.#db = opened(path);
    try {
      // A commit is on the disk, not in the kernel's memory, before it is acknowledged.
      configure(this.#db, { schema: SCHEMA, format: FORMAT, synchronous: 'FULL' });
      this.epoch = nextEpoch(this.#db);
      this.#after = this.#db.prepare<[string, number, number], EntryRow>(
        `SELECT ${COLUMNS} FROM entries WHERE origin = ? AND seq > ? ORDER BY seq LIMIT ?`,
      );
      this.#thread = new LogThread(path);
    } catch (error) {
      this.#db.close();
      throw storeError(error, path);
    }
  }

  *entries(): Generator<StoredEntry, void, undefined> {
    const read = this.#db.prepare<[number, number, string, number, number], EntryRow>(
      `SELECT ${COLUMNS} FROM entries WHERE (hlc_ms, hlc_counter, origin, seq) > (?, ?, ?, ?)
       ORDER BY hlc_ms, hlc_counter, origin, seq LIMIT ?`,
    );
    let last: Place | undefined = {
      hlc_ms: Number.MIN_SAFE_INTEGER,
      hlc_counter: 0,
      origin: '',
      seq: 0,
    };
    while (last) {
      const { hlc_ms, hlc_counter, origin, seq }: Place = last;
      const rows: EntryRow[] = guarded(this.#db, () => read.all(hlc_ms, hlc_counter, origin, seq, READ_AT_ONCE));
      for (const row of rows) yield storedEntry(row);
      last = rows.at(-1);
    }
  }

  after(origin: TrackerId, seq: number, limit: number): readonly StoredEntry[] {
    return guarded(this.#db, () => this.#after.all(origin, seq, limit)).map(storedEntry);
  }

  /** Commits since it was opened. */
  get commitCount(): number {
    return this.#commitCount;
  }

  /** How SQLite was told to keep what it commits, as it says itself. */
  durability(): Promise<{ journalMode: unknown; synchronous: unknown }> {
    return this.#thread.pragmas();
  }

  append({ transaction, signed }: LogEntry): Promise<void> {
    return this.#take(transaction, signed.body, signed.signature, undefined);
  }

  write({ transaction, body }: OpenEntry, { privateKey, prevHash }: Seal): Promise<void> {
    this.#thread.useKey(privateKey);
    return this.#take(transaction, body, undefined, prevHash);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      if (this.#batch || this.#underWay > 0) await this.#last;
    } finally {
      await this.#thread.close();
      this.#db.close();
    }
  }

  #take(
    { origin, seq, hlc, requestId }: OpenEntry['transaction'],
    body: Uint8Array,
    signature: Uint8Array | undefined,
    prevHash: Uint8Array | undefined,
  ): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    if (!this.#batch) {
      this.#batch = { rows: [], bodies: [], done: Promise.withResolvers() };
      this.#last = this.#batch.done.promise;
      // A failure is told to those who wait; that nobody does is no fault.
      this.#last.catch(() => {});
      this.#queueFlush();
    }
    const { ms: hlcMs, counter: hlcCounter } = hlc;
    const bodyBytes = body.length;
    this.#batch.rows.push({ origin, seq, hlcMs, hlcCounter, requestId, bodyBytes, signature, prevHash });
    this.#batch.bodies.push(body);
    return this.#batch.done.promise;
  }

  #queueFlush(): void {
    if (this.#flushQueued || !this.#batch || this.#underWay === COMMITS_UNDER_WAY_MAX) return;
    this.#flushQueued = true;
    setImmediate(() => {
      this.#flushQueued = false;
      void this.#flush();
    });
  }

  async #flush(): Promise<void> {
    const batch = this.#batch;
    if (!batch) return;
    this.#batch = undefined;
    this.#underWay += 1;
    try {
      await this.#thread.commit(batch.rows, joined(batch.bodies));
      this.#commitCount += 1;
      batch.done.resolve();
    } catch (error) {
      this.#failure ??= storeError(error, this.#db.name);
      batch.done.reject(this.#failure);
    }
    this.#underWay -= 1;
    this.#queueFlush();
  }
}

/** In memory of its own, which can be handed to another thread. */
function joined(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((bytes, part) => bytes + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
