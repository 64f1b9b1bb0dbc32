/**
 * Frames: however a stream is cut, the reader gives the same frames; whatever bytes come, it gives frames or a
 * ProtocolViolation. Bodies go where the owner said, and nobody is asked for memory before the length met its limit.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ProtocolViolation } from '../../src/protocol/errors.ts';
import {
  type BodyPlace,
  encodeFrame,
  FIRST_CRITICAL_TYPE,
  type Frame,
  type FrameHeader,
  FrameReader,
  FrameType,
  isKnownType,
  readHeader,
  writeHeader,
} from '../../src/protocol/frame.ts';
import { toHex } from '../../src/protocol/ids.ts';
import { CONTROL_BODY_BYTES_MAX, FRAME_HEADER_BYTES, PIECE_BYTES_MAX } from '../../src/protocol/limits.ts';

const KNOWN_TYPES = Object.values(FrameType);
const BODILESS: readonly number[] = [
  FrameType.Ping,
  FrameType.Pong,
  FrameType.Close,
  FrameType.Request,
  FrameType.Cancel,
  FrameType.Reject,
  FrameType.Have,
];
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const unknownType = fc.integer({ min: 0, max: FIRST_CRITICAL_TYPE - 1 }).filter((type) => !isKnownType(type));

interface Sent {
  readonly header: FrameHeader;
  readonly body: Uint8Array;
}

const sent: fc.Arbitrary<Sent> = fc
  .record({
    type: fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...KNOWN_TYPES) }, { weight: 1, arbitrary: unknownType }),
    flags: fc.nat(255),
    id: u32,
    aux: u32,
    body: fc.uint8Array({ maxLength: 200 }),
  })
  .map(({ type, flags, id, aux, body }) => {
    const fitting = BODILESS.includes(type) ? new Uint8Array(0) : body;
    return { header: { lengthBytes: fitting.length, type, flags, id, aux }, body: fitting };
  });

function bytesOf({ header, body }: Sent): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + body.length);
  writeHeader(bytes, 0, header);
  bytes.set(body, FRAME_HEADER_BYTES);
  return bytes;
}

/** An owner that has every third body put into memory of its own, the next third skipped, the rest buffered. */
class Owner {
  readonly asked: FrameHeader[] = [];
  readonly given = new Set<Uint8Array>();
  readonly reader = new FrameReader((header) => this.#place(header));

  static wish(header: FrameHeader): 'place' | 'skip' | 'buffer' {
    return (['place', 'skip', 'buffer'] as const)[header.id % 3] ?? 'buffer';
  }

  #place(header: FrameHeader): BodyPlace {
    this.asked.push(header);
    const wish = Owner.wish(header);
    if (wish !== 'place') return wish;
    // As a slot lies in shared memory: somewhere inside, with neighbours that must not be touched.
    const memory = new Uint8Array(new SharedArrayBuffer(header.lengthBytes + 16), 8, header.lengthBytes);
    this.given.add(memory);
    return memory;
  }

  check(frames: readonly Frame[], expected: readonly Sent[]): void {
    const known = expected.filter(({ header }) => isKnownType(header.type));
    expect(frames.map(({ body: _, ...header }) => header)).toEqual(known.map(({ header }) => header));
    expect(this.asked).toEqual(known.filter(({ body }) => body.length > 0).map(({ header }) => header));
    for (const [index, frame] of frames.entries()) {
      const body = known[index]?.body ?? new Uint8Array(0);
      const skipped = body.length > 0 && Owner.wish(frame) === 'skip';
      expect(Buffer.compare(frame.body, skipped ? new Uint8Array(0) : body)).toBe(0);
      expect(this.given.has(frame.body)).toBe(body.length > 0 && Owner.wish(frame) === 'place');
    }
    for (const memory of this.given) {
      const whole = new Uint8Array(memory.buffer);
      expect([...whole.subarray(0, 8), ...whole.subarray(8 + memory.length)].every((byte) => byte === 0)).toBe(true);
    }
  }
}

