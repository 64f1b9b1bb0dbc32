/**
 * Frames: 16 bytes of header, little endian, then a body.
 *
 *   u32 length · u8 type · u8 flags · u16 0 · u32 id · u32 aux
 *
 * The reader is sans-IO: it says which memory the next bytes belong in, and is told how many came. It never holds a
 * socket, never copies a body that was given a place, and allocates nothing before the length has met its limit.
 */
import { invariant, ProtocolViolation } from './errors.ts';
import {
  BITFIELD_BYTES_MAX,
  CONTROL_BODY_BYTES_MAX,
  ENTRIES_BODY_BYTES_MAX,
  FRAME_HEADER_BYTES,
  PIECE_BYTES_MAX,
  SMALL_BODY_BYTES_MAX,
} from './limits.ts';

export const FrameType = {
  Hello: 1,
  Bye: 2,
  Ping: 3,
  Pong: 4,
  Call: 16,
  Result: 17,
  Failure: 18,
  Push: 19,
  Ticket: 32,
  Open: 33,
  Opened: 34,
  Refused: 35,
  Close: 36,
  Request: 37,
  Cancel: 38,
  Piece: 39,
  Reject: 40,
  Have: 41,
  Replica: 48,
  Entries: 49,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

const BODY_BYTES_MAX: Readonly<Record<FrameType, number>> = {
  [FrameType.Hello]: SMALL_BODY_BYTES_MAX,
  [FrameType.Bye]: SMALL_BODY_BYTES_MAX,
  [FrameType.Ping]: 0,
  [FrameType.Pong]: 0,
  [FrameType.Call]: CONTROL_BODY_BYTES_MAX,
  [FrameType.Result]: CONTROL_BODY_BYTES_MAX,
  [FrameType.Failure]: SMALL_BODY_BYTES_MAX,
  [FrameType.Push]: CONTROL_BODY_BYTES_MAX,
  [FrameType.Ticket]: SMALL_BODY_BYTES_MAX,
  [FrameType.Open]: SMALL_BODY_BYTES_MAX,
  [FrameType.Opened]: BITFIELD_BYTES_MAX,
  [FrameType.Refused]: SMALL_BODY_BYTES_MAX,
  [FrameType.Close]: 0,
  [FrameType.Request]: 0,
  [FrameType.Cancel]: 0,
  [FrameType.Piece]: PIECE_BYTES_MAX,
  [FrameType.Reject]: 0,
  [FrameType.Have]: 0,
  [FrameType.Replica]: CONTROL_BODY_BYTES_MAX,
  [FrameType.Entries]: ENTRIES_BODY_BYTES_MAX,
};

/** An unknown type below this is skipped (a newer version's extension); from it on, the connection ends. */
export const FIRST_CRITICAL_TYPE = 128;
const UNKNOWN_BODY_BYTES_MAX = CONTROL_BODY_BYTES_MAX;

export interface FrameHeader {
  readonly lengthBytes: number;
  /** A FrameType, or an unknown number below FIRST_CRITICAL_TYPE. */
  readonly type: number;
  readonly flags: number;
  /** Call number or channel. */
  readonly id: number;
  /** Piece index or piece count. */
  readonly aux: number;
}

export interface Frame extends FrameHeader {
  /** The body: the memory it was given a place in, or the reader's own. Empty when it was skipped. */
  readonly body: Uint8Array;
}

export function isKnownType(type: number): type is FrameType {
  return Object.hasOwn(BODY_BYTES_MAX, type);
}

/** Writes a header into memory[at .. at + 16). */
export function writeHeader(memory: Uint8Array, at: number, header: FrameHeader): void {
  const view = new DataView(memory.buffer, memory.byteOffset + at, FRAME_HEADER_BYTES);
  view.setUint32(0, header.lengthBytes, true);
  view.setUint8(4, header.type);
  view.setUint8(5, header.flags);
  view.setUint16(6, 0, true);
  view.setUint32(8, header.id, true);
  view.setUint32(12, header.aux, true);
}

/** A whole frame in memory of its own. */
export function encodeFrame(
  type: FrameType,
  fields: { id?: number; aux?: number; flags?: number; body?: Uint8Array } = {},
): Uint8Array {
  const { id = 0, aux = 0, flags = 0, body } = fields;
  const lengthBytes = body?.length ?? 0;
  invariant(lengthBytes <= BODY_BYTES_MAX[type], `a body of ${lengthBytes} bytes fits frame type ${type}`);
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + lengthBytes);
  writeHeader(frame, 0, { lengthBytes, type, flags, id, aux });
  if (body) frame.set(body, FRAME_HEADER_BYTES);
  return frame;
}

