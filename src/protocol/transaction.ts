/**
 * Transactions: a successful, state-changing request as the tracker's log keeps it.
 *
 * Each tracker writes one log of its own. An entry's body carries the hash of the entry before it and is signed by the
 * tracker; the entry's hash covers body and signature. Executing is pure: the log holds finished password hashes, ids
 * and times, so that every replay gives the same registry.
 */
import type { KeyObject } from 'node:crypto';
import * as v from 'valibot';
import { bytesSchema, decodeCbor, encodeCbor } from './cbor.ts';
import { blake3 } from './digest.ts';
import {
  deviceIdSchema,
  fileIdSchema,
  groupIdSchema,
  requestIdSchema,
  rootSchema,
  sessionIdSchema,
  type TrackerId,
  trackerIdSchema,
  userIdSchema,
} from './ids.ts';
import { DIGEST_BYTES, FILE_PATH_BYTES_MAX, GROUP_NAME_BYTES_MAX, USER_NAME_BYTES_MAX } from './limits.ts';
import { keyId, type Signed, signStatement, spkiOf, statementHolds } from './signed.ts';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const userName = v.pipe(v.string(), v.maxBytes(USER_NAME_BYTES_MAX));
const groupName = v.pipe(v.string(), v.maxBytes(GROUP_NAME_BYTES_MAX));

export const operationSchema = v.variant('type', [
  v.object({ type: v.literal('user-created'), user: userIdSchema, name: userName, passwordHash: v.string() }),
  v.object({
    type: v.literal('session-opened'),
    session: sessionIdSchema,
    user: userIdSchema,
    device: deviceIdSchema,
    expiresMs: count,
  }),
  v.object({ type: v.literal('session-closed'), session: sessionIdSchema }),
  v.object({ type: v.literal('group-created'), group: groupIdSchema, name: groupName, owner: userIdSchema }),
  v.object({ type: v.literal('join-requested'), group: groupIdSchema, user: userIdSchema }),
  v.object({ type: v.literal('join-accepted'), group: groupIdSchema, user: userIdSchema }),
  v.object({ type: v.literal('join-rejected'), group: groupIdSchema, user: userIdSchema }),
  v.object({ type: v.literal('member-left'), group: groupIdSchema, user: userIdSchema }),
  v.object({ type: v.literal('member-removed'), group: groupIdSchema, user: userIdSchema }),
  v.object({
    type: v.literal('file-shared'),
    file: fileIdSchema,
    group: groupIdSchema,
    name: v.pipe(v.string(), v.maxBytes(FILE_PATH_BYTES_MAX)),
    sizeBytes: count,
    pieceSizeBytes: count,
    root: rootSchema,
    by: userIdSchema,
    /** The version under this name that this one takes the place of. */
    replaces: v.optional(fileIdSchema),
  }),
]);
export type Operation = v.InferOutput<typeof operationSchema>;

/** Hybrid logical clock: wall time in ms, then a counter that orders entries within it. */
export const hlcSchema = v.object({ ms: count, counter: count });
export type Hlc = v.InferOutput<typeof hlcSchema>;

const transactionSchema = v.object({
  version: v.literal(1),
  origin: trackerIdSchema,
  /** Counts the starts of the origin. */
  epoch: count,
  /** 1 for the origin's first entry. */
  seq: v.pipe(count, v.minValue(1)),
  hlc: hlcSchema,
  /** The highest seq of every other tracker that the origin had executed. */
  versionVector: v.record(trackerIdSchema, count),
  requestId: requestIdSchema,
  actor: v.object({ device: deviceIdSchema, user: v.optional(userIdSchema) }),
  op: operationSchema,
  /** Last, where sealEntry writes it. */
  prevHash: v.pipe(
    bytesSchema,
    v.check((bytes) => bytes.length === DIGEST_BYTES, 'not a digest'),
  ),
});
/** A transaction in its place in a log. */
export type ChainedTransaction = v.InferOutput<typeof transactionSchema>;
export type Transaction = Omit<ChainedTransaction, 'prevHash'>;