/** Cuts bytes into chunks of the given lengths, repeated as long as there are bytes. */
function* cut(bytes: Uint8Array, lengths: readonly number[]): Generator<Uint8Array> {
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const length = lengths[turn % lengths.length] ?? 1;
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

/** Drives the reader as a socket does: fills at most target(), in reads of any length. */
function* drive(reader: FrameReader, bytes: Uint8Array, lengths: readonly number[]): Generator<Frame> {
  for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
    const target = reader.target();
    expect(target.length).toBeGreaterThan(0);
    const length = Math.min(lengths[turn % lengths.length] ?? 1, target.length, bytes.length - at);
    target.set(bytes.subarray(at, at + length));
    at += length;
    const frame = reader.advance(length);
    if (frame) yield frame;
  }
}

const cuts = fc.array(fc.integer({ min: 1, max: 100 }), { minLength: 1, maxLength: 20 });

describe('any split of any frame sequence', () => {
  test('decodes to the same frames when chunks are fed', () => {
    fc.assert(
      fc.property(fc.array(sent, { maxLength: 12 }), cuts, (sequence, lengths) => {
        const owner = new Owner();
        const frames: Frame[] = [];
        for (const chunk of cut(Buffer.concat(sequence.map(bytesOf)), lengths))
          frames.push(...owner.reader.feed(chunk));
        owner.check(frames, sequence);
      }),
      { numRuns: 1000 },
    );
  });

  test('decodes to the same frames when a socket reads into target()', () => {
    fc.assert(
      fc.property(fc.array(sent, { maxLength: 12 }), cuts, (sequence, lengths) => {
        const owner = new Owner();
        owner.check([...drive(owner.reader, Buffer.concat(sequence.map(bytesOf)), lengths)], sequence);
      }),
      { numRuns: 1000 },
    );
  });

  test('also byte by byte, and all at once', () => {
    const sequence: Sent[] = KNOWN_TYPES.map((type, id) => {
      const body = BODILESS.includes(type) ? new Uint8Array(0) : new Uint8Array(40).fill(id + 1);
      return { header: { lengthBytes: body.length, type, flags: 1, id, aux: 2 ** 32 - 1 - id }, body };
    });
    const bytes = Buffer.concat(sequence.map(bytesOf));
    for (const length of [1, bytes.length]) {
      const fed = new Owner();
      fed.check(
        [...cut(bytes, [length])].flatMap((chunk) => [...fed.reader.feed(chunk)]),
        sequence,
      );
      const driven = new Owner();
      driven.check([...drive(driven.reader, bytes, [length])], sequence);
    }
  });

  test('a skipped body may be longer than the memory that skipping takes', () => {
    const body = new Uint8Array(3 * 64 * 1024 + 5).fill(7);
    const reader = new FrameReader(() => 'skip');
    const frames = [
      ...reader.feed(encodeFrame(FrameType.Piece, { id: 1, body })),
      ...reader.feed(encodeFrame(FrameType.Ping)),
    ];
    expect(frames.map(({ type, body: { length } }) => [type, length])).toEqual([
      [FrameType.Piece, 0],
      [FrameType.Ping, 0],
    ]);
  });
});

describe('whatever bytes come', () => {
  /** Gives the count of frames, or lets through only a ProtocolViolation. */
  function outcome(bytes: Uint8Array, lengths: readonly number[]): number | 'violation' {
    const reader = new FrameReader(({ id }) => (id % 2 === 0 ? 'skip' : 'buffer'));
    let count = 0;
    try {
      for (const chunk of cut(bytes, lengths)) for (const _ of reader.feed(chunk)) count += 1;
      return count;
    } catch (error) {
      if (error instanceof ProtocolViolation) return 'violation';
      throw error;
    }
  }

  test('random bytes give frames or a ProtocolViolation, however they are cut', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), cuts, (bytes, lengths) => {
        expect(outcome(bytes, lengths)).toBe(outcome(bytes, [400]));
      }),
      { numRuns: 2000 },
    );
  });

  test('so do good frames with bytes changed', () => {
    const change = fc.record({ at: fc.nat(), to: fc.nat(255) });
    const seen = new Set<string>();
    fc.assert(
      fc.property(
        fc.array(sent, { minLength: 1, maxLength: 6 }),
        fc.array(change, { maxLength: 4 }),
        (sequence, changes) => {
          const bytes = Buffer.concat(sequence.map(bytesOf));
          for (const { at, to } of changes) bytes[at % bytes.length] = to;
          seen.add(typeof outcome(bytes, [bytes.length]));
        },
      ),
      { numRuns: 2000 },
    );
    expect(seen).toEqual(new Set(['number', 'string']));
  });
});

