/** The bitfield, held against a set of numbers through any sequence of changes. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Bitfield } from '../../src/protocol/bitfield.ts';
import { ProtocolViolation } from '../../src/protocol/errors.ts';

const change = fc.record({ do: fc.constantFrom('set', 'clear'), index: fc.integer({ min: -3, max: 45 }) });

function expectSame(bits: Bitfield, model: ReadonlySet<number>): void {
  expect(bits.count).toBe(model.size);
  expect(bits.complete).toBe(model.size === bits.length);
  for (let index = -3; index < bits.length + 3; index += 1) expect(bits.has(index)).toBe(model.has(index));
}

describe('a bitfield', () => {
  test('finds and counts what it has in common with another', () => {
    const numbers = fc.uniqueArray(fc.nat(149));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 150 }), numbers, numbers, fc.nat(160), (length, one, other, from) => {
        const [a, b] = [new Bitfield(length), new Bitfield(length)];
        for (const index of one) a.set(index);
        for (const index of other) b.set(index);
        const common = one.filter((index) => index < length && other.includes(index)).sort((x, y) => x - y);
        expect(a.countCommon(b)).toBe(common.length);
        expect(a.countCommon(Bitfield.full(length))).toBe(a.count);
        expect(a.nextCommon(b, from)).toBe(common.find((index) => index >= from));
      }),
    );
  });

  test('is a set of the numbers below its length', () => {
    fc.assert(
      fc.property(fc.nat(40), fc.array(change), (length, changes) => {
        const bits = new Bitfield(length);
        const model = new Set<number>();
        for (const { do: verb, index } of changes) {
          const changes = verb === 'set' ? index >= 0 && index < length && !model.has(index) : model.has(index);
          expect(bits[verb](index)).toBe(changes);
          if (changes && verb === 'set') model.add(index);
          if (changes && verb === 'clear') model.delete(index);
        }
        expectSame(bits, model);
        expectSame(Bitfield.fromBytes(bits.toBytes(), length), model);
      }),
      { numRuns: 500 },
    );
  });

  test('is full from the start when made so', () => {
    for (let length = 0; length <= 40; length += 1) {
      const full = Bitfield.full(length);
      expectSame(full, new Set(Array.from({ length }, (_, index) => index)));
      expectSame(Bitfield.fromBytes(full.toBytes(), length), new Set(Array.from({ length }, (_, index) => index)));
    }
  });

  test('crosses the wire with the first piece in the highest bit', () => {
    const bits = new Bitfield(10);
    bits.set(0);
    bits.set(9);
    expect([...bits.toBytes()]).toEqual([0b1000_0000, 0b0100_0000]);
  });

  test('gives a copy of its bytes, and takes one', () => {
    const bytes = Uint8Array.of(0x80);
    const bits = Bitfield.fromBytes(bytes, 8);
    bytes[0] = 0;
    bits.toBytes()[0] = 0;
    expect(bits.has(0)).toBe(true);
  });
});

describe('refused', () => {
  test('any other number of bytes', () => {
    fc.assert(
      fc.property(fc.nat(100), fc.nat(20), (length, byteCount) => {
        fc.pre(byteCount !== Math.ceil(length / 8));
        expect(() => Bitfield.fromBytes(new Uint8Array(byteCount), length)).toThrow(ProtocolViolation);
      }),
    );
  });

  test('any bit past the end', () => {
    for (let length = 1; length <= 40; length += 1) {
      for (let bit = length; bit < 8 * Math.ceil(length / 8); bit += 1) {
        const bytes = new Uint8Array(Math.ceil(length / 8));
        bytes[bit >> 3] = 0x80 >> (bit & 7);
        expect(() => Bitfield.fromBytes(bytes, length)).toThrow(ProtocolViolation);
      }
    }
  });
});
