/**
 * PURE. A log in a file, to move it from one way of keeping it to another: records one after the other, each a CBOR byte
 * string with a CBOR map inside. First the keys of the trackers, then the entries in the order of execution, then their
 * count and a hash of all that came before, so that a file which was cut off or changed is known as such.
 */
import * as v from 'valibot';
import { bytesSchema, decodeCbor, encodeCbor } from '../../protocol/cbor.ts';
import { blake3 } from '../../protocol/digest.ts';
import { ProtocolViolation } from '../../protocol/errors.ts';
import { DIGEST_BYTES, ENTRY_BYTES_MAX, KIB, SPKI_BYTES_MAX } from '../../protocol/limits.ts';
import { type Signed, signedSchema } from '../../protocol/signed.ts';

const FORMAT = 'p2pfs log';
/** An entry with its wrapping, or the keys of a few hundred trackers. */
const RECORD_BYTES_MAX = ENTRY_BYTES_MAX + 32 * KIB;
const KEYS_MAX = RECORD_BYTES_MAX / SPKI_BYTES_MAX;

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const headerSchema = v.object({
  format: v.literal(FORMAT),
  version: v.literal(1),
  keys: v.pipe(v.array(bytesSchema), v.maxLength(KEYS_MAX)),
});
const trailerSchema = v.object({ entries: count, hash: bytesSchema });
const laterSchema = v.union([signedSchema, trailerSchema]);

export type LogFileItem =
  | { readonly type: 'keys'; readonly keys: readonly Uint8Array[] }
  | { readonly type: 'entry'; readonly signed: Signed };

/** What was hashed so far. */
const chained = (hash: Uint8Array, record: Uint8Array) => blake3(Buffer.concat([hash, record]));

export class LogFileWriter {
  #hash: Uint8Array = new Uint8Array(DIGEST_BYTES);
  #entries = 0;

  /** The first record. */
  keys(keys: readonly Uint8Array[]): Uint8Array {
    return this.#record({ format: FORMAT, version: 1, keys: [...keys] });
  }

  entry({ body, signature }: Signed): Uint8Array {
    this.#entries += 1;
    return this.#record({ body, signature });
  }

  /** The last record. */
  end(): Uint8Array {
    return this.#record({ entries: this.#entries, hash: this.#hash });
  }

  #record(value: unknown): Uint8Array {
    const body = encodeCbor(value);
    const record = Buffer.concat([byteStringHead(body.length), body]);
    this.#hash = chained(this.#hash, record);
    return record;
  }
}

/** Takes a file in whatever chunks it is read. */
export class LogFileReader {
  #rest: Uint8Array = new Uint8Array(0);
  #hash: Uint8Array = new Uint8Array(DIGEST_BYTES);
  #entries = 0;
  #state: 'keys' | 'entries' | 'over' = 'keys';

  /** The items that are whole now. Throws ProtocolViolation when it is no such file, or a damaged one. */
  push(chunk: Uint8Array): readonly LogFileItem[] {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const items: LogFileItem[] = [];
    let at = 0;
    for (let record = recordAt(bytes, at); record; record = recordAt(bytes, at)) {
      const item = this.#item(bytes.subarray(record.bodyAt, record.end));
      if (item) items.push(item);
      this.#hash = chained(this.#hash, bytes.subarray(at, record.end));
      at = record.end;
    }
    this.#rest = bytes.slice(at);
    return items;
  }

  /** The file has ended. Throws ProtocolViolation when it should not have. */
  end(): void {
    if (this.#state !== 'over') throw new ProtocolViolation(`it is cut off after ${this.#entries} entries`);
    if (this.#rest.length > 0) throw new ProtocolViolation('something follows its end');
  }

  #item(body: Uint8Array): LogFileItem | undefined {
    if (this.#state === 'over') throw new ProtocolViolation('something follows its end');
    if (this.#state === 'keys') {
      const { keys } = decodeCbor(headerSchema, body, 'beginning');
      this.#state = 'entries';
      return { type: 'keys', keys };
    }
    const later = decodeCbor(laterSchema, body, `record after entry ${this.#entries}`);
    if ('body' in later) {
      if (later.body.length > ENTRY_BYTES_MAX) throw new ProtocolViolation('an entry is too long');
      this.#entries += 1;
      return { type: 'entry', signed: later };
    }
    if (later.entries !== this.#entries || Buffer.compare(later.hash, this.#hash) !== 0) {
      throw new ProtocolViolation('it is not as it was written');
    }
    this.#state = 'over';
    return undefined;
  }
}

function byteStringHead(length: number): Uint8Array {
  if (length < 24) return Uint8Array.of(0x40 | length);
  const head = Buffer.alloc(5);
  head[0] = 0x5a;
  head.writeUInt32BE(length, 1);
  return head;
}

/** Where a record's body begins and ends; undefined when it is not all there. */
function recordAt(bytes: Uint8Array, at: number): { bodyAt: number; end: number } | undefined {
  const first = bytes[at];
  if (first === undefined) return undefined;
  const size = first & 0x1f;
  // The four lengths of a byte string's head: in the first byte, or in the 1, 2 or 4 that follow.
  const extra = size < 24 ? 0 : 2 ** (size - 24);
  if (first >> 5 !== 2 || extra > 4) throw new ProtocolViolation('it is not an exported log');
  const bodyAt = at + 1 + extra;
  if (bytes.length < bodyAt) return undefined;
  let length = size < 24 ? size : 0;
  for (const byte of bytes.subarray(at + 1, bodyAt)) length = length * 256 + byte;
  if (length > RECORD_BYTES_MAX) throw new ProtocolViolation('it is not an exported log');
  return bytes.length < bodyAt + length ? undefined : { bodyAt, end: bodyAt + length };
}
