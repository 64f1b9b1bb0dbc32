/**
 * Statements signed by a tracker (Ed25519). The body is kept as the bytes that were signed, so no second encoding has
 * to agree. Each kind of statement has a context of its own, so that one can never be passed off as another.
 */
import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import * as v from 'valibot';
import { bytesSchema } from './cbor.ts';
import { ProtocolViolation } from './errors.ts';
import { type DeviceId, type TrackerId, toHex } from './ids.ts';

/** An Ed25519 public key, ready for use. */
export type PublicKey = KeyObject;

export type SignedContext = 'p2pfs/1 ticket' | 'p2pfs/1 session' | 'p2pfs/1 transaction';

export const signedSchema = v.object({ body: bytesSchema, signature: bytesSchema });
export type Signed = v.InferOutput<typeof signedSchema>;

const input = (context: SignedContext, body: Uint8Array) => Buffer.concat([Buffer.from(`${context}\0`), body]);

export function signStatement(context: SignedContext, body: Uint8Array, privateKey: KeyObject): Signed {
  return { body, signature: sign(null, input(context, body), privateKey) };
}

export function statementHolds(context: SignedContext, signed: Signed, publicKey: KeyObject): boolean {
  return verify(null, input(context, signed.body), publicKey, signed.signature);
}

/** The DER bytes (SPKI) of a public key, as tickets and log heads carry it. */
export function spkiOf(publicKey: KeyObject): Uint8Array {
  return publicKey.export({ type: 'spki', format: 'der' });
}

/** SHA-256 of a public key's SPKI: the id of a device, the pin of a tracker. */
export function keyId(spki: Uint8Array): DeviceId & TrackerId {
  return toHex(createHash('sha256').update(spki).digest()) as DeviceId & TrackerId;
}

/** Throws ProtocolViolation when the bytes are no Ed25519 public key. */
export function publicKeyFrom(spki: Uint8Array): KeyObject {
  try {
    const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch {
    // Falls through: what is wrong with the bytes does not matter.
  }
  throw new ProtocolViolation('not an Ed25519 public key');
}
