/**
 * Which piece to ask of a peer next: the rarest that it has, random among equals, and where nothing speaks against it
 * the one that follows the last, so that disks on both ends see runs instead of single pieces.
 *
 * PURE bookkeeping. A piece is outside (locked, taken or done) or missing. Of a file of many pieces, only some blocks are
 * kept in order of rarity at a time (RarityOrder), chosen at random; a peer that has nothing there, or little, is asked
 * for what it gained lately, or for anything. Two bits a piece and one for each peer, and ten bytes for each of at most
 * 32,768 pieces. An operation costs O(peers + distinct availabilities); adding or removing a peer is linear in the pieces.
 */
import { Bitfield } from '../../protocol/bitfield.ts';
import { invariant } from '../../protocol/errors.ts';
import { BLOCK_PIECES, RarityOrder } from './rarity-order.ts';

interface PickerPeer {
  readonly have: Bitfield;
  /** Missing pieces that it has. Zero: nothing to look for. */
  wanted: number;
  lastTaken: number;
  /** The last missing pieces that it gained, the newest at `gained - 1`. */
  readonly recent: Uint32Array;
  gained: number;
  recentCount: number;
  /** Where to go on looking for anything at all. */
  cursor: number;
}

/** Blind draws from a bucket. */
const DRAWS = 8;
/** Pieces that one pick looks through at most where draws miss. Below that many, the rarest is found for certain. */
const LOOK_THROUGH_MAX = 256;
/** Blind draws are for peers that have at least one in so many of the missing pieces. */
const SPARSE = 8;
const RECENT_MAX = 64;

export class Picker<K> {
  readonly #order: RarityOrder;
  readonly #missing: Bitfield;
  /** Blocks with missing pieces that wait to be put in order. */
  readonly #waitingBlocks: number[] = [];
  readonly #isWaiting: Bitfield;
  readonly #peers = new Map<K, PickerPeer>();
  readonly #random: () => number;

  /** All pieces begin outside. `random` draws from 0 up to 1. */
  constructor(pieceCount: number, random: () => number) {
    this.#order = new RarityOrder(pieceCount);
    this.#missing = new Bitfield(pieceCount);
    this.#isWaiting = new Bitfield(this.#order.blockCount);
    this.#random = random;
  }

  /** Pieces that may be picked. */
  get missing(): number {
    return this.#missing.count;
  }

