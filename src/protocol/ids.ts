/**
 * Branded identities. All are lower-case hex strings, so that they compare, sort and key maps by value.
 * Names (names.ts) are an index that people use; these never change.
 */
import * as v from 'valibot';

type Brand<T, B extends string> = T & { readonly __brand: B };

export type UserId = Brand<string, 'UserId'>;
export type GroupId = Brand<string, 'GroupId'>;
export type FileId = Brand<string, 'FileId'>;
export type SessionId = Brand<string, 'SessionId'>;
export type RequestId = Brand<string, 'RequestId'>;
/** SHA-256 of a client's public key (SPKI, DER). */
export type DeviceId = Brand<string, 'DeviceId'>;
/** SHA-256 of a tracker's public key: its pin. */
export type TrackerId = Brand<string, 'TrackerId'>;
/** Section "piece tree" of docs/PROTOCOL.md: the 32 bytes that stand for a file of any size. */
export type Root = Brand<string, 'Root'>;

/** Bytes of the random ids: users, groups, files, sessions, requests. */
export const RANDOM_ID_BYTES = 16;
const RANDOM_ID = new RegExp(`^[0-9a-f]{${2 * RANDOM_ID_BYTES}}$`);
const HASH_ID = /^[0-9a-f]{64}$/;

const brandedHex = <T extends string>(pattern: RegExp) =>
  v.custom<T>((value) => typeof value === 'string' && pattern.test(value), 'not an id');

export const userIdSchema = brandedHex<UserId>(RANDOM_ID);
export const groupIdSchema = brandedHex<GroupId>(RANDOM_ID);
export const fileIdSchema = brandedHex<FileId>(RANDOM_ID);
export const sessionIdSchema = brandedHex<SessionId>(RANDOM_ID);
export const requestIdSchema = brandedHex<RequestId>(RANDOM_ID);
export const deviceIdSchema = brandedHex<DeviceId>(HASH_ID);
export const trackerIdSchema = brandedHex<TrackerId>(HASH_ID);
export const rootSchema = brandedHex<Root>(HASH_ID);

export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
