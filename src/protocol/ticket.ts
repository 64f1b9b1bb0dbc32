/**
 * Tickets and session tokens: a tracker's signed statements about a user on a device.
 * A ticket opens one group on every member's client; a session token opens every tracker.
 */
import type { KeyObject } from 'node:crypto';
import * as v from 'valibot';
import { bytesSchema, decodeCbor, encodeCbor } from './cbor.ts';
import { RequestError } from './errors.ts';
import {
  deviceIdSchema,
  groupIdSchema,
  sessionIdSchema,
  type TrackerId,
  trackerIdSchema,
  userIdSchema,
} from './ids.ts';
import { CLOCK_AHEAD_MS_MAX, USER_NAME_BYTES_MAX } from './limits.ts';
import { keyId, publicKeyFrom, type Signed, signStatement, spkiOf, statementHolds } from './signed.ts';

const timeMs = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

const ticketSchema = v.object({
  version: v.literal(1),
  /** The signing tracker's public key, SPKI. */
  key: bytesSchema,
  user: userIdSchema,
  userName: v.pipe(v.string(), v.maxBytes(2 * USER_NAME_BYTES_MAX)),
  group: groupIdSchema,
  device: deviceIdSchema,
  rights: v.array(v.picklist(['read', 'serve'])),
  issuedMs: timeMs,
  expiresMs: timeMs,
});
export type Ticket = v.InferOutput<typeof ticketSchema>;

const sessionTokenSchema = v.object({
  version: v.literal(1),
  key: bytesSchema,
  session: sessionIdSchema,
  /** The entry that opened it: a tracker that lacks the entry can't tell whether the session has ended. */
  opened: v.optional(v.object({ origin: trackerIdSchema, seq: timeMs })),
  user: userIdSchema,
  device: deviceIdSchema,
  issuedMs: timeMs,
  expiresMs: timeMs,
});
export type SessionToken = v.InferOutput<typeof sessionTokenSchema>;

interface SigningKeys {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export function issueTicket(ticket: Omit<Ticket, 'version' | 'key'>, keys: SigningKeys): Signed {
  const body = encodeCbor({ version: 1, key: spkiOf(keys.publicKey), ...ticket });
  return signStatement('p2pfs/1 ticket', body, keys.privateKey);
}

export function issueSessionToken(token: Omit<SessionToken, 'version' | 'key'>, keys: SigningKeys): Signed {
  const body = encodeCbor({ version: 1, key: spkiOf(keys.publicKey), ...token });
  return signStatement('p2pfs/1 session', body, keys.privateKey);
}

/**
 * Reads a ticket and checks everything that does not depend on who holds it: a trusted tracker's signature, and the
 * time. Throws RequestError('no-ticket') when it does not hold, ProtocolViolation when it is no ticket at all.
 */
export function openTicket(signed: Signed, trusts: (tracker: TrackerId) => boolean, nowMs: number): Ticket {
  const ticket = decodeCbor(ticketSchema, signed.body, 'ticket');
  checkStatement('p2pfs/1 ticket', 'no-ticket', signed, ticket, trusts, nowMs);
  return ticket;
}

/** The same for a session token. Throws RequestError('session-ended'). */
export function openSessionToken(signed: Signed, trusts: (tracker: TrackerId) => boolean, nowMs: number): SessionToken {
  const token = decodeCbor(sessionTokenSchema, signed.body, 'session token');
  checkStatement('p2pfs/1 session', 'session-ended', signed, token, trusts, nowMs);
  return token;
}

function checkStatement(
  context: 'p2pfs/1 ticket' | 'p2pfs/1 session',
  code: 'no-ticket' | 'session-ended',
  signed: Signed,
  statement: { key: Uint8Array; issuedMs: number; expiresMs: number },
  trusts: (tracker: TrackerId) => boolean,
  nowMs: number,
): void {
  const what = code === 'no-ticket' ? 'the ticket' : 'the session';
  if (!trusts(keyId(statement.key))) throw new RequestError(code, `${what} is signed by a tracker that is not ours`);
  if (!statementHolds(context, signed, publicKeyFrom(statement.key))) {
    throw new RequestError(code, `the signature of ${what} does not hold`);
  }
  if (statement.issuedMs > nowMs + CLOCK_AHEAD_MS_MAX) {
    throw new RequestError(code, `${what} is from the future`, 'compare the clocks of the two machines');
  }
  if (statement.expiresMs <= nowMs) throw new RequestError(code, `${what} has expired`);
}