/** prevHash of a log's first entry. */
export const GENESIS_HASH = new Uint8Array(DIGEST_BYTES);

/** An entry as it is stored and exchanged, with what it says and its hash. */
export interface LogEntry {
  readonly signed: Signed;
  readonly transaction: ChainedTransaction;
  readonly hash: Uint8Array;
}

/** What an entry will say, but for the hash of the one before it and the signature: these can be had elsewhere, later. */
export interface OpenEntry {
  readonly transaction: Transaction;
  /** Ends with room for the hash. */
  readonly body: Uint8Array;
}

const entryHash = (signed: Signed) => blake3(Buffer.concat([signed.body, signed.signature]));

export function openEntry(transaction: Omit<Transaction, 'version'>): OpenEntry {
  const full = { version: 1 as const, ...transaction };
  return { transaction: full, body: encodeCbor({ ...full, prevHash: GENESIS_HASH }) };
}

/** Chains and signs an entry, in the memory of its body. */
export function sealEntry(
  body: Uint8Array,
  prevHash: Uint8Array,
  privateKey: KeyObject,
): { readonly signed: Signed; readonly hash: Uint8Array } {
  body.set(prevHash, body.length - DIGEST_BYTES);
  const signed = signStatement('p2pfs/1 transaction', body, privateKey);
  return { signed, hash: entryHash(signed) };
}

export function writeEntry(transaction: Omit<ChainedTransaction, 'version'>, privateKey: KeyObject): LogEntry {
  const { prevHash, ...rest } = transaction;
  const open = openEntry(rest);
  return { ...sealEntry(open.body, prevHash, privateKey), transaction: { ...open.transaction, prevHash } };
}

/** Throws ProtocolViolation when the body is no transaction. Says nothing about signature and chain. */
export function readEntry(signed: Signed): LogEntry {
  return { signed, transaction: decodeCbor(transactionSchema, signed.body, 'transaction'), hash: entryHash(signed) };
}

/** Exporting a key costs a third of a signature check, and a log has one key for all its entries. */
const origins = new WeakMap<KeyObject, TrackerId>();

function originOf(publicKey: KeyObject): TrackerId {
  const known = origins.get(publicKey);
  if (known) return known;
  const origin = keyId(spkiOf(publicKey));
  origins.set(publicKey, origin);
  return origin;
}

/** Why an entry may not follow `previous` in the log of the tracker with this key; undefined when it may. */
export function chainFault(entry: LogEntry, previous: ChainEnd | undefined, publicKey: KeyObject): string | undefined {
  return linkFault(entry, previous, publicKey) ?? signatureFault(entry, publicKey);
}

/** The last entry of a log. */
export interface ChainEnd {
  readonly seq: number;
  readonly hash: Uint8Array;
}

/**
 * The same, but for the signature. The hash of an entry covers its signature, too: when a later entry of the chain is
 * signed by the tracker, so is all that leads up to it.
 */
export function linkFault(entry: LogEntry, previous: ChainEnd | undefined, publicKey: KeyObject): string | undefined {
  const { transaction } = entry;
  const seq = (previous?.seq ?? 0) + 1;
  if (transaction.origin !== originOf(publicKey)) return `entry ${transaction.seq} names another tracker as its origin`;
  if (transaction.seq !== seq) return `entry ${transaction.seq} stands where ${seq} belongs`;
  if (Buffer.compare(transaction.prevHash, previous?.hash ?? GENESIS_HASH) !== 0) {
    return `entry ${seq} does not follow the hash of the one before it`;
  }
  return undefined;
}

export function signatureFault({ transaction, signed }: LogEntry, publicKey: KeyObject): string | undefined {
  if (statementHolds('p2pfs/1 transaction', signed, publicKey)) return undefined;
  return `the signature of entry ${transaction.seq} does not hold`;
}
