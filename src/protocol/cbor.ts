/** CBOR (RFC 8949) bodies: encoded plainly, and decoded only through a schema that says what they may be. */
import { Decoder, Encoder } from 'cbor-x';
import * as v from 'valibot';
import { cborFault } from './cbor-shape.ts';
import { ProtocolViolation } from './errors.ts';

const OPTIONS = {
  useRecords: false,
  mapsAsObjects: true,
  tagUint8Array: false,
  variableMapSize: true,
  int64AsNumber: true,
} as const;
const REASON_CHARS_MAX = 300;
const encoder = new Encoder(OPTIONS);
const decoder = new Decoder(OPTIONS);

/** Encodes plain values: objects, arrays, strings, numbers, booleans, null, Uint8Array. */
export function encodeCbor(value: unknown): Uint8Array {
  return encoder.encode(value);
}

/** A byte string. */
export const bytesSchema = v.custom<Uint8Array>((value) => value instanceof Uint8Array, 'not bytes');

/** Decodes and checks. Throws ProtocolViolation when the bytes are not CBOR or not what the schema allows. */
export function decodeCbor<S extends v.GenericSchema>(schema: S, bytes: Uint8Array, what: string): v.InferOutput<S> {
  const fault = cborFault(bytes);
  if (fault) throw new ProtocolViolation(`${what}: not CBOR of ours: ${fault}`);
  let value: unknown;
  try {
    value = decoder.decode(bytes);
  } catch {
    throw new ProtocolViolation(`${what}: not CBOR`);
  }
  return checkValue(schema, value, what);
}

/** Checks a value that came out of CBOR. Throws ProtocolViolation. */
export function checkValue<S extends v.GenericSchema>(schema: S, value: unknown, what: string): v.InferOutput<S> {
  const checked = v.safeParse(schema, value);
  if (checked.success) return checked.output;
  const issue = checked.issues[0];
  // Path and message may hold what the other side sent; the whole must fit the bye that says it back.
  throw new ProtocolViolation(`${what}: ${v.getDotPath(issue) ?? 'body'}: ${issue.message}`.slice(0, REASON_CHARS_MAX));
}
