/**
 * PURE. Where things stand in etcd, and how they are written; docs/PROTOCOL.md has the same for other implementations.
 * `<prefix>/1/head`, `<prefix>/1/log/<position>` and `<prefix>/1/trackers/<pin>`, where 1 is the version of this layout.
 */
import * as v from 'valibot';
import { bytesSchema, decodeCbor, encodeCbor } from '../../protocol/cbor.ts';
import { ProtocolViolation } from '../../protocol/errors.ts';
import { ENTRY_BYTES_MAX, HOST_BYTES_MAX, SPKI_BYTES_MAX } from '../../protocol/limits.ts';
import { keyId, type Signed, signedSchema } from '../../protocol/signed.ts';
import { EMPTY_HEAD, type SharedHead, type TrackerRecord } from './shared-log.ts';

const LAYOUT = 1;
/** Digits of a position: keys sort as numbers do. */
const POSITION_DIGITS = 16;

const recordSchema = v.object({
  spki: v.pipe(
    bytesSchema,
    v.check((bytes) => bytes.length <= SPKI_BYTES_MAX, 'not a key'),
  ),
  address: v.optional(
    v.object({
      host: v.pipe(v.string(), v.maxBytes(HOST_BYTES_MAX)),
      port: v.pipe(v.number(), v.safeInteger(), v.minValue(0), v.maxValue(65_535)),
    }),
  ),
});

export class EtcdLayout {
  readonly head: Buffer;
  readonly #base: string;

  constructor(prefix: string) {
    this.#base = `${prefix}/${LAYOUT}`;
    this.head = Buffer.from(`${this.#base}/head`);
  }

  entry(position: number): Buffer {
    return Buffer.from(`${this.#base}/log/${String(position).padStart(POSITION_DIGITS, '0')}`);
  }

  /** Behind the last entry that there can be. */
  get entriesEnd(): Buffer {
    // The character after the slash.
    return Buffer.from(`${this.#base}/log0`);
  }

  tracker(spki: Uint8Array): Buffer {
    return Buffer.from(`${this.#base}/trackers/${keyId(spki)}`);
  }

  get trackersBegin(): Buffer {
    return Buffer.from(`${this.#base}/trackers/`);
  }

  get trackersEnd(): Buffer {
    return Buffer.from(`${this.#base}/trackers0`);
  }
}

export const headValue = ({ position, hash }: SharedHead): Buffer => Buffer.from(`${position} ${hash}`);

/** Undefined: no such key. Throws ProtocolViolation. */
export function readHead(value: Uint8Array | undefined): SharedHead {
  if (!value) return EMPTY_HEAD;
  const match = /^([1-9]\d{0,15}) ([0-9a-f]{64})$/.exec(Buffer.from(value).toString('latin1'));
  if (!match) throw new ProtocolViolation('head of the log: not "<position> <hash>"');
  return { position: Number(match[1]), hash: match[2] ?? '' };
}

export const entryValue = ({ body, signature }: Signed): Buffer => Buffer.from(encodeCbor({ body, signature }));

/** Throws ProtocolViolation. */
export function readEntryValue(value: Uint8Array): Signed {
  const signed = decodeCbor(signedSchema, value, 'entry of the log');
  if (signed.body.length > ENTRY_BYTES_MAX) throw new ProtocolViolation('entry of the log: too long');
  return signed;
}

export const recordValue = ({ spki, address }: TrackerRecord): Buffer =>
  Buffer.from(encodeCbor({ spki, ...(address ? { address } : {}) }));

/** Throws ProtocolViolation. */
export function readRecord(value: Uint8Array): TrackerRecord {
  const { spki, address } = decodeCbor(recordSchema, value, 'record of a tracker');
  return { spki, address };
}
