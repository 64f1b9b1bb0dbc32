/**
 * Missing pieces, rarest first: those that a picker looks at now. PURE bookkeeping.
 *
 * Pieces are looked at by blocks of BLOCK_PIECES, BLOCKS_MAX of them at once, so that time and memory depend on these
 * and not on the file's size; up to 32,768 pieces all blocks are open. A piece of an open block has a spot. Missing ones
 * lie in `order`, sorted by availability; `bucketStart[a]` is where those of availability a begin, so that a change by
 * one is one swap. insert and remove cost O(distinct availabilities); opening a block is linear in the open ones.
 */
import type { Bitfield } from '../../protocol/bitfield.ts';
import { invariant } from '../../protocol/errors.ts';

const BLOCK_BITS = 12;
export const BLOCK_PIECES = 2 ** BLOCK_BITS;
const BLOCKS_MAX = 8;
const OUTSIDE = 0xffffffff;
const CLOSED = -1;

export class RarityOrder {
  readonly pieceCount: number;
  readonly blockCount: number;
  /** Of each block: its first spot, or CLOSED. */
  readonly #spots: Int32Array;
  /** Of each stretch of spots: its block. */
  readonly #blocks: Int32Array;
  readonly #freeStretches: number[] = [];
  /** Of each stretch of spots: pieces in order. */
  readonly #counts: Int32Array;
  readonly #availability: Uint16Array;
  readonly #order: Uint32Array;
  readonly #position: Uint32Array;
  #bucketStart: number[] = [0];
  #size = 0;

  constructor(pieceCount: number) {
    this.pieceCount = pieceCount;
    this.blockCount = Math.ceil(pieceCount / BLOCK_PIECES);
    const stretches = Math.min(BLOCKS_MAX, this.blockCount);
    const spots = Math.min(pieceCount, stretches * BLOCK_PIECES);
    this.#spots = new Int32Array(this.blockCount).fill(CLOSED);
    this.#blocks = new Int32Array(stretches).fill(CLOSED);
    this.#counts = new Int32Array(stretches);
    for (let stretch = stretches - 1; stretch >= 0; stretch -= 1) this.#freeStretches.push(stretch);
    this.#availability = new Uint16Array(spots);
    this.#order = new Uint32Array(spots);
    this.#position = new Uint32Array(spots).fill(OUTSIDE);
  }

  /** Pieces in order. */
  get size(): number {
    return this.#size;
  }

  /** One above the highest availability that occurs. */
  get bucketCount(): number {
    return this.#bucketStart.length;
  }

  get hasRoom(): boolean {
    return this.#freeStretches.length > 0;
  }

  start(bucket: number): number {
    return this.#bucketStart[bucket] ?? this.#size;
  }