/** Reads a header. Throws ProtocolViolation on a type, length or reserved field that may not be. */
export function readHeader(bytes: Uint8Array): FrameHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEADER_BYTES);
  const header: FrameHeader = {
    lengthBytes: view.getUint32(0, true),
    type: view.getUint8(4),
    flags: view.getUint8(5),
    id: view.getUint32(8, true),
    aux: view.getUint32(12, true),
  };
  if (view.getUint16(6, true) !== 0) throw new ProtocolViolation('reserved header field is not zero');
  const known = isKnownType(header.type);
  if (!known && header.type >= FIRST_CRITICAL_TYPE) throw new ProtocolViolation(`unknown frame type ${header.type}`);
  const limit = known ? BODY_BYTES_MAX[header.type as FrameType] : UNKNOWN_BODY_BYTES_MAX;
  if (header.lengthBytes > limit) {
    throw new ProtocolViolation(`frame type ${header.type} of ${header.lengthBytes} bytes, limit ${limit}`);
  }
  return header;
}

/** Where a body goes: into this memory (exactly its length), into the reader's own, or nowhere. */
export type BodyPlace = Uint8Array | 'buffer' | 'skip';

const NOTHING = new Uint8Array(0);
const SKIP_BYTES = 64 * 1024;

export class FrameReader {
  readonly #place: (header: FrameHeader) => BodyPlace;
  readonly #headerBytes = new Uint8Array(FRAME_HEADER_BYTES);
  #header: FrameHeader | undefined;
  #memory: Uint8Array = this.#headerBytes;
  #filledBytes = 0;
  #skipLeftBytes = 0;
  #skipping = false;
  #skipMemory: Uint8Array | undefined;

  /** `place` is asked once for each known frame that has a body, after its length has met its limit. */
  constructor(place: (header: FrameHeader) => BodyPlace) {
    this.#place = place;
  }

  /** The memory that the next bytes belong in; never empty, and never more than the current header or body. */
  target(): Uint8Array {
    if (this.#skipping) {
      this.#skipMemory ??= new Uint8Array(SKIP_BYTES);
      return this.#skipMemory.subarray(0, Math.min(SKIP_BYTES, this.#skipLeftBytes));
    }
    return this.#filledBytes === 0 ? this.#memory : this.#memory.subarray(this.#filledBytes);
  }

  /**
   * Tells that `bytes` bytes came into target(). Returns the frame that they completed, if any; undefined means that
   * more bytes are needed. Throws ProtocolViolation.
   */
  advance(bytes: number): Frame | undefined {
    if (this.#skipping) {
      invariant(bytes <= this.#skipLeftBytes, 'no more bytes than asked for');
      this.#skipLeftBytes -= bytes;
      return this.#skipLeftBytes === 0 ? this.#finish(NOTHING) : undefined;
    }
    this.#filledBytes += bytes;
    invariant(this.#filledBytes <= this.#memory.length, 'no more bytes than asked for');
    if (this.#filledBytes < this.#memory.length) return undefined;
    if (this.#header) return this.#finish(this.#memory);
    this.#header = readHeader(this.#headerBytes);
    if (this.#header.lengthBytes === 0) return this.#finish(NOTHING);
    this.#startBody(this.#header);
    return undefined;
  }

  /** For bytes that come in memory of their own: copies them to where they belong. */
  *feed(chunk: Uint8Array): Generator<Frame, void, undefined> {
    let at = 0;
    while (at < chunk.length) {
      const target = this.target();
      const bytes = Math.min(target.length, chunk.length - at);
      target.set(chunk.subarray(at, at + bytes));
      at += bytes;
      const frame = this.advance(bytes);
      if (frame) yield frame;
    }
  }

  #startBody(header: FrameHeader): void {
    const place = isKnownType(header.type) ? this.#place(header) : 'skip';
    this.#filledBytes = 0;
    if (place === 'skip') {
      this.#skipping = true;
      this.#skipLeftBytes = header.lengthBytes;
      return;
    }
    this.#memory = place === 'buffer' ? new Uint8Array(header.lengthBytes) : place;
    invariant(this.#memory.length === header.lengthBytes, 'a body is given exactly its length');
  }

  /** Back to reading a header. Frames of unknown type end here unseen. */
  #finish(body: Uint8Array): Frame | undefined {
    const header = this.#header;
    invariant(header, 'a frame has a header');
    this.#header = undefined;
    this.#memory = this.#headerBytes;
    this.#filledBytes = 0;
    this.#skipping = false;
    return isKnownType(header.type) ? { ...header, body } : undefined;
  }
}