describe('a header', () => {
  test('survives writing and reading', () => {
    fc.assert(
      fc.property(sent, fc.nat(7), ({ header }, at) => {
        const memory = new Uint8Array(FRAME_HEADER_BYTES + 7);
        writeHeader(memory, at, header);
        expect(readHeader(memory.subarray(at))).toEqual(header);
      }),
    );
  });

  test('lies on the wire as documented: little endian, 16 bytes', () => {
    const frame = encodeFrame(FrameType.Piece, { id: 0x01020304, aux: 0x0a0b0c0d, flags: 5, body: Buffer.from('hi') });
    expect(toHex(frame)).toBe(['02000000', '27', '05', '0000', '04030201', '0d0c0b0a', '6869'].join(''));
  });

  const refused = (header: Partial<FrameHeader>, change?: (bytes: Uint8Array) => void) => () => {
    const bytes = new Uint8Array(FRAME_HEADER_BYTES);
    writeHeader(bytes, 0, { lengthBytes: 0, type: FrameType.Ping, flags: 0, id: 0, aux: 0, ...header });
    change?.(bytes);
    let asked = false;
    const reader = new FrameReader(() => {
      asked = true;
      return 'skip';
    });
    expect(() => [...reader.feed(bytes)]).toThrow(ProtocolViolation);
    expect(asked).toBe(false);
  };

  test.each(KNOWN_TYPES)('of type %i is refused above its limit before anyone is asked for memory', (type) => {
    const limit = type === FrameType.Opened ? 32 * 1024 * 1024 : PIECE_BYTES_MAX;
    refused({ type, lengthBytes: limit + 1 })();
    if (BODILESS.includes(type)) refused({ type, lengthBytes: 1 })();
  });

  test('of an unknown type is skipped below 128, with a limit, and ends the connection from there on', () => {
    refused({ type: 127, lengthBytes: CONTROL_BODY_BYTES_MAX + 1 })();
    for (let type = FIRST_CRITICAL_TYPE; type <= 255; type += 1) refused({ type })();
  });

  test('with a reserved field set is refused', () => {
    for (const at of [6, 7]) refused({}, (bytes) => bytes.fill(1, at, at + 1))();
  });

  test('names a length up to the very limit', () => {
    const header = { lengthBytes: PIECE_BYTES_MAX, type: FrameType.Piece, flags: 0, id: 1, aux: 2 };
    const bytes = new Uint8Array(FRAME_HEADER_BYTES);
    writeHeader(bytes, 0, header);
    expect(readHeader(bytes)).toEqual(header);
  });
});

describe('mistakes of ours stop the process', () => {
  test('memory of the wrong length for a body', () => {
    const reader = new FrameReader(() => new Uint8Array(3));
    expect(() => [...reader.feed(encodeFrame(FrameType.Call, { body: new Uint8Array(4) }))]).toThrow(/invariant/);
  });

  test('more bytes than target() had room for', () => {
    const reader = new FrameReader(() => 'buffer');
    expect(() => reader.advance(FRAME_HEADER_BYTES + 1)).toThrow(/invariant/);
  });

  test('a body above the limit of its type', () => {
    expect(() => encodeFrame(FrameType.Ping, { body: new Uint8Array(1) })).toThrow(/invariant/);
  });
});
