/**
 * The thread that writes a tracker's log: it chains and signs the tracker's own entries, and commits batches one after
 * the other. Signing costs more than all else about an entry, and a sync waits for the disk; here neither holds up the
 * thread that judges requests. "Committed" is answered after COMMIT and its sync. When a batch fails, every later one
 * does too: it would leave a gap in the chain.
 */
import type { KeyObject } from 'node:crypto';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import Database from 'better-sqlite3';
import type { Signed } from '../protocol/signed.ts';
import { sealEntry } from '../protocol/transaction.ts';
import type { LogAnswer, LogJob, LogRow, LogWriterStart } from './log-jobs.ts';

const INSERT = `INSERT INTO entries (origin, seq, hlc_ms, hlc_counter, request_id, body, signature)
  VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (origin, seq) DO UPDATE SET
  hlc_ms = excluded.hlc_ms, hlc_counter = excluded.hlc_counter, request_id = excluded.request_id,
  body = excluded.body, signature = excluded.signature`;

class LogWriter {
  readonly #db: Database.Database;
  readonly #commit: (rows: readonly LogRow[], bodies: Uint8Array) => void;
  #privateKey: KeyObject | undefined;
  /** Of the last entry that was signed here. */
  #lastHash: Uint8Array | undefined;
  #failure: LogAnswer | undefined;

  constructor(path: string) {
    this.#db = new Database(path, { fileMustExist: true, timeout: 0 });
    // A commit is on the disk, not in the kernel's memory, before it is acknowledged.
    this.#db.pragma('synchronous = FULL');
    this.#db.pragma('trusted_schema = OFF');
    this.#db.pragma('cell_size_check = ON');
    // A tracker that joins writes entries of several logs by the thousand: pages of the indexes should stay in the cache, and
    // not be copied to the file for each batch anew.
    this.#db.pragma('wal_autocheckpoint = 4000');
    this.#db.pragma('cache_size = -16384');
    const insert = this.#db.prepare(INSERT);
    this.#commit = this.#db.transaction((rows: readonly LogRow[], bodies: Uint8Array) => {
      let at = 0;
      for (const row of rows) {
        const body = bodies.subarray(at, at + row.bodyBytes);
        at += row.bodyBytes;
        const signed = row.signature ? { body, signature: row.signature } : this.#seal(body, row.prevHash);
        const { origin, seq, hlcMs, hlcCounter, requestId } = row;
        insert.run(origin, seq, hlcMs, hlcCounter, requestId, signed.body, signed.signature);
      }
    }).immediate;
  }

  commit(rows: readonly LogRow[], bodies: Uint8Array): LogAnswer {
    if (this.#failure) return this.#failure;
    try {
      this.#commit(rows, bodies);
      return { type: 'committed' };
    } catch (error) {
      const { code = '', message } = error as { code?: string; message: string };
      this.#failure = { type: 'failed', code, message };
      return this.#failure;
    }
  }

  useKey(privateKey: KeyObject): void {
    this.#privateKey = privateKey;
  }

  /** How SQLite was told to keep what it commits, as it says itself. */
  pragmas(): LogAnswer {
    const told = (pragma: string) => this.#db.pragma(pragma, { simple: true });
    return { type: 'pragmas', journalMode: told('journal_mode'), synchronous: told('synchronous') };
  }

  close(): LogAnswer {
    this.#db.close();
    return { type: 'closed' };
  }

  #seal(body: Uint8Array, prevHash = this.#lastHash): Signed {
    if (!this.#privateKey || !prevHash) throw new Error('an entry to be signed, and no key or nothing before it');
    const { signed, hash } = sealEntry(body, prevHash, this.#privateKey);
    this.#lastHash = hash;
    return signed;
  }
}

function serve(port: MessagePort, { path }: LogWriterStart): void {
  const writer = new LogWriter(path);
  const answer = (reply: LogAnswer) => port.postMessage(reply);
  port.on('message', (job: LogJob) => {
    switch (job.type) {
      case 'key':
        writer.useKey(job.privateKey);
        break;
      case 'commit':
        answer(writer.commit(job.rows, job.bodies));
        break;
      case 'pragmas':
        answer(writer.pragmas());
        break;
      case 'close':
        answer(writer.close());
        port.close();
        break;
      default:
        job satisfies never;
    }
  });
}

if (parentPort) serve(parentPort, workerData as LogWriterStart);