  /** The piece at a place in the order. */
  at(place: number): number {
    const spot = this.#order[place] ?? 0;
    return (this.#blocks[spot >>> BLOCK_BITS] ?? 0) * BLOCK_PIECES + (spot & (BLOCK_PIECES - 1));
  }

  isOpen(index: number): boolean {
    return this.#spotOf(index) >= 0;
  }

  /** How many have a piece of an open block. */
  availability(index: number): number {
    return this.#availability[this.#spotOf(index)] ?? 0;
  }

  /** Puts the missing pieces of a closed block in order. False when there are none. */
  open(block: number, missing: Bitfield, availabilityOf: (index: number) => number): boolean {
    invariant(this.#spots[block] === CLOSED, 'a block is opened once');
    const first = block * BLOCK_PIECES;
    const end = Math.min(first + BLOCK_PIECES, this.pieceCount);
    let stretch: number | undefined;
    for (let index = first; index < end; index += 1) {
      if (!missing.has(index)) continue;
      stretch ??= this.#freeStretches.pop();
      invariant(stretch !== undefined, 'a block is opened where there is room');
      this.#position[stretch * BLOCK_PIECES + index - first] = 0;
      this.#counts[stretch] = (this.#counts[stretch] ?? 0) + 1;
    }
    if (stretch === undefined) return false;
    const spot = stretch * BLOCK_PIECES;
    this.#spots[block] = spot;
    this.#blocks[stretch] = block;
    for (let index = first; index < end; index += 1) this.#availability[spot + index - first] = availabilityOf(index);
    return true;
  }

  /** Somebody came or went: the availability of what they have changes by so much. To be followed by sort(). */
  count(have: Bitfield, change: 1 | -1): void {
    for (const [stretch, block] of this.#blocks.entries()) {
      if (block === CLOSED) continue;
      const first = block * BLOCK_PIECES;
      const end = Math.min(first + BLOCK_PIECES, this.pieceCount);
      const spot = stretch * BLOCK_PIECES - first;
      for (let index = first; index < end; index += 1)
        if (have.has(index)) this.#availability[spot + index] = (this.#availability[spot + index] ?? 0) + change;
    }
  }

  /** One more has a piece: from its bucket's end into the next bucket's beginning. */
  raise(index: number): void {
    const spot = this.#spotOf(index);
    if (spot < 0) return;
    const bucket = (this.#availability[spot] ?? 0) + 1;
    this.#availability[spot] = bucket;
    const place = this.#position[spot] ?? OUTSIDE;
    if (place === OUTSIDE) return;
    while (this.#bucketStart.length <= bucket) this.#bucketStart.push(this.#size);
    const start = this.start(bucket) - 1;
    this.#bucketStart[bucket] = start;
    this.#swap(place, start);
  }

  /** One less has a piece: from its bucket's beginning to the end of the one before. */
  lower(index: number): void {
    const spot = this.#spotOf(index);
    if (spot < 0) return;
    const bucket = this.#availability[spot] ?? 0;
    this.#availability[spot] = bucket - 1;
    const place = this.#position[spot] ?? OUTSIDE;
    if (place === OUTSIDE) return;
    const start = this.start(bucket);
    this.#swap(place, start);
    this.#bucketStart[bucket] = start + 1;
  }

  /** Enters at the top bucket's end, then sinks to its own. A piece of a closed block is left alone. */
  insert(index: number): void {
    const spot = this.#spotOf(index);
    if (spot < 0) return;
    const stretch = spot >>> BLOCK_BITS;
    this.#counts[stretch] = (this.#counts[stretch] ?? 0) + 1;
    const availability = this.#availability[spot] ?? 0;
    while (this.#bucketStart.length <= availability) this.#bucketStart.push(this.#size);
    this.#order[this.#size] = spot;
    this.#position[spot] = this.#size;
    this.#size += 1;
    for (let bucket = this.#bucketStart.length - 1; bucket > availability; bucket -= 1) {
      const start = this.start(bucket);
      this.#swap(this.#position[spot] ?? 0, start);
      this.#bucketStart[bucket] = start + 1;
    }
  }

  /** Rises through the buckets to the end of all, which is cut off. True when that has emptied and closed its block. */
  remove(index: number): boolean {
    const spot = this.#spotOf(index);
    if (spot < 0) return false;
    for (let bucket = (this.#availability[spot] ?? 0) + 1; bucket < this.#bucketStart.length; bucket += 1) {
      const start = this.start(bucket) - 1;
      this.#bucketStart[bucket] = start;
      this.#swap(this.#position[spot] ?? 0, start);
    }
    this.#size -= 1;
    this.#swap(this.#position[spot] ?? 0, this.#size);
    this.#position[spot] = OUTSIDE;
    const stretch = spot >>> BLOCK_BITS;
    const left = (this.#counts[stretch] ?? 0) - 1;
    this.#counts[stretch] = left;
    if (left > 0) return false;
    this.#spots[index >>> BLOCK_BITS] = CLOSED;
    this.#blocks[stretch] = CLOSED;
    this.#freeStretches.push(stretch);
    return true;
  }

  /** Sorts by availability: a counting sort. */
  sort(): void {
    const sizes: number[] = [0];
    for (let spot = 0; spot < this.#position.length; spot += 1) {
      if (this.#position[spot] === OUTSIDE) continue;
      const availability = this.#availability[spot] ?? 0;
      while (sizes.length <= availability) sizes.push(0);
      sizes[availability] = (sizes[availability] ?? 0) + 1;
    }
    this.#bucketStart = [];
    this.#size = 0;
    for (const size of sizes) {
      this.#bucketStart.push(this.#size);
      this.#size += size;
    }
    const next = [...this.#bucketStart];
    for (let spot = 0; spot < this.#position.length; spot += 1) {
      if (this.#position[spot] === OUTSIDE) continue;
      const availability = this.#availability[spot] ?? 0;
      const place = next[availability] ?? 0;
      next[availability] = place + 1;
      this.#order[place] = spot;
      this.#position[spot] = place;
    }
  }

  #spotOf(index: number): number {
    const first = this.#spots[index >>> BLOCK_BITS] ?? CLOSED;
    return first < 0 ? first : first + (index & (BLOCK_PIECES - 1));
  }

  #swap(a: number, b: number): void {
    if (a === b) return;
    const spotA = this.#order[a] ?? 0;
    const spotB = this.#order[b] ?? 0;
    this.#order[a] = spotB;
    this.#order[b] = spotA;
    this.#position[spotA] = b;
    this.#position[spotB] = a;
  }
}
