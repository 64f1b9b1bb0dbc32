/** The log on disk: what comes back, what is safe when, what damage shows, and what happens when the disk won't. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Identity, newIdentity } from '../../src/main/net/identity.ts';
import { Journal } from '../../src/main/tracker/journal.ts';
import { type LogStore, SqliteLogStore } from '../../src/main/tracker/log-store.ts';
import { LogThread, LogThreadError } from '../../src/main/tracker/log-thread.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import type { Operation } from '../../src/protocol/transaction.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { deviceId, requestId, userId } from '../support/registry.ts';

let directory: string;
let identity: Identity;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'p2pfs-log-'));
  identity = await newIdentity();
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const actor = { device: deviceId(1) };
const newUser = (number: number): Operation => ({
  type: 'user-created',
  user: userId(number),
  name: `user${number}`,
  passwordHash: 'hash',
});
const openJournal = (store: LogStore, clock = new ManualClock()) => Journal.open(store, identity, clock);

/** Writes entries 1 to count, and closes. */
async function writeLog(count: number): Promise<void> {
  const journal = await openJournal(new SqliteLogStore(directory));
  for (let at = 1; at <= count; at += 1) journal.write(newUser(at), actor, requestId(at));
  await journal.close();
}

/** Changes the file behind the tracker's back. */
function tamper(sql: string, ...values: unknown[]): void {
  const db = new Database(join(directory, 'log.sqlite'));
  db.prepare(sql).run(...values);
  db.close();
}

/** Has SQLite refuse every commit, until the returned function is called. */
function inTheWay(): () => void {
  const db = new Database(join(directory, 'log.sqlite'));
  db.exec('BEGIN IMMEDIATE');
  return () => db.close();
}

async function openingFault(): Promise<RequestError> {
  const store = new SqliteLogStore(directory);
  try {
    await openJournal(store);
  } catch (error) {
    if (error instanceof RequestError) return error;
    throw error;
  } finally {
    await store.close();
  }
  throw new Error('the log was accepted');
}

describe('a log', () => {
  test('comes back as it was written, entry by entry, and is found by request id', async () => {
    await writeLog(2500);
    const store = new SqliteLogStore(directory);
    const seqs: number[] = [];
    for (const { seq } of store.entries()) seqs.push(seq);
    expect(seqs).toEqual(Array.from({ length: 2500 }, (_, at) => at + 1));
    const journal = await openJournal(store);
    expect(journal.entryCount).toBe(2500);
    expect(journal.registry.userNamed('user1234')?.id).toBe(userId(1234));
    expect(journal.find(requestId(1234), deviceId(1))).toMatchObject({ seq: 1234, op: newUser(1234) });
    expect(journal.find(requestId(9999), deviceId(1))).toBeUndefined();
    await journal.close();
  });

  test('goes on where it ended, in a new epoch, with stamps that rise though the clock stands still', async () => {
    const clock = new ManualClock();
    const stamps: unknown[] = [];
    for (let start = 1; start <= 3; start += 1) {
      const journal = await openJournal(new SqliteLogStore(directory), clock);
      const { transaction } = journal.write(newUser(start), actor, requestId(start));
      stamps.push([transaction.epoch, transaction.seq, transaction.hlc.ms - clock.nowMs(), transaction.hlc.counter]);
      await journal.close();
    }
    expect(stamps).toEqual([
      [1, 1, 0, 0],
      [2, 2, 0, 1],
      [3, 3, 0, 2],
    ]);
  });

  test('is synced at each commit', async () => {
    // Asked of SQLite itself: a kill -9 cannot tell, since the kernel keeps what was not synced.
    const store = new SqliteLogStore(directory);
    expect(await store.durability()).toMatchObject({ journalMode: 'wal', synchronous: 2 });
    await store.close();
  });
});

