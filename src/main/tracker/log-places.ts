/**
 * The two places that a log can be moved from and to: a tracker's data directory, and an etcd. Each says what it holds, and
 * takes what it lacks.
 */
import { RequestError } from '../../protocol/errors.ts';
import { type TrackerId, toHex } from '../../protocol/ids.ts';
import { ENTRIES_AT_ONCE_MAX } from '../../protocol/limits.ts';
import { keyId, type Signed } from '../../protocol/signed.ts';
import type { LogEntry } from '../../protocol/transaction.ts';
import { loadIdentity } from '../net/identity.ts';
import type { Clock } from '../support/clock.ts';
import { type DataDir, openDataDir } from '../support/data-dir.ts';
import { KnownTrackers } from './known-trackers.ts';
import { LOG_COPY_FILE, LogCopy } from './log-copy.ts';
import type { LogSource, LogTarget } from './log-move.ts';
import { SqliteLogStore } from './log-store.ts';
import { LogUnreachable, type SharedHead, type SharedLog } from './shared-log.ts';
import type { StoredEntry } from './stored-entry.ts';

const WAIT_MS_MAX = 10_000;
const RETRY_MS = 200;
/** What etcd takes in one transaction, with room to spare. */
const APPENDED_AT_ONCE = 100;

const sameSigned = (one: Signed, other: Signed) =>
  Buffer.compare(one.body, other.body) === 0 && Buffer.compare(one.signature, other.signature) === 0;

const anotherLog = (where: string, why: string) =>
  new RequestError(
    'other-log',
    `${where} holds another log: ${why}`,
    'nothing was changed; import into an empty data directory, or under another prefix',
  );

/** A data directory, held while it is worked on. */
export class DirectoryPlace implements LogTarget {
  /** The pin of the tracker whose directory it is. */
  readonly id: TrackerId;
  readonly #dir: DataDir;
  readonly #known: KnownTrackers;
  readonly #store: SqliteLogStore;
  readonly #copy: LogCopy | undefined;
  /** What the log that is moved here has. */
  readonly #moved = new Map<TrackerId, number>();

  private constructor(id: TrackerId, dir: DataDir, known: KnownTrackers) {
    this.id = id;
    this.#dir = dir;
    this.#known = known;
    this.#store = new SqliteLogStore(dir.path);
    this.#copy = dir.has(LOG_COPY_FILE) ? new LogCopy(dir.path) : undefined;
  }

  /** Throws RequestError('data-dir-in-use' | 'disk-error' | 'log-damaged'). */
  static async open(path: string): Promise<DirectoryPlace> {
    const dir = openDataDir(path);
    try {
      const identity = await loadIdentity(dir.path);
      const known = new KnownTrackers(dir.path, identity, { host: '', port: 0 }, []);
      return new DirectoryPlace(identity.id, dir, known);
    } catch (error) {
      dir.close();
      throw error;
    }
  }

  /** Its tracker keeps the log in etcd, and has a copy of it here. */
  get isCopy(): boolean {
    return this.#copy !== undefined;
  }

