/** The two kinds of errors, and how codes of a newer version are read. */
import { describe, expect, test } from 'vitest';
import { invariant, knownErrorCode, RequestError } from '../../src/protocol/errors.ts';

describe('a refusal', () => {
  test('has a kind by its code', () => {
    expect(new RequestError('wrong-password', 'no').kind).toBe('refused');
    expect(new RequestError('bad-request', 'no').kind).toBe('usage');
    expect(new RequestError('tracker-unreachable', 'no').kind).toBe('unreachable');
    expect(new RequestError('pin-mismatch', 'no').kind).toBe('integrity');
    expect(new RequestError('disk-full', 'no', 'make room')).toMatchObject({ kind: 'disk', hint: 'make room' });
  });

  test('with a code of a newer version counts as a plain refusal', () => {
    expect(knownErrorCode('name-taken')).toBe('name-taken');
    for (const code of ['from-the-future', 'toString', '__proto__', '']) expect(knownErrorCode(code)).toBe('internal');
  });
});

test('an invariant that does not hold throws, and one that holds does not', () => {
  expect(() => invariant(1 + 1 === 2, 'sums')).not.toThrow();
  expect(() => invariant(undefined, 'a thing is there')).toThrow('invariant violated: a thing is there');
});