describe('appending', () => {
  test('is safe, in the eyes of another reader, when it says so and not before', async () => {
    const journal = await openJournal(new SqliteLogStore(directory));
    const reader = new Database(join(directory, 'log.sqlite'), { readonly: true });
    const count = () => reader.prepare('SELECT count(*) FROM entries').pluck().get();
    for (let at = 1; at <= 100; at += 1) journal.write(newUser(at), actor, requestId(at));
    expect(count()).toBe(0);
    expect(journal.registry.userNamed('user100')).toBeDefined();
    await journal.settled();
    expect(count()).toBe(100);
    expect(journal.settled()).toBeUndefined();
    reader.close();
    await journal.close();
  });

  test('of one turn goes to disk in one commit', async () => {
    const store = new SqliteLogStore(directory);
    const journal = await openJournal(store);
    for (let at = 1; at <= 100; at += 1) journal.write(newUser(at), actor, requestId(at));
    await journal.settled();
    expect(store.commitCount).toBe(1);
    await journal.close();
  });

  test('a failed commit is told to everyone who waits, and nothing is appended after it', async () => {
    const store = new SqliteLogStore(directory);
    const journal = await openJournal(store);
    journal.write(newUser(1), actor, requestId(1));
    await journal.settled();
    journal.write(newUser(2), actor, requestId(2));
    const stop = inTheWay();
    await expect(journal.settled()).rejects.toMatchObject({ code: 'disk-error' });
    stop();
    journal.write(newUser(4), actor, requestId(4));
    await expect(journal.settled()).rejects.toMatchObject({ code: 'disk-error' });
    await journal.close();
    const again = await openJournal(new SqliteLogStore(directory));
    expect(again.entryCount).toBe(1);
    await again.close();
  });
});

describe('batches', () => {
  /** Lets the batch that was made up leave for the thread that writes. */
  const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

  test('are committed in the order in which they were made up, while later ones are made up', async () => {
    const store = new SqliteLogStore(directory);
    const journal = await openJournal(store);
    const safe: number[] = [];
    for (let at = 1; at <= 20; at += 1) {
      journal.write(newUser(at), actor, requestId(at));
      void journal.settled()?.then(() => safe.push(at));
      await turn();
    }
    await journal.close();
    expect(safe).toEqual(Array.from({ length: 20 }, (_, at) => at + 1));
    expect(store.commitCount).toBeGreaterThan(1);
    const again = await openJournal(new SqliteLogStore(directory));
    expect(again.entryCount).toBe(20);
    await again.close();
  });

  test('that were on their way behind one that failed are not kept: the chain has no gap', async () => {
    const journal = await openJournal(new SqliteLogStore(directory));
    journal.write(newUser(1), actor, requestId(1));
    await journal.settled();
    const stop = inTheWay();
    journal.write(newUser(2), actor, requestId(2));
    const failing = journal.settled();
    await turn();
    journal.write(newUser(3), actor, requestId(3));
    const behind = journal.settled();
    expect(behind).not.toBe(failing);
    await expect(behind).rejects.toMatchObject({ code: 'disk-error' });
    await expect(failing).rejects.toMatchObject({ code: 'disk-error' });
    stop();
    await journal.close();
    const again = await openJournal(new SqliteLogStore(directory));
    expect(again.entryCount).toBe(1);
    await again.close();
  });

  test('that come after a failed one are refused by the thread that writes, however right they are', async () => {
    await writeLog(1);
    const thread = new LogThread(join(directory, 'log.sqlite'));
    const row = { origin: identity.id, seq: 9, hlcMs: 1, hlcCounter: 0, requestId: requestId(9), bodyBytes: 1 };
    const sealed = { ...row, signature: new Uint8Array(64), prevHash: undefined };
    // There is no key to sign the first with.
    const failing = thread.commit([{ ...sealed, signature: undefined }], new Uint8Array(1));
    const behind = thread.commit([{ ...sealed, seq: 10 }], new Uint8Array(1));
    for (const end of await Promise.allSettled([failing, behind])) {
      expect(end).toMatchObject({ status: 'rejected', reason: expect.any(LogThreadError) });
    }
    await thread.close();
    const again = await openJournal(new SqliteLogStore(directory));
    expect(again.entryCount).toBe(1);
    await again.close();
  });

  test('are all committed before the log closes', async () => {
    const journal = await openJournal(new SqliteLogStore(directory));
    for (let at = 1; at <= 10; at += 1) {
      journal.write(newUser(at), actor, requestId(at));
      if (at % 3 === 0) await turn();
    }
    await Promise.all([journal.close(), journal.close()]);
    const again = await openJournal(new SqliteLogStore(directory));
    expect(again.entryCount).toBe(10);
    await again.close();
  });

  test('are refused when the thread that writes is gone', async () => {
    const thread = new LogThread(join(directory, 'missing', 'log.sqlite'));
    const commits = [thread.commit([], new Uint8Array()), thread.commit([], new Uint8Array())];
    for (const commit of commits) await expect(commit).rejects.toBeInstanceOf(LogThreadError);
    await expect(thread.commit([], new Uint8Array())).rejects.toBeInstanceOf(LogThreadError);
    await thread.close();
  });
});

