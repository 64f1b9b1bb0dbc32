/**
 * CBOR bodies: plain values survive; everything else is refused by its shape, before the decoder gets to see a tag, a
 * cycle, or a length that promises more than there is.
 */
import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { checkValue, decodeCbor, encodeCbor } from '../../src/protocol/cbor.ts';
import { cborFault } from '../../src/protocol/cbor-shape.ts';
import { ProtocolViolation } from '../../src/protocol/errors.ts';
import { CBOR_DEPTH_MAX } from '../../src/protocol/limits.ts';
import { comparable } from '../support/comparable.ts';

const key = fc.string({ unit: 'grapheme', maxLength: 10 }).filter((text) => text !== '__proto__');
const { plain } = fc.letrec((tie) => ({
  plain: fc.oneof(
    { depthSize: 'small', maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.double({ noNaN: true }).map((value) => (value === 0 ? 0 : value)),
    fc.string({ unit: 'grapheme' }),
    fc.uint8Array(),
    fc.array(tie('plain'), { maxLength: 5 }),
    fc.dictionary(key, tie('plain'), { maxKeys: 5, noNullPrototype: true }),
  ),
}));

describe('plain values', () => {
  test('come back as they were', () => {
    fc.assert(
      fc.property(plain, (value) => {
        expect(comparable(decodeCbor(v.unknown(), encodeCbor(value), 'body'))).toEqual(comparable(value));
      }),
      { numRuns: 1000 },
    );
  });

  test('are refused when anything is missing from their end, or follows it', () => {
    fc.assert(
      fc.property(plain, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 4 }), (value, shorter, more) => {
        const bytes = encodeCbor(value);
        expect(cborFault(bytes)).toBeUndefined();
        expect(cborFault(bytes.subarray(0, shorter % bytes.length))).toBeDefined();
        expect(cborFault(Buffer.concat([bytes, more]))).toBe('bytes follow its end');
      }),
    );
  });
});

describe('what is not ours', () => {
  test.each([
    ['a date', 'c11a5f5e1000'],
    ['a big number', 'c249010000000000000000'],
    ['an object of a class', 'd81b82654572726f7261'],
    ['a value that contains itself', 'd81c8201d81d00'],
    ['a record definition', 'd9dfff8219e000816161'],
    ['a set', 'd9010283010203'],
    ['an array of indefinite length', '9f0102ff'],
    ['a map of indefinite length', 'bf616101ff'],
    ['a string in parts', '7f61616162ff'],
    ['a number as key', 'a10102'],
    ['bytes as key', 'a1416102'],
    ['a map as key', 'a1a002'],
    ['an unknown simple value', 'f0'],
    ['a simple value in two bytes', 'f818'],
    ['a stray break', 'ff'],
    ['nothing at all', ''],
    ['an array that claims more items than bytes', '99400001'],
    ['an array of 2^64 - 1 items', '9bffffffffffffffff'],
    ['a map of 2^32 - 1 entries', 'baffffffff'],
    ['a string of 2^63 bytes', '7b8000000000000000'],
    ['bytes past the end', '42ff'],
  ])('%s is refused', (_, hex) => {
    expect(cborFault(Buffer.from(hex, 'hex'))).toBeDefined();
    expect(() => decodeCbor(v.unknown(), Buffer.from(hex, 'hex'), 'body')).toThrow(ProtocolViolation);
  });

  test.each([
    ['9940000102', 'more items than bytes'],
    ['a30102', 'more items than bytes'],
    ['5a0000000501', 'a string is longer than the body'],
    ['9bffffffffffffffff', 'more than 16384 items'],
  ])('a length in %s is refused at its head, before anything is read for it', (hex, fault) => {
    expect(cborFault(Buffer.from(hex, 'hex'))).toBe(fault);
  });

  test('nesting has a limit', () => {
    const nested = (depth: number) => Buffer.concat([new Uint8Array(depth).fill(0x81), Buffer.from([0x01])]);
    expect(cborFault(nested(CBOR_DEPTH_MAX))).toBeUndefined();
    expect(cborFault(nested(CBOR_DEPTH_MAX + 1))).toBeDefined();
    expect(cborFault(nested(200_000))).toBeDefined();
  });

  test('random bytes give a value or a ProtocolViolation', () => {
    const seen = new Set<string>();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          decodeCbor(v.unknown(), bytes, 'body');
          seen.add('value');
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolViolation);
          seen.add('violation');
        }
      }),
      { numRuns: 5000 },
    );
    expect(seen).toEqual(new Set(['value', 'violation']));
  });

  test('no key reaches an object’s prototype', () => {
    const body = Buffer.from('a1695f5f70726f746f5f5fa1616101', 'hex');
    const value = decodeCbor(v.unknown(), body, 'body');
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(value).not.toHaveProperty('a');
  });

  test('a reason stays short, whatever was sent', () => {
    const schema = v.record(v.pipe(v.string(), v.maxLength(3)), v.number());
    const refuse = () => checkValue(schema, { ['x'.repeat(100_000)]: 'y'.repeat(100_000) }, 'body');
    expect(refuse).toThrow(ProtocolViolation);
    expect(refuse).toThrow(expect.objectContaining({ message: expect.stringMatching(/^.{1,300}$/s) }));
  });
});