  /** Whether some peer has one of them. */
  get isReachable(): boolean {
    for (const { wanted } of this.#peers.values()) if (wanted > 0) return true;
    return false;
  }

  isMissing(index: number): boolean {
    return this.#missing.has(index);
  }

  addPeer(key: K, have: Bitfield): void {
    invariant(!this.#peers.has(key), 'a peer is added once');
    this.#peers.set(key, {
      have,
      wanted: have.countCommon(this.#missing),
      lastTaken: -2,
      recent: new Uint32Array(RECENT_MAX),
      gained: 0,
      recentCount: 0,
      cursor: Math.floor(this.#random() * have.length),
    });
    this.#order.count(have, 1);
    this.#order.sort();
  }

  removePeer(key: K): void {
    const peer = this.#peers.get(key);
    if (!peer) return;
    this.#peers.delete(key);
    this.#order.count(peer.have, -1);
    this.#order.sort();
  }

  has(key: K, index: number): boolean {
    return this.#peers.get(key)?.have.has(index) ?? false;
  }

  /** A peer has one more piece. False when that was known. */
  peerGained(key: K, index: number): boolean {
    const peer = this.#peers.get(key);
    if (!peer?.have.set(index)) return false;
    this.#order.raise(index);
    if (!this.#missing.has(index)) return true;
    peer.wanted += 1;
    peer.recent[peer.gained % RECENT_MAX] = index;
    peer.gained += 1;
    peer.recentCount = Math.min(RECENT_MAX, peer.recentCount + 1);
    return true;
  }

  /** A peer turned out not to have a piece. */
  peerLacks(key: K, index: number): void {
    const peer = this.#peers.get(key);
    if (!peer?.have.clear(index)) return;
    this.#order.lower(index);
    if (this.#missing.has(index)) peer.wanted -= 1;
  }

  /** Makes a run of pieces missing: their digests are known now. Those that `skip` names stay outside. */
  unlock(firstIndex: number, count: number, skip: (index: number) => boolean): void {
    for (let index = firstIndex; index < firstIndex + count; index += 1) {
      if (skip(index) || !this.#missing.set(index)) continue;
      if (this.#order.isOpen(index)) this.#order.insert(index);
      else this.#await(index);
    }
    this.#openBlocks();
    for (const peer of this.#peers.values()) peer.wanted = peer.have.countCommon(this.#missing);
  }

  /** Takes the best missing piece that a peer has; undefined when it has none. */
  take(key: K): number | undefined {
    const peer = this.#peers.get(key);
    if (!peer || peer.wanted === 0) return undefined;
    const index = this.#next(peer) ?? this.#rarest(peer) ?? this.#latest(peer) ?? this.#any(peer);
    this.remove(index);
    peer.lastTaken = index;
    return index;
  }

  /** Missing pieces that a peer has. */
  wantedOf(key: K): number {
    return this.#peers.get(key)?.wanted ?? 0;
  }

  /** A piece need not be picked any more. */
  remove(index: number): void {
    if (!this.#missing.clear(index)) return;
    for (const peer of this.#peers.values()) if (peer.have.has(index)) peer.wanted -= 1;
    if (this.#order.remove(index)) this.#openBlocks();
  }

  /** A taken piece is missing again. */
  putBack(index: number): void {
    if (!this.#missing.set(index)) return;
    for (const peer of this.#peers.values()) if (peer.have.has(index)) peer.wanted += 1;
    if (this.#order.isOpen(index)) {
      this.#order.insert(index);
      return;
    }
    this.#await(index);
    this.#openBlocks();
  }

  /** The piece after the last one taken from this peer, unless a rarer one waits. */
  #next(peer: PickerPeer): number | undefined {
    const order = this.#order;
    const index = peer.lastTaken + 1;
    if (!peer.have.has(index) || !this.#missing.has(index) || !order.isOpen(index)) return undefined;
    return order.availability(index) === order.availability(order.at(order.start(1))) ? index : undefined;
  }

  #rarest(peer: PickerPeer): number | undefined {
    const order = this.#order;
    const draws = peer.wanted * SPARSE < this.#missing.count ? 0 : DRAWS;
    let looks = LOOK_THROUGH_MAX;
    for (let bucket = 1; bucket < order.bucketCount; bucket += 1) {
      const start = order.start(bucket);
      const size = order.start(bucket + 1) - start;
      if (size === 0) continue;
      for (let draw = 0; draw < draws; draw += 1) {
        const index = order.at(start + Math.floor(this.#random() * size));
        if (peer.have.has(index)) return index;
      }
      if (size > looks) continue;
      looks -= size;
      for (let place = start; place < start + size; place += 1) {
        const index = order.at(place);
        if (peer.have.has(index)) return index;
      }
    }
    return undefined;
  }

  /** The missing piece that a peer gained last: what is new with it is rare elsewhere. */
  #latest(peer: PickerPeer): number | undefined {
    while (peer.recentCount > 0) {
      peer.recentCount -= 1;
      peer.gained -= 1;
      const index = peer.recent[peer.gained % RECENT_MAX] ?? 0;
      if (peer.have.has(index) && this.#missing.has(index)) return index;
    }
    return undefined;
  }

  /** Goes round the pieces, on from where it found the last one. */
  #any(peer: PickerPeer): number {
    const index = peer.have.nextCommon(this.#missing, peer.cursor) ?? peer.have.nextCommon(this.#missing, 0);
    invariant(index !== undefined, 'a peer with wanted pieces has one');
    peer.cursor = index + 1;
    return index;
  }

  #await(index: number): void {
    const block = Math.floor(index / BLOCK_PIECES);
    if (this.#isWaiting.set(block)) this.#waitingBlocks.push(block);
  }

  /** Puts random blocks in order, as many as there is room for. */
  #openBlocks(): void {
    let isOpened = false;
    while (this.#order.hasRoom && this.#waitingBlocks.length > 0) {
      const at = Math.floor(this.#random() * this.#waitingBlocks.length);
      const block = this.#waitingBlocks[at] ?? 0;
      this.#waitingBlocks[at] = this.#waitingBlocks.at(-1) ?? 0;
      this.#waitingBlocks.pop();
      this.#isWaiting.clear(block);
      if (this.#order.open(block, this.#missing, (index) => this.#countHaving(index))) isOpened = true;
    }
    if (isOpened) this.#order.sort();
  }

  #countHaving(index: number): number {
    let count = 0;
    for (const { have } of this.#peers.values()) if (have.has(index)) count += 1;
    return count;
  }
}
