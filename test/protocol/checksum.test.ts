/** The native xxHash64 and the one in WebAssembly give the same sums: a disk may move to a machine that has only one. */
import { expect, test } from 'vitest';
import xxhash from 'xxhash-wasm';
import { checksum } from '../../src/protocol/checksum.ts';
import { seeded } from '../support/seeded.ts';

const { h64Raw } = await xxhash();

test('of no bytes it is what the specification says', () => {
  expect(checksum(new Uint8Array(0))).toBe(0xef46db3751d8e999n);
});

test.each([1, 31, 32, 33, 4096, 16_384, 524_288])(
  'of %i bytes in shared memory it is that of WebAssembly',
  (length) => {
    const random = seeded(length);
    const bytes = new Uint8Array(new SharedArrayBuffer(length + 64), 64, length);
    for (let at = 0; at < length; at += 1) bytes[at] = random() * 256;
    expect(checksum(bytes)).toBe(h64Raw(bytes));
  },
);
