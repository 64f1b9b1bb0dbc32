/** One bit for each piece, most significant bit first, and how many are set. Bits past the end are zero. */
import { ProtocolViolation } from './errors.ts';

export class Bitfield {
  readonly length: number;
  readonly #bytes: Uint8Array;
  /** The same memory in steps of 32, for searches. */
  readonly #words: Uint32Array;
  #count = 0;

  constructor(length: number) {
    this.length = length;
    this.#words = new Uint32Array(Math.ceil(length / 32));
    this.#bytes = new Uint8Array(this.#words.buffer, 0, Math.ceil(length / 8));
  }

  static full(length: number): Bitfield {
    const bits = new Bitfield(length);
    bits.#bytes.fill(0xff);
    if (length % 8 !== 0) bits.#bytes[bits.#bytes.length - 1] = (0xff << (8 - (length % 8))) & 0xff;
    bits.#count = length;
    return bits;
  }

  /** Reads what toBytes wrote. Throws ProtocolViolation on a wrong length or a bit set past the end. */
  static fromBytes(bytes: Uint8Array, length: number): Bitfield {
    if (bytes.length !== Math.ceil(length / 8)) throw new ProtocolViolation('bitfield of the wrong length');
    const bits = new Bitfield(length);
    bits.#bytes.set(bytes);
    if (length % 8 !== 0 && ((bytes.at(-1) ?? 0) & (0xff >> (length % 8))) !== 0) {
      throw new ProtocolViolation('bitfield with bits past its end');
    }
    for (const byte of bytes) bits.#count += POPULATION[byte] ?? 0;
    return bits;
  }

  get count(): number {
    return this.#count;
  }

  get complete(): boolean {
    return this.#count === this.length;
  }

  has(index: number): boolean {
    return index >= 0 && index < this.length && ((this.#bytes[index >> 3] ?? 0) & (0x80 >> (index & 7))) !== 0;
  }

  /** Sets a bit; false when it was set already or lies outside. */
  set(index: number): boolean {
    if (index < 0 || index >= this.length || this.has(index)) return false;
    this.#bytes[index >> 3] = (this.#bytes[index >> 3] ?? 0) | (0x80 >> (index & 7));
    this.#count += 1;
    return true;
  }

  /** Clears a bit; false when it was clear already. */
  clear(index: number): boolean {
    if (!this.has(index)) return false;
    this.#bytes[index >> 3] = (this.#bytes[index >> 3] ?? 0) & ~(0x80 >> (index & 7));
    this.#count -= 1;
    return true;
  }

  /** How many bits are set in both. */
  countCommon(other: Bitfield): number {
    if (this.complete) return other.count;
    if (other.complete) return this.count;
    let count = 0;
    for (let at = 0; at < this.#bytes.length; at += 1) {
      count += POPULATION[(this.#bytes[at] ?? 0) & (other.#bytes[at] ?? 0)] ?? 0;
    }
    return count;
  }

  /** The first bit from `from` on that is set in both. */
  nextCommon(other: Bitfield, from: number): number | undefined {
    const end = Math.min(this.length, other.length);
    let index = from;
    while (index < end) {
      if (((this.#words[index >>> 5] ?? 0) & (other.#words[index >>> 5] ?? 0)) === 0) index = ((index >>> 5) + 1) * 32;
      else if (this.has(index) && other.has(index)) return index;
      else index += 1;
    }
    return undefined;
  }

  /** A copy of the bits, as they cross the wire. */
  toBytes(): Uint8Array {
    return this.#bytes.slice();
  }
}

const POPULATION = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll('0', '').length);
