/** A log moved between directories and a shared log, by way of a file; and files that are not what was exported. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Identity, loadIdentity, newIdentity } from '../../src/main/net/identity.ts';
import { systemClock } from '../../src/main/support/clock.ts';
import { chunksOf, newFile } from '../../src/main/support/file.ts';
import { Journal } from '../../src/main/tracker/journal.ts';
import { LogFileReader, LogFileWriter } from '../../src/main/tracker/log-file.ts';
import { exportLog, importLog } from '../../src/main/tracker/log-move.ts';
import { DirectoryPlace, EtcdPlace } from '../../src/main/tracker/log-places.ts';
import { SqliteLogStore } from '../../src/main/tracker/log-store.ts';
import { registryDigest } from '../../src/main/tracker/registry-digest.ts';
import { ProtocolViolation } from '../../src/protocol/errors.ts';
import { toHex } from '../../src/protocol/ids.ts';
import type { Operation } from '../../src/protocol/transaction.ts';
import { type Fate, MemoryLog } from '../support/memory-log.ts';
import { deviceId, requestId, userId } from '../support/registry.ts';

const ENTRIES = 600;
let path: string;
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'p2pfs-move-'));
});
afterEach(() => rmSync(path, { recursive: true, force: true }));

const at = (name: string) => join(path, name);
const newUser = (number: number): Operation => ({
  type: 'user-created',
  user: userId(number),
  name: `user${number}`,
  passwordHash: 'hash',
});
const quiet = () => {};

/** A data directory with a log of so many entries; gives the digest of what they add up to. */
async function directoryWith(name: string, count: number, offset = 0): Promise<string> {
  const place = await DirectoryPlace.open(at(name));
  await place.close();
  return withJournal(name, await loadIdentity(at(name)), async (journal) => {
    for (let number = 1; number <= count; number += 1) {
      journal.write(newUser(offset + number), { device: deviceId(1) }, requestId(offset + number));
    }
    await journal.settled();
    return toHex(registryDigest(journal.registry));
  });
}

async function withJournal<T>(name: string, identity: Identity, task: (journal: Journal) => Promise<T>): Promise<T> {
  const journal = await Journal.open(new SqliteLogStore(at(name)), identity, systemClock);
  try {
    return await task(journal);
  } finally {
    await journal.close();
  }
}

async function exportFrom(place: DirectoryPlace | EtcdPlace, file: string) {
  const out = newFile(at(file));
  const moved = await exportLog(
    place instanceof DirectoryPlace ? place.source : await place.source(),
    out.write,
    quiet,
  );
  out.finish();
  await place.close();
  return moved;
}

async function importTo(place: DirectoryPlace | EtcdPlace, file: string) {
  try {
    return await importLog(() => chunksOf(at(file)), place, quiet);
  } finally {
    await place.close();
  }
}

const shared = (log: MemoryLog, fate: () => Fate = () => 'done') => new EtcdPlace(log.way(fate), systemClock);