describe('a request', () => {
  test('whose id two devices chose is found for each of them; for others, the first is', async () => {
    const journal = await openJournal(new SqliteLogStore(directory));
    for (const at of [1, 2]) journal.write(newUser(at), { device: deviceId(at) }, requestId(1));
    await journal.settled();
    const found = [1, 2, 3].map((at) => journal.find(requestId(1), deviceId(at))?.seq);
    expect(found).toEqual([1, 2, 1]);
    await journal.close();
  });

  test('that was written and is not safe yet is found, as it is afterwards', async () => {
    const journal = await openJournal(new SqliteLogStore(directory));
    const { transaction } = journal.write(newUser(1), actor, requestId(1));
    expect(journal.find(requestId(1), actor.device)).toBe(transaction);
    await journal.settled();
    expect(journal.find(requestId(1), actor.device)).toMatchObject(transaction);
    await journal.close();
  });
});

describe('damage', () => {
  test('any changed byte of any entry is found, and said where', async () => {
    await writeLog(3);
    const rows = new Database(join(directory, 'log.sqlite'));
    const original = rows.prepare<[], { body: Buffer; signature: Buffer }>('SELECT * FROM entries WHERE seq = 2').get();
    rows.close();
    if (!original) throw new Error('no entry 2');
    const spot = fc.record({
      column: fc.constantFrom('body', 'signature'),
      at: fc.nat(original.body.length - 1),
      flip: fc.integer({ min: 1, max: 255 }),
    });
    await fc.assert(
      fc.asyncProperty(spot, async ({ column, at, flip }) => {
        const bytes = Buffer.from(column === 'body' ? original.body : original.signature);
        const place = at % bytes.length;
        bytes[place] = (bytes[place] ?? 0) ^ flip;
        tamper(`UPDATE entries SET ${column} = ? WHERE seq = 2`, bytes);
        const fault = await openingFault();
        expect(fault.code).toBe('log-damaged');
        expect(fault.message).toContain('entry 2');
        tamper('UPDATE entries SET body = ?, signature = ? WHERE seq = 2', original.body, original.signature);
      }),
      { numRuns: 60 },
    );
    await (await openJournal(new SqliteLogStore(directory))).close();
  });

  test('a missing entry is found', async () => {
    await writeLog(3);
    tamper('DELETE FROM entries WHERE seq = 2');
    expect((await openingFault()).message).toContain('entry 3 stands where 2 belongs');
  });

  test('entries in another order are found', async () => {
    await writeLog(3);
    tamper('UPDATE entries SET seq = 9 WHERE seq = 2');
    expect((await openingFault()).code).toBe('log-damaged');
  });

  test('another request id than the one that was signed is found', async () => {
    await writeLog(1);
    tamper('UPDATE entries SET request_id = ?', requestId(77));
    expect((await openingFault()).message).toContain('request id');
  });

  test('the log of another key is not taken for damage of its own', async () => {
    await writeLog(1);
    identity = await newIdentity();
    expect((await openingFault()).message).toContain('another tracker');
  });

  test('a file that is no database is said to be damaged', async () => {
    await writeLog(1);
    writeFileSync(join(directory, 'log.sqlite'), 'x'.repeat(8192));
    expect(() => new SqliteLogStore(directory)).toThrow(RequestError);
  });
});
