/**
 * Which piece to ask of a peer next: the rarest that it has, random among equals, and where nothing speaks against it
 * the one that follows the last, so that disks on both ends see runs instead of single pieces.
 *
 * PURE bookkeeping. A piece is outside (locked, taken or done) or missing. Missing pieces lie in `order`, sorted by
 * availability; `bucketStart[a]` is where those of availability a begin, so that a change by one is one swap.
 * 10 bytes a piece. take and release cost O(distinct availabilities); adding or removing a peer is linear in the pieces.
 */
import type { Bitfield } from '../../protocol/bitfield.ts';
import { invariant } from '../../protocol/errors.ts';

interface PickerPeer {
  readonly have: Bitfield;
  /** Missing pieces that it has. Zero: nothing to look for. */
  wanted: number;
  lastTaken: number;
}

const OUTSIDE = 0xffffffff;
/** Blind draws from a bucket. If all miss, a small bucket is looked through; of a large one the peer has too little. */
const DRAWS = 8;
const LOOK_THROUGH_MAX = 256;

export class Picker<K> {
  readonly #availability: Uint16Array;
  readonly #order: Uint32Array;
  readonly #position: Uint32Array;
  #bucketStart: number[] = [0];
  #missing = 0;
  readonly #peers = new Map<K, PickerPeer>();
  readonly #random: () => number;

  /** All pieces begin outside. `random` draws from 0 up to 1. */
  constructor(pieceCount: number, random: () => number) {
    this.#availability = new Uint16Array(pieceCount);
    this.#order = new Uint32Array(pieceCount);
    this.#position = new Uint32Array(pieceCount).fill(OUTSIDE);
    this.#random = random;
  }

  /** Pieces that may be picked. */
  get missing(): number {
    return this.#missing;
  }

  /** Those of them that some peer has. */
  get reachable(): number {
    return this.#missing - this.#start(1);
  }

  isMissing(index: number): boolean {
    return this.#position[index] !== OUTSIDE;
  }

  addPeer(key: K, have: Bitfield): void {
    invariant(!this.#peers.has(key), 'a peer is added once');
    this.#peers.set(key, { have, wanted: 0, lastTaken: -2 });
    this.#count(have, 1);
    this.#rebuild();
  }

  removePeer(key: K): void {
    const peer = this.#peers.get(key);
    if (!peer) return;
    this.#peers.delete(key);
    this.#count(peer.have, -1);
    this.#rebuild();
  }

  has(key: K, index: number): boolean {
    return this.#peers.get(key)?.have.has(index) ?? false;
  }

  /** A peer has one more piece. False when that was known. */
  peerGained(key: K, index: number): boolean {
    const peer = this.#peers.get(key);
    if (!peer?.have.set(index)) return false;
    this.#availability[index] = (this.#availability[index] ?? 0) + 1;
    if (!this.isMissing(index)) return true;
    peer.wanted += 1;
    this.#raise(index);
    return true;
  }

  /** A peer turned out not to have a piece. */
  peerLacks(key: K, index: number): void {
    const peer = this.#peers.get(key);
    if (!peer?.have.clear(index)) return;
    this.#availability[index] = (this.#availability[index] ?? 0) - 1;
    if (!this.isMissing(index)) return;
    peer.wanted -= 1;
    this.#lower(index);
  }

  /** Makes a run of pieces missing: their digests are known now. Those that `skip` names stay outside. */
  unlock(firstIndex: number, count: number, skip: (index: number) => boolean): void {
    for (let index = firstIndex; index < firstIndex + count; index += 1) {
      if (!skip(index)) this.#position[index] = 0;
    }
    this.#rebuild();
  }

  /** Takes the best missing piece that a peer has; undefined when it has none. */
  take(key: K): number | undefined {
    const peer = this.#peers.get(key);
    if (!peer || peer.wanted === 0) return undefined;
    const index = this.#next(peer) ?? this.#rarest(peer);
    this.#remove(index);
    peer.lastTaken = index;
    return index;
  }

  /** Missing pieces that a peer has. */
  wantedOf(key: K): number {
    return this.#peers.get(key)?.wanted ?? 0;
  }

  /** A piece need not be picked any more. */
  remove(index: number): void {
    if (this.isMissing(index)) this.#remove(index);
  }

  /** A taken piece is missing again. */
  putBack(index: number): void {
    if (this.isMissing(index)) return;
    for (const peer of this.#peers.values()) if (peer.have.has(index)) peer.wanted += 1;
    // Enters at the top bucket's end, then sinks to its own.
    const availability = this.#availability[index] ?? 0;
    while (this.#bucketStart.length <= availability) this.#bucketStart.push(this.#missing);
    this.#order[this.#missing] = index;
    this.#position[index] = this.#missing;
    this.#missing += 1;
    for (let bucket = this.#bucketStart.length - 1; bucket > availability; bucket -= 1) {
      this.#swap(this.#positionOf(index), this.#start(bucket));
      this.#bucketStart[bucket] = this.#start(bucket) + 1;
    }
  }

  /** The piece after the last one taken from this peer, unless a rarer one waits. */
  #next(peer: PickerPeer): number | undefined {
    const index = peer.lastTaken + 1;
    if (!peer.have.has(index) || !this.isMissing(index)) return undefined;
    const rarest = this.#order[this.#start(1)] ?? 0;
    return this.#availability[index] === this.#availability[rarest] ? index : undefined;
  }

  #rarest(peer: PickerPeer): number {
    for (let bucket = 1; bucket < this.#bucketStart.length; bucket += 1) {
      const start = this.#start(bucket);
      const size = this.#end(bucket) - start;
      if (size === 0) continue;
      for (let draw = 0; draw < DRAWS; draw += 1) {
        const index = this.#order[start + Math.floor(this.#random() * size)] ?? 0;
        if (peer.have.has(index)) return index;
      }
      if (size > LOOK_THROUGH_MAX) continue;
      const found = this.#search(peer, start, start + size);
      if (found !== undefined) return found;
    }
    const found = this.#search(peer, this.#start(1), this.#missing);
    invariant(found !== undefined, 'a peer with wanted pieces has one');
    return found;
  }

  /** The first piece that the peer has in a stretch of the order. */
  #search(peer: PickerPeer, from: number, to: number): number | undefined {
    for (let at = from; at < to; at += 1) {
      const index = this.#order[at] ?? 0;
      if (peer.have.has(index)) return index;
    }
    return undefined;
  }