describe('a log that is moved', () => {
  test('there and back adds up to the same, and is moved once', async () => {
    const digest = await directoryWith('one', ENTRIES);
    const log = new MemoryLog();
    const out = await exportFrom(await DirectoryPlace.open(at('one')), 'there');
    expect(out).toEqual({ entries: ENTRIES, added: ENTRIES, digest });
    expect(await importTo(shared(log), 'there')).toEqual({ entries: ENTRIES, added: ENTRIES, digest });
    expect(await importTo(shared(log), 'there')).toEqual({ entries: ENTRIES, added: 0, digest });
    expect(log.entries).toHaveLength(ENTRIES);
    expect(await exportFrom(shared(log), 'back')).toMatchObject({ entries: ENTRIES, digest });
    expect(await importTo(await DirectoryPlace.open(at('other')), 'back')).toMatchObject({ added: ENTRIES, digest });
    // Where it came from, all of it is there.
    expect(await importTo(await DirectoryPlace.open(at('one')), 'back')).toMatchObject({ added: 0, digest });
  });

  test('goes on where it was interrupted, and where answers get lost', async () => {
    const digest = await directoryWith('one', ENTRIES);
    await exportFrom(await DirectoryPlace.open(at('one')), 'file');
    const log = new MemoryLog();
    const refusing = shared(log, () => {
      if (log.entries.length > ENTRIES / 3) throw new Error('interrupted');
      return 'done';
    });
    await expect(importTo(refusing, 'file')).rejects.toThrow('interrupted');
    expect(log.entries.length).toBeLessThan(ENTRIES);
    let turn = 0;
    const forgetful = shared(log, () => {
      turn += 1;
      return turn % 3 === 0 ? 'answer-lost' : 'done';
    });
    expect(await importTo(forgetful, 'file')).toMatchObject({ entries: ENTRIES, digest });
    expect(log.entries).toHaveLength(ENTRIES);
  });

  test('is not put where another one is, and changes nothing there', async () => {
    await directoryWith('one', 20);
    const digest = await directoryWith('other', 10, 100);
    await exportFrom(await DirectoryPlace.open(at('one')), 'file');
    await exportFrom(await DirectoryPlace.open(at('other')), 'other-file');
    await expect(importTo(await DirectoryPlace.open(at('other')), 'file')).rejects.toMatchObject({ code: 'other-log' });
    expect((await exportFrom(await DirectoryPlace.open(at('other')), 'again')).digest).toBe(digest);
    const log = new MemoryLog();
    await importTo(shared(log), 'other-file');
    await expect(importTo(shared(log), 'file')).rejects.toMatchObject({ code: 'other-log' });
    expect(log.entries).toHaveLength(10);
  });

  test('is refused whole when one byte is not as it was written, or the end is missing', async () => {
    await directoryWith('one', 12);
    await exportFrom(await DirectoryPlace.open(at('one')), 'file');
    const good = readFileSync(at('file'));
    const log = new MemoryLog();
    const property = fc.asyncProperty(fc.nat(good.length - 1), fc.boolean(), async (where, isCut) => {
      writeFileSync(at('bad'), isCut ? good.subarray(0, where) : good.with(where, (good[where] ?? 0) ^ 0x10));
      await expect(importTo(shared(log), 'bad')).rejects.toMatchObject({ code: 'log-damaged' });
    });
    await fc.assert(property, { numRuns: 150 });
    expect(log.entries).toEqual([]);
    expect(log.records.size).toBe(0);
  });

  test('that holds what its tracker did not sign is refused', async () => {
    await directoryWith('one', 3);
    const place = await DirectoryPlace.open(at('one'));
    const { source } = place;
    const [page = []] = [...(source.pages as Iterable<readonly { body: Uint8Array; signature: Uint8Array }[]>)];
    await place.close();
    const stranger = await newIdentity();
    for (const keys of [[], [stranger.publicKey.export({ type: 'spki', format: 'der' })]]) {
      const file = new LogFileWriter();
      const parts = [file.keys(keys), ...page.map((signed) => file.entry(signed)), file.end()];
      writeFileSync(at('forged'), Buffer.concat(parts));
      await expect(importTo(shared(new MemoryLog()), 'forged')).rejects.toMatchObject({ code: 'log-damaged' });
    }
  });

  test('is never written over another file, and a failed export leaves none', async () => {
    writeFileSync(at('file'), 'precious');
    expect(() => newFile(at('file'))).toThrow('there already');
    const file = newFile(at('other'));
    file.write(new Uint8Array(3));
    file.abandon();
    expect(existsSync(at('other'))).toBe(false);
    expect(existsSync(at('other.part'))).toBe(false);
    expect(readFileSync(at('file'), 'utf8')).toBe('precious');
  });
});

describe('the file', () => {
  const signed = fc.record({ body: fc.uint8Array({ maxLength: 300 }), signature: fc.uint8Array({ maxLength: 64 }) });

  test('is read alike in whatever pieces it comes', () => {
    fc.assert(
      fc.property(fc.array(signed, { maxLength: 8 }), fc.integer({ min: 1, max: 500 }), (entries, pieceBytes) => {
        const file = new LogFileWriter();
        const keys = [Uint8Array.of(1, 2, 3)];
        const bytes = Buffer.concat([file.keys(keys), ...entries.map((entry) => file.entry(entry)), file.end()]);
        const reader = new LogFileReader();
        const items = [];
        for (let from = 0; from < bytes.length; from += pieceBytes) {
          items.push(...reader.push(bytes.subarray(from, from + pieceBytes)));
        }
        reader.end();
        const plain = (one: Uint8Array) => [...one];
        const read = items.flatMap((item) =>
          item.type === 'entry' ? [[plain(item.signed.body), plain(item.signed.signature)]] : [],
        );
        expect(read).toEqual(entries.map(({ body, signature }) => [plain(body), plain(signature)]));
      }),
    );
  });

  test('may not go on behind its end', () => {
    const file = new LogFileWriter();
    const bytes = Buffer.concat([file.keys([]), file.end()]);
    expect(() => new LogFileReader().push(Buffer.concat([bytes, bytes]))).toThrow(ProtocolViolation);
    const reader = new LogFileReader();
    reader.push(Buffer.concat([bytes, Uint8Array.of(0x5a)]));
    expect(() => reader.end()).toThrow('follows its end');
  });
});
