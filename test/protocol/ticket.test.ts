/**
 * Tickets and session tokens hold only when a trusted tracker signed these very bytes, as this kind of statement, for
 * this time. Whatever else comes is refused with a sentence, or is no statement at all.
 */
import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeCbor } from '../../src/protocol/cbor.ts';
import { ProtocolViolation, RequestError } from '../../src/protocol/errors.ts';
import type { TrackerId } from '../../src/protocol/ids.ts';
import { CLOCK_AHEAD_MS_MAX, TICKET_LIFETIME_MS } from '../../src/protocol/limits.ts';
import { publicKeyFrom, type Signed, signStatement, spkiOf, statementHolds } from '../../src/protocol/signed.ts';
import { issueSessionToken, issueTicket, openSessionToken, openTicket } from '../../src/protocol/ticket.ts';
import { DEVICE, GROUP, newKeys, SESSION, type TestKeys, USER } from '../support/keys.ts';

const ISSUED_MS = 1_700_000_000_000;
const EXPIRES_MS = ISSUED_MS + TICKET_LIFETIME_MS;
const tracker = newKeys();
const stranger = newKeys();
const trusts = (id: TrackerId) => id === tracker.id;

const ticketFields = {
  user: USER,
  userName: 'alice',
  group: GROUP,
  device: DEVICE,
  rights: ['read', 'serve'] as ('read' | 'serve')[],
  issuedMs: ISSUED_MS,
  expiresMs: EXPIRES_MS,
};
const sessionFields = { session: SESSION, user: USER, device: DEVICE, issuedMs: ISSUED_MS, expiresMs: EXPIRES_MS };

interface Kind {
  readonly name: string;
  readonly code: 'no-ticket' | 'session-ended';
  issue(keys: TestKeys): Signed;
  open(signed: Signed, trusts: (id: TrackerId) => boolean, nowMs: number): object;
  readonly fields: object;
}

const kinds: readonly Kind[] = [
  {
    name: 'ticket',
    code: 'no-ticket',
    issue: (keys) => issueTicket(ticketFields, keys),
    open: openTicket,
    fields: ticketFields,
  },
  {
    name: 'session token',
    code: 'session-ended',
    issue: (keys) => issueSessionToken(sessionFields, keys),
    open: openSessionToken,
    fields: sessionFields,
  },
];

describe.each(kinds)('a $name', ({ code, issue, open, fields }) => {
  const refused = expect.objectContaining({ name: 'RequestError', code });

  test('holds for as long as it says', () => {
    const signed = issue(tracker);
    for (const nowMs of [ISSUED_MS - CLOCK_AHEAD_MS_MAX, ISSUED_MS, EXPIRES_MS - 1]) {
      expect(open(signed, trusts, nowMs)).toMatchObject(fields);
    }
  });

  test('has expired at its end', () => {
    for (const nowMs of [EXPIRES_MS, EXPIRES_MS + 1]) {
      expect(() => open(issue(tracker), trusts, nowMs)).toThrow(refused);
      expect(() => open(issue(tracker), trusts, nowMs)).toThrow(/expired/);
    }
  });

  test('is from the future when its clock runs ahead by more than the limit', () => {
    const nowMs = ISSUED_MS - CLOCK_AHEAD_MS_MAX - 1;
    expect(() => open(issue(tracker), trusts, nowMs)).toThrow(refused);
    expect(() => open(issue(tracker), trusts, nowMs)).toThrow(/future/);
  });

  test('of a tracker that nobody trusts is refused', () => {
    expect(() => open(issue(stranger), trusts, ISSUED_MS)).toThrow(refused);
  });

  test('that names one key and was signed by another is refused', () => {
    const { body } = issue(tracker);
    const context = code === 'no-ticket' ? 'p2pfs/1 ticket' : 'p2pfs/1 session';
    expect(() => open(signStatement(context, body, stranger.privateKey), trusts, ISSUED_MS)).toThrow(refused);
  });

  test('signed as another kind of statement is refused', () => {
    const { body } = issue(tracker);
    const other = code === 'no-ticket' ? 'p2pfs/1 session' : 'p2pfs/1 ticket';
    for (const context of [other, 'p2pfs/1 transaction'] as const) {
      expect(() => open(signStatement(context, body, tracker.privateKey), trusts, ISSUED_MS)).toThrow(refused);
    }
  });

  test('with any bit changed, in body or signature, is refused', () => {
    const signed = issue(tracker);
    fc.assert(
      fc.property(fc.constantFrom('body', 'signature'), fc.nat(), fc.nat(7), (part, at, bit) => {
        const bytes = Buffer.from(signed[part]);
        const position = at % bytes.length;
        bytes[position] = (bytes[position] ?? 0) ^ (1 << bit);
        let error: unknown;
        try {
          open({ ...signed, [part]: bytes }, trusts, ISSUED_MS);
        } catch (thrown) {
          error = thrown;
        }
        expect(error instanceof RequestError || error instanceof ProtocolViolation).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test('with a signature of any other length is refused', () => {
    const { body } = issue(tracker);
    for (const length of [0, 1, 63, 65, 1000]) {
      expect(() => open({ body, signature: new Uint8Array(length) }, trusts, ISSUED_MS)).toThrow(refused);
    }
  });

  test('of another version is none', () => {
    const body = encodeCbor({ key: spkiOf(tracker.publicKey), ...fields, version: 2 });
    const signed = signStatement('p2pfs/1 ticket', body, tracker.privateKey);
    expect(() => open(signed, () => true, ISSUED_MS)).toThrow(ProtocolViolation);
  });
});

test('a ticket is no session token, nor the other way round', () => {
  expect(() => openSessionToken(issueTicket(ticketFields, tracker), trusts, ISSUED_MS)).toThrow(ProtocolViolation);
  expect(() => openTicket(issueSessionToken(sessionFields, tracker), trusts, ISSUED_MS)).toThrow(ProtocolViolation);
});

describe('a public key', () => {
  test('is an Ed25519 key, or a violation', () => {
    expect(publicKeyFrom(spkiOf(tracker.publicKey)).equals(tracker.publicKey)).toBe(true);
    const other = generateKeyPairSync('x25519').publicKey.export({ type: 'spki', format: 'der' });
    for (const bytes of [other, new Uint8Array(0), new Uint8Array(44), spkiOf(tracker.publicKey).subarray(1)]) {
      expect(() => publicKeyFrom(bytes)).toThrow(ProtocolViolation);
    }
  });

  test('holds for the statement it signed alone', () => {
    const signed = signStatement('p2pfs/1 ticket', Buffer.from('body'), tracker.privateKey);
    expect(statementHolds('p2pfs/1 ticket', signed, tracker.publicKey)).toBe(true);
    expect(statementHolds('p2pfs/1 session', signed, tracker.publicKey)).toBe(false);
    expect(statementHolds('p2pfs/1 ticket', signed, stranger.publicKey)).toBe(false);
  });
});
