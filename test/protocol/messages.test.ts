/**
 * Messages: what a schema allows survives the wire and fits its frame; anything else, down to single changed bytes, is
 * a value of the schema or a ProtocolViolation.
 */
import fc from 'fast-check';
import type * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { decodeCbor, encodeCbor } from '../../src/protocol/cbor.ts';
import { ProtocolViolation, RequestError } from '../../src/protocol/errors.ts';
import { CONTROL_BODY_BYTES_MAX, SMALL_BODY_BYTES_MAX } from '../../src/protocol/limits.ts';
import {
  decodeCall,
  decodeResult,
  encodeCall,
  encodeHello,
  failureSchema,
  helloSchema,
  METHODS,
  type Method,
  openSchema,
  pushSchema,
} from '../../src/protocol/messages.ts';
import { openSessionToken, openTicket } from '../../src/protocol/ticket.ts';
import { readEntry } from '../../src/protocol/transaction.ts';
import { comparable } from '../support/comparable.ts';
import { arbitraryOf, largestOf } from '../support/schemas.ts';

const methods = Object.keys(METHODS) as Method[];
const call = (method: Method) => arbitraryOf(METHODS[method].params) as fc.Arbitrary<never>;

/** Everything that reads bytes of another machine. */
const readers: readonly [string, (body: Uint8Array) => unknown][] = [
  ['a call', decodeCall],
  ['a push', (body) => decodeCbor(pushSchema, body, 'push')],
  ['a failure', (body) => decodeCbor(failureSchema, body, 'failure')],
  ['a hello', (body) => decodeCbor(helloSchema, body, 'hello')],
  ['an open', (body) => decodeCbor(openSchema, body, 'open')],
  ['a transaction', (body) => readEntry({ body, signature: new Uint8Array(64) })],
  ['a ticket', (body) => openTicket({ body, signature: new Uint8Array(64) }, () => true, 0)],
  ['a session token', (body) => openSessionToken({ body, signature: new Uint8Array(64) }, () => true, 0)],
  ...methods.map((method): [string, (body: Uint8Array) => unknown] => [
    `an answer to ${method}`,
    (body) => decodeResult(method, body),
  ]),
];

/** A value, or one of the two errors that outside bytes may cause. Anything else is a bug and fails the test. */
function outcome(read: (body: Uint8Array) => unknown, body: Uint8Array): 'value' | 'refused' {
  try {
    read(body);
    return 'value';
  } catch (error) {
    if (error instanceof ProtocolViolation || error instanceof RequestError) return 'refused';
    throw error;
  }
}

describe('what a schema allows', () => {
  test.each(methods)('%s: calls and answers survive the wire', (method) => {
    fc.assert(
      fc.property(call(method), (params) => {
        expect(comparable(decodeCall(encodeCall(method, params)))).toEqual(comparable({ method, params }));
      }),
    );
    fc.assert(
      fc.property(arbitraryOf(METHODS[method].result), (result) => {
        expect(comparable(decodeResult(method, encodeCbor(result)))).toEqual(comparable(result));
      }),
    );
  });

  test('pushes survive the wire', () => {
    fc.assert(
      fc.property(arbitraryOf(pushSchema), (push) => {
        expect(decodeCbor(pushSchema, encodeCbor(push), 'push')).toEqual(push);
      }),
    );
  });

  test('our hello is one', () => {
    expect(decodeCbor(helloSchema, encodeHello(['x']), 'hello')).toMatchObject({ version: 1, features: ['x'] });
  });

  test.each(methods)('%s fits its frame at its largest', (method) => {
    const params = largestOf(METHODS[method].params);
    expect(encodeCbor({ method, params }).length).toBeLessThanOrEqual(CONTROL_BODY_BYTES_MAX);
    expect(encodeCbor(largestOf(METHODS[method].result)).length).toBeLessThanOrEqual(CONTROL_BODY_BYTES_MAX);
  });

  test('pushes, refusals and hellos fit theirs', () => {
    for (const option of pushSchema.options) {
      expect(encodeCbor(largestOf(option)).length).toBeLessThanOrEqual(CONTROL_BODY_BYTES_MAX);
    }
    for (const schema of [failureSchema, helloSchema, openSchema] as v.GenericSchema[]) {
      expect(encodeCbor(largestOf(schema)).length).toBeLessThanOrEqual(SMALL_BODY_BYTES_MAX);
    }
  });
});

describe('a call', () => {
  test('of a method that this version does not know is undefined, not a violation', () => {
    for (const method of ['fly', 'constructor', '__proto__', 'toString', '']) {
      expect(decodeCall(encodeCbor({ method, params: {} }))).toBeUndefined();
    }
  });

  test('loses the fields that its schema does not name', () => {
    const body = encodeCbor({ method: 'list_groups', params: { extra: 1 }, extra: 2 });
    expect(decodeCall(body)).toEqual({ method: 'list_groups', params: {} });
  });

  test.each([
    ['no params', { method: 'list_groups' }],
    ['a name that is no text', { method: 'list_files', params: { group: 5 } }],
    ['an id that is too short', { method: 'logout', params: { requestId: 'ab' } }],
    ['an id in capitals', { method: 'logout', params: { requestId: 'A'.repeat(32) } }],
    ['no id', { method: 'logout', params: {} }],
    ['a list', []],
    ['nothing', null],
  ])('with %s is a violation', (_, value) => {
    expect(() => decodeCall(encodeCbor(value))).toThrow(ProtocolViolation);
  });

  test.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '5', null])(
    'with the size %s is a violation',
    (sizeBytes) => {
      const id = 'a'.repeat(32);
      const params = { requestId: id, group: 'g', name: 'n', pieceSizeBytes: 16384, root: 'b'.repeat(64) };
      expect(decodeCall(encodeCbor({ method: 'add_file', params: { ...params, sizeBytes: 5 } }))).toBeDefined();
      expect(() => decodeCall(encodeCbor({ method: 'add_file', params: { ...params, sizeBytes } }))).toThrow(
        ProtocolViolation,
      );
    },
  );
});

describe.each(readers)('the reader of %s', (_, read) => {
  test('takes random bytes, random CBOR and changed messages without surprise', () => {
    const anyMessage = fc.oneof(
      fc.constantFrom(...methods).chain((method) => call(method).map((params) => ({ method, params }))),
      ...methods.map((method) => arbitraryOf(METHODS[method].result)),
      arbitraryOf(pushSchema),
      arbitraryOf(failureSchema),
      fc.object({ withNullPrototype: false }),
    );
    const change = fc.record({ at: fc.nat(), to: fc.nat(255), drop: fc.boolean() });
    fc.assert(
      fc.property(anyMessage, fc.array(change, { maxLength: 3 }), (message, changes) => {
        let bytes = Buffer.from(encodeCbor(message));
        outcome(read, bytes);
        for (const { at, to, drop } of changes) {
          const position = at % bytes.length;
          if (drop && bytes.length > 1)
            bytes = Buffer.concat([bytes.subarray(0, position), bytes.subarray(position + 1)]);
          else bytes[position] = to;
        }
        outcome(read, bytes);
      }),
      { numRuns: 300 },
    );
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => void outcome(read, bytes)));
  });
});
