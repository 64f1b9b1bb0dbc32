/**
 * Log entries say the same after storage as before, and a log is a chain: an entry that is missing, repeated, moved,
 * changed, or written by another tracker shows where it stands.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeCbor } from '../../src/protocol/cbor.ts';
import { ProtocolViolation } from '../../src/protocol/errors.ts';
import { type Signed, signStatement } from '../../src/protocol/signed.ts';
import {
  type ChainedTransaction,
  chainFault,
  GENESIS_HASH,
  type LogEntry,
  type Operation,
  operationSchema,
  readEntry,
  writeEntry,
} from '../../src/protocol/transaction.ts';
import { comparable } from '../support/comparable.ts';
import { DEVICE, newKeys, REQUEST, SESSION, type TestKeys, USER } from '../support/keys.ts';
import { arbitraryOf } from '../support/schemas.ts';

const tracker = newKeys();
const stranger = newKeys();

const sample = (keys: TestKeys, seq: number, prevHash: Uint8Array): Omit<ChainedTransaction, 'version'> => ({
  origin: keys.id,
  epoch: 1,
  seq,
  prevHash,
  hlc: { ms: 1_700_000_000_000 + seq, counter: 0 },
  versionVector: { [stranger.id]: 7 },
  requestId: REQUEST,
  actor: { device: DEVICE, user: USER },
  op: { type: 'session-closed', session: SESSION },
});

function writeLog(keys: TestKeys, length: number): LogEntry[] {
  const log: LogEntry[] = [];
  for (let seq = 1; seq <= length; seq += 1) {
    log.push(writeEntry(sample(keys, seq, log.at(-1)?.hash ?? GENESIS_HASH), keys.privateKey));
  }
  return log;
}

/** The first fault of a log as it is read back, and at which entry. */
function faultOf(log: readonly Signed[], keys = tracker): string | undefined {
  let previous: { seq: number; hash: Uint8Array } | undefined;
  for (const signed of log) {
    const entry = readEntry(signed);
    const fault = chainFault(entry, previous, keys.publicKey);
    if (fault) return fault;
    previous = { seq: entry.transaction.seq, hash: entry.hash };
  }
  return undefined;
}

describe('an entry', () => {
  test('of any operation says the same after storage', () => {
    const operation = arbitraryOf(operationSchema) as fc.Arbitrary<Operation>;
    fc.assert(
      fc.property(operation, fc.boolean(), fc.nat(), (op, withUser, seq) => {
        const actor = withUser ? { device: DEVICE, user: USER } : { device: DEVICE };
        const written = writeEntry({ ...sample(tracker, seq + 1, GENESIS_HASH), op, actor }, tracker.privateKey);
        const read = readEntry({ ...written.signed });
        expect(comparable(read.transaction)).toEqual(comparable(written.transaction));
        expect(comparable(read.hash)).toEqual(comparable(written.hash));
      }),
      { numRuns: 300 },
    );
  });

  test('has a hash that covers body and signature', () => {
    const { signed, hash } = writeEntry(sample(tracker, 1, GENESIS_HASH), tracker.privateKey);
    const other = writeEntry(sample(tracker, 2, GENESIS_HASH), tracker.privateKey).signed;
    for (const changed of [
      { ...signed, body: other.body },
      { ...signed, signature: other.signature },
    ]) {
      expect(comparable(readEntry(changed).hash)).not.toEqual(comparable(hash));
    }
  });

  const good = { version: 1, ...sample(tracker, 1, GENESIS_HASH) };
  test.each([
    ['of another version', { ...good, version: 2 }],
    ['with seq 0', { ...good, seq: 0 }],
    ['with half a hash', { ...good, prevHash: new Uint8Array(16) }],
    ['without an operation', { ...good, op: undefined }],
    ['of an unknown operation', { ...good, op: { type: 'world-ended' } }],
    ['with a version vector of no trackers', { ...good, versionVector: { alice: 1 } }],
    ['with a clock before 1970', { ...good, hlc: { ms: -1, counter: 0 } }],
    ['that is a list', [good]],
  ])('%s is a violation', (_, body) => {
    const signed = signStatement('p2pfs/1 transaction', encodeCbor(body), tracker.privateKey);
    expect(() => readEntry(signed)).toThrow(ProtocolViolation);
  });
});

describe('a log', () => {
  const log = writeLog(tracker, 6).map((entry) => entry.signed);

  test('as it was written has no fault', () => {
    expect(faultOf([])).toBeUndefined();
    expect(faultOf(log)).toBeUndefined();
  });

  test('shows an entry that is missing, repeated or moved', () => {
    fc.assert(
      fc.property(fc.nat(5), fc.nat(5), (a, b) => {
        if (a < 5) expect(faultOf(log.toSpliced(a, 1))).toMatch(new RegExp(`stands where ${a + 1} belongs`));
        expect(faultOf(log.toSpliced(a, 0, ...log.slice(a, a + 1)))).toMatch(/stands where/);
        const [first, second] = [log[a], log[b]];
        if (a !== b && first && second) expect(faultOf(log.with(a, second).with(b, first))).toMatch(/stands where/);
      }),
    );
  });

  test('shows an entry that was written anew by its own tracker', () => {
    for (let at = 0; at < log.length - 1; at += 1) {
      const previous = log[at - 1];
      const prevHash = previous ? readEntry(previous).hash : GENESIS_HASH;
      const changed = { ...sample(tracker, at + 1, prevHash), epoch: 2 };
      const rewritten = log.with(at, writeEntry(changed, tracker.privateKey).signed);
      expect(faultOf(rewritten)).toBe(`entry ${at + 2} does not follow the hash of the one before it`);
    }
  });

  test('shows an entry signed by another tracker, or as another kind of statement', () => {
    for (const [at, { body }] of log.entries()) {
      const seq = at + 1;
      const byAnother = signStatement('p2pfs/1 transaction', body, stranger.privateKey);
      expect(faultOf(log.with(at, byAnother))).toBe(`the signature of entry ${seq} does not hold`);
      const asAnother = signStatement('p2pfs/1 ticket', body, tracker.privateKey);
      expect(faultOf(log.with(at, asAnother))).toBe(`the signature of entry ${seq} does not hold`);
    }
  });

  test('shows an entry that names another tracker as its origin, though this one signed it', () => {
    const borrowed = writeEntry({ ...sample(tracker, 1, GENESIS_HASH), origin: stranger.id }, tracker.privateKey);
    expect(faultOf([borrowed.signed])).toMatch(/another tracker/);
  });

  test('of one tracker is not the log of another', () => {
    expect(faultOf(log, stranger)).toBeDefined();
  });

  test('shows any flipped bit', () => {
    fc.assert(
      fc.property(fc.nat(5), fc.constantFrom('body', 'signature'), fc.nat(), fc.nat(7), (at, part, byte, bit) => {
        const entry = log[at];
        if (!entry) throw new Error('unreachable: an entry of the log');
        const bytes = Buffer.from(entry[part]);
        bytes[byte % bytes.length] = (bytes[byte % bytes.length] ?? 0) ^ (1 << bit);
        let fault: string | undefined;
        try {
          fault = faultOf(log.with(at, { ...entry, [part]: bytes }));
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolViolation);
          fault = 'violation';
        }
        expect(fault).toBeDefined();
      }),
      { numRuns: 500 },
    );
  });
});