  get source(): LogSource {
    const entries = this.#copy?.entries() ?? this.#store.entries();
    return { keys: this.#known.introduction().keys, pages: pagesOf(entries) };
  }

  async begin(keys: readonly Uint8Array[]): Promise<void> {
    this.#known.believe(keys);
  }

  /** What other trackers wrote may be missing in between. */
  async missing(page: readonly LogEntry[]): Promise<readonly LogEntry[]> {
    return page.filter(({ transaction, signed }) => {
      const { origin, seq } = transaction;
      this.#moved.set(origin, seq);
      const [there] = this.#store.after(origin, seq - 1, 1);
      if (there?.seq !== seq) return true;
      if (sameSigned(there.signed, signed)) return false;
      throw anotherLog(this.#dir.path, `entry ${seq} of tracker ${origin} is not the same`);
    });
  }

  async end(): Promise<void> {
    for (const stored of [this.#store.entries(), this.#copy?.entries() ?? []]) this.#requireMoved(stored);
  }

  async append(entries: readonly LogEntry[]): Promise<void> {
    await Promise.all(entries.map((entry) => this.#store.append(entry)));
  }

  /** The log is here now: what was a copy is none any more. */
  keepHere(): void {
    this.#copy?.close();
    this.#dir.removeDatabase(LOG_COPY_FILE);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.#store.close();
    this.#copy?.close();
    this.#known.close();
    this.#dir.close();
  }

  #requireMoved(entries: Iterable<StoredEntry>): void {
    for (const { origin, seq } of entries) {
      if (seq <= (this.#moved.get(origin as TrackerId) ?? 0)) continue;
      throw anotherLog(this.#dir.path, `it has entry ${seq} of tracker ${origin}, which the file does not have`);
    }
  }
}

function* pagesOf(entries: Iterable<StoredEntry>): Generator<readonly Signed[], void, undefined> {
  let page: Signed[] = [];
  for (const { signed } of entries) {
    page.push(signed);
    if (page.length < ENTRIES_AT_ONCE_MAX) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}

/** A log in etcd, while trackers may be writing to it. */
export class EtcdPlace implements LogTarget {
  readonly #log: SharedLog;
  readonly #clock: Clock;
  /** The last entry of the log that is moved, as far as it was compared or appended. */
  #head: SharedHead = { position: 0, hash: '' };
  #ahead: readonly Signed[] = [];

  constructor(log: SharedLog, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  async source(): Promise<LogSource> {
    const records = await this.#ask(() => this.#log.trackers());
    return { keys: records.map(({ spki }) => spki), pages: this.#pages() };
  }

  async begin(keys: readonly Uint8Array[]): Promise<void> {
    const known = new Set((await this.#ask(() => this.#log.trackers())).map(({ spki }) => keyId(spki)));
    for (const spki of keys) {
      if (!known.has(keyId(spki))) await this.#ask(() => this.#log.announce({ spki, address: undefined }));
    }
    this.#head = { position: 0, hash: '' };
    this.#ahead = [];
  }

  async missing(page: readonly LogEntry[]): Promise<readonly LogEntry[]> {
    for (const [index, { signed, hash }] of page.entries()) {
      const { position } = this.#head;
      if (this.#ahead.length === 0) this.#ahead = (await this.#ask(() => this.#log.read(position))).entries;
      const [there, ...rest] = this.#ahead;
      if (!there) return page.slice(index);
      if (!sameSigned(there, signed)) throw anotherLog(this.#log.where, `entry ${position + 1} is not the same`);
      this.#ahead = rest;
      this.#head = { position: position + 1, hash: toHex(hash) };
    }
    return [];
  }

  /** More may be there: then this was moved before, and trackers went on. */
  async end(): Promise<void> {}

  async append(entries: readonly LogEntry[]): Promise<void> {
    for (let rest = entries; rest.length > 0; ) {
      const next = rest.slice(0, APPENDED_AT_ONCE);
      const appended = await this.#ask(() => this.#log.append(this.#head, next));
      if (appended.type === 'refused') throw appended.error;
      if (appended.type === 'moved') {
        // Ours, when an answer was lost; else of somebody who writes there now.
        this.#ahead = appended.tail.entries;
        const missing = await this.missing(rest);
        if (missing.length === rest.length) throw anotherLog(this.#log.where, 'its head has moved meanwhile');
        rest = missing;
        continue;
      }
      const last = next.at(-1);
      this.#head = { position: this.#head.position + next.length, hash: last ? toHex(last.hash) : '' };
      rest = rest.slice(next.length);
    }
  }

  close(): Promise<void> {
    return this.#log.close();
  }

  async *#pages(): AsyncGenerator<readonly Signed[], void, undefined> {
    for (let at = 0; ; ) {
      const { head, entries } = await this.#ask(() => this.#log.read(at));
      if (entries.length === 0 && at < head.position) {
        throw new RequestError('log-damaged', `entry ${at + 1} of the log is missing in ${this.#log.where}`);
      }
      if (entries.length === 0) return;
      yield entries;
      at += entries.length;
    }
  }

  async #ask<T>(question: () => Promise<T>): Promise<T> {
    const startedMs = this.#clock.monotonicMs();
    for (;;) {
      try {
        return await question();
      } catch (error) {
        if (!(error instanceof LogUnreachable)) throw error;
        if (this.#clock.monotonicMs() - startedMs > WAIT_MS_MAX) {
          throw new RequestError(
            'log-unreachable',
            `no majority answers of ${this.#log.where} (${error.message})`,
            'start etcd first; doing this again goes on where it ended',
          );
        }
        await new Promise<void>((resolve) => void this.#clock.after(RETRY_MS, resolve));
      }
    }
  }
}