  #remove(index: number): void {
    for (const peer of this.#peers.values()) if (peer.have.has(index)) peer.wanted -= 1;
    // Rises through the buckets to the end of all, which is cut off.
    for (let bucket = (this.#availability[index] ?? 0) + 1; bucket < this.#bucketStart.length; bucket += 1) {
      this.#bucketStart[bucket] = this.#start(bucket) - 1;
      this.#swap(this.#positionOf(index), this.#start(bucket));
    }
    this.#missing -= 1;
    this.#swap(this.#positionOf(index), this.#missing);
    this.#position[index] = OUTSIDE;
  }

  /** Availability has grown by one: from its bucket's end into the next bucket's beginning. */
  #raise(index: number): void {
    const bucket = this.#availability[index] ?? 0;
    while (this.#bucketStart.length <= bucket) this.#bucketStart.push(this.#missing);
    this.#bucketStart[bucket] = this.#start(bucket) - 1;
    this.#swap(this.#positionOf(index), this.#start(bucket));
  }

  /** Availability has shrunk by one: from its bucket's beginning to the end of the one before. */
  #lower(index: number): void {
    const bucket = (this.#availability[index] ?? 0) + 1;
    this.#swap(this.#positionOf(index), this.#start(bucket));
    this.#bucketStart[bucket] = this.#start(bucket) + 1;
  }

  #start(bucket: number): number {
    return this.#bucketStart[bucket] ?? this.#missing;
  }

  #end(bucket: number): number {
    return this.#start(bucket + 1);
  }

  #positionOf(index: number): number {
    return this.#position[index] ?? OUTSIDE;
  }

  #swap(a: number, b: number): void {
    const pieceA = this.#order[a] ?? 0;
    const pieceB = this.#order[b] ?? 0;
    this.#order[a] = pieceB;
    this.#order[b] = pieceA;
    this.#position[pieceA] = b;
    this.#position[pieceB] = a;
  }

  #count(have: Bitfield, change: 1 | -1): void {
    for (let index = 0; index < have.length; index += 1) {
      if (have.has(index)) this.#availability[index] = (this.#availability[index] ?? 0) + change;
    }
  }

  /** Sorts the missing pieces by availability (a counting sort) and counts what each peer has of them. */
  #rebuild(): void {
    const counts: number[] = [];
    for (let index = 0; index < this.#position.length; index += 1) {
      if (this.#position[index] === OUTSIDE) continue;
      const availability = this.#availability[index] ?? 0;
      while (counts.length <= availability) counts.push(0);
      counts[availability] = (counts[availability] ?? 0) + 1;
    }
    this.#bucketStart = [];
    this.#missing = 0;
    for (const count of counts) {
      this.#bucketStart.push(this.#missing);
      this.#missing += count;
    }
    if (this.#bucketStart.length === 0) this.#bucketStart.push(0);
    const next = [...this.#bucketStart];
    for (let index = 0; index < this.#position.length; index += 1) {
      if (this.#position[index] === OUTSIDE) continue;
      const availability = this.#availability[index] ?? 0;
      const at = next[availability] ?? 0;
      next[availability] = at + 1;
      this.#order[at] = index;
      this.#position[index] = at;
    }
    for (const peer of this.#peers.values()) peer.wanted = this.#countWanted(peer.have);
  }

  #countWanted(have: Bitfield): number {
    if (have.complete) return this.#missing;
    let wanted = 0;
    for (let at = 0; at < this.#missing; at += 1) if (have.has(this.#order[at] ?? 0)) wanted += 1;
    return wanted;
  }
}
