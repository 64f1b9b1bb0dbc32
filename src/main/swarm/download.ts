/**
 * One download as a state machine: what came in and a time go in, requests and effects come out. PURE: it holds no
 * socket, slot or file, and never reads a clock.
 *
 * Whole pieces are asked of one peer each, so blame is exact. The tree's levels are fetched from the top down, each
 * piece checked against the level above; the same code serves all levels. Towards the end, pieces that are on their way
 * from a slow peer are asked of an idle one too, and the loser is cancelled.
 */
import { Bitfield } from '../../protocol/bitfield.ts';
import { BAD_PIECES_MAX, MIB, REQUESTS_PER_CHANNEL_MAX } from '../../protocol/limits.ts';
import type { PieceTree } from '../../protocol/piece-tree.ts';
import { Picker } from './picker.ts';

/** A peer with requests open that sends no byte for so long loses them to others. */
export const STALL_MS = 5_000;
/** Bytes asked ahead of a peer whose rate is not known yet, and at least. */
const AHEAD_BYTES_MIN = 2 * MIB;
/** Of many peers less is asked ahead, so that it comes to this of all together: deep queues make pieces spread slowly. */
const AHEAD_BYTES_SHARED = 8 * MIB;
/** Few enough for AHEAD_BYTES_MIN each. They are asked for two pieces at least, so that none of them pauses. */
const FEW_PEERS = AHEAD_BYTES_SHARED / AHEAD_BYTES_MIN;
const AHEAD_BYTES_MAX = 32 * MIB;
/** How much of a peer's sending time requests should cover, at least; twice its latency if that is more. */
const AHEAD_MS_MIN = 100;
const RATE_WINDOW_MS = 100;
/** A piece is asked of at most so many peers within STALL_MS. */
const COPIES_MAX = 3;
/** A piece is asked of a second peer only once the first has had it for so long, or twice the second's usual time. */
const ENDGAME_MS_MIN = 100;

export type Effect<K> =
  /** The request is no longer needed; the peer answers with the piece or with a rejection. */
  | { readonly type: 'cancel'; readonly peer: K; readonly index: number }
  /** Two bad pieces: the peer is not asked again in this download. */
  | { readonly type: 'ban'; readonly peer: K }
  /** All pieces are there. */
  | { readonly type: 'complete' };

interface DownloadPeer {
  /** Open requests: index and when it was sent. */
  readonly open: Map<number, number>;
  keptBytes: number;
  snubbed: boolean;
  lastByteMs: number;
  latencyMs: number;
  rateBytesPerMs: number;
  windowStartMs: number;
  windowBytes: number;
}

export class Download<K> {
  readonly tree: PieceTree;
  readonly have: Bitfield;
  #doneFileBytes = 0;
  #doneFilePieces = 0;
  readonly #picker: Picker<K>;
  readonly #peers = new Map<K, DownloadPeer>();
  /** Of all peers ever: who leaves and comes back is not better for it. */
  readonly #badPieces = new Map<K, number>();
  readonly #pipeline: number | undefined;
  /** Who a piece is on its way from. */
  readonly #asked = new Map<number, Set<K>>();
  readonly #checking = new Set<number>();
  /** The lowest level whose pieces may be asked for. */
  #level: number;

  constructor(options: { tree: PieceTree; have?: Bitfield; pipeline: number | undefined; random: () => number }) {
    this.tree = options.tree;
    this.have = new Bitfield(options.tree.pieceCount);
    this.#pipeline = options.pipeline;
    this.#picker = new Picker(options.tree.pieceCount, options.random);
    this.#level = options.tree.levels.length;
    if (options.have)
      for (let index = 0; index < this.have.length; index += 1) if (options.have.has(index)) this.#mark(index);
    this.#descend();
  }

  get complete(): boolean {
    return this.have.complete;
  }

  get doneFileBytes(): number {
    return this.#doneFileBytes;
  }

  get doneFilePieces(): number {
    return this.#doneFilePieces;
  }

  /** Verified bytes and bad pieces of a peer. */
  peer(key: K): { readonly keptBytes: number; readonly badPieces: number; readonly openCount: number } | undefined {
    const peer = this.#peers.get(key);
    return peer && { keptBytes: peer.keptBytes, badPieces: this.#badPieces.get(key) ?? 0, openCount: peer.open.size };
  }

  addPeer(key: K, have: Bitfield, nowMs: number): void {
    this.#picker.addPeer(key, have);
    this.#peers.set(key, {
      open: new Map(),
      keptBytes: 0,
      snubbed: false,
      lastByteMs: nowMs,
      latencyMs: Number.POSITIVE_INFINITY,
      rateBytesPerMs: 0,
      windowStartMs: nowMs,
      windowBytes: 0,
    });
  }

  /** The peer is gone, with all that was asked of it. */
  removePeer(key: K): void {
    const peer = this.#peers.get(key);
    if (!peer) return;
    for (const index of peer.open.keys()) this.#unask(key, index);
    this.#peers.delete(key);
    this.#picker.removePeer(key);
  }

  peerGained(key: K, index: number): void {
    this.#picker.peerGained(key, index);
  }

  /** The next piece to ask of a peer, now noted as asked; undefined when there is none or it has enough to do. */
  next(key: K, nowMs: number): number | undefined {
    const peer = this.#peers.get(key);
    if (!peer || peer.open.size >= this.#depth(peer)) return undefined;
    const index = this.#picker.take(key) ?? this.#late(key, peer, nowMs);
    if (index === undefined) return undefined;
    if (peer.open.size === 0) peer.lastByteMs = nowMs;
    peer.open.set(index, nowMs);
    const askers = this.#asked.get(index);
    if (askers) askers.add(key);
    else this.#asked.set(index, new Set([key]));
    return index;
  }

  /** Whether a peer has pieces that are missing. */
  has(key: K): boolean {
    return this.#picker.wantedOf(key) > 0;
  }

  /** Whether next() might name a piece, without taking one. */
  wants(key: K, nowMs: number): boolean {
    const peer = this.#peers.get(key);
    if (!peer || peer.open.size >= this.#depth(peer)) return false;
    return this.#picker.wantedOf(key) > 0 || this.#late(key, peer, nowMs) !== undefined;
  }

  /** Whether the digests of all of the file's pieces are known. */
  get isFileOpen(): boolean {
    return this.#level === 0;
  }

  /** Keeps a missing piece from being asked for while it is looked for elsewhere; then it is kept or unchecked. */
  claim(index: number): boolean {
    if (!this.#picker.isMissing(index)) return false;
    this.#picker.remove(index);
    this.#checking.add(index);
    return true;
  }

  /** A request could not be sent after all. */
  unsent(key: K, index: number): void {
    this.#peers.get(key)?.open.delete(index);
    this.#unask(key, index);
  }

  /** Bytes came from a peer, whatever they belong to. */
  heard(key: K, nowMs: number): void {
    const peer = this.#peers.get(key);
    if (peer) peer.lastByteMs = nowMs;
  }

  /** A whole piece came. True: check it and report kept or wrong; false: it is there already, forget it. */
  arrived(key: K, index: number, nowMs: number): boolean {
    const peer = this.#peers.get(key);
    if (peer) this.#measure(peer, index, nowMs);
    const isNew = !this.have.has(index) && !this.#checking.has(index);
    if (isNew) {
      this.#checking.add(index);
      // It may have been released to others and be missing again: nobody else need ask for it now.
      this.#picker.remove(index);
    }
    this.#unask(key, index);
    return isNew;
  }

  /** A piece that arrived, or was claimed, was right and is written. */
  kept(key: K | undefined, index: number): Effect<K>[] {
    const peer = key === undefined ? undefined : this.#peers.get(key);
    if (peer) peer.keptBytes += this.tree.place(index).lengthBytes;
    this.#checking.delete(index);
    this.#mark(index);
    const effects: Effect<K>[] = [];
    for (const other of this.#asked.get(index) ?? []) {
      this.#peers.get(other)?.open.delete(index);
      effects.push({ type: 'cancel', peer: other, index });
    }
    this.#asked.delete(index);
    this.#descend();
    if (this.complete) effects.push({ type: 'complete' });
    return effects;
  }

  /** A piece that arrived was wrong. Its sender alone is to blame, also when it has left since. */
  wrong(key: K, index: number): Effect<K>[] {
    this.#unchecked(index);
    const badPieces = (this.#badPieces.get(key) ?? 0) + 1;
    this.#badPieces.set(key, badPieces);
    return badPieces >= BAD_PIECES_MAX ? [{ type: 'ban', peer: key }] : [];
  }

  /** A piece that arrived could not be checked or written; nobody is to blame. */
  unchecked(index: number): void {
    this.#unchecked(index);
  }

  /** A peer won't send a piece that it was asked for. */
  rejected(key: K, index: number): void {
    const wasOpen = this.#peers.get(key)?.open.delete(index);
    if (!wasOpen) return;
    this.#picker.peerLacks(key, index);
    this.#unask(key, index);
  }

  /** Time has passed: peers that stall lose their requests to others. */
  tick(nowMs: number): Effect<K>[] {
    const effects: Effect<K>[] = [];
    for (const [key, peer] of this.#peers) {
      if (peer.open.size === 0 || nowMs - peer.lastByteMs < STALL_MS) continue;
      peer.snubbed = true;
      for (const index of peer.open.keys()) {
        effects.push({ type: 'cancel', peer: key, index });
        this.#unask(key, index);
      }
      peer.open.clear();
    }
    return effects;
  }

  #unchecked(index: number): void {
    this.#checking.delete(index);
    if (!this.#asked.has(index)) this.#picker.putBack(index);
  }

  /** A peer no longer owes a piece; if nobody else does and it is not there, it is missing again. */
  #unask(key: K, index: number): void {
    const askers = this.#asked.get(index);
    if (askers?.delete(key) && askers.size === 0) this.#asked.delete(index);
    if (!this.#asked.has(index) && !this.#checking.has(index) && !this.have.has(index)) this.#picker.putBack(index);
  }

  #mark(index: number): void {
    if (!this.have.set(index)) return;
    const { level, lengthBytes } = this.tree.place(index);
    if (level !== 0) return;
    this.#doneFileBytes += lengthBytes;
    this.#doneFilePieces += 1;
  }

  /** Opens level after level as the one above becomes complete. */
  #descend(): void {
    while (this.#level > 0 && this.#levelComplete(this.#level)) {
      this.#level -= 1;
      const { firstIndex, pieceCount } = this.tree.level(this.#level);
      this.#picker.unlock(firstIndex, pieceCount, (index) => this.have.has(index));
    }
  }

  #levelComplete(level: number): boolean {
    if (level === this.tree.levels.length) return true;
    const { firstIndex, pieceCount } = this.tree.level(level);
    for (let index = firstIndex; index < firstIndex + pieceCount; index += 1) if (!this.have.has(index)) return false;
    return true;
  }

  /** Requests that a peer should have open: enough to cover its latency, and no more than it sends in a moment. */
  #depth(peer: DownloadPeer): number {
    if (peer.snubbed) return 1;
    if (this.#pipeline !== undefined) return this.#pipeline;
    const latencyMs = Number.isFinite(peer.latencyMs) ? peer.latencyMs : 0;
    const aheadBytes = peer.rateBytesPerMs * Math.max(AHEAD_MS_MIN, 2 * latencyMs);
    const areFew = this.#peers.size <= FEW_PEERS;
    const leastBytes = areFew ? AHEAD_BYTES_MIN : AHEAD_BYTES_SHARED / this.#peers.size;
    const bytes = Math.min(AHEAD_BYTES_MAX, Math.max(leastBytes, aheadBytes));
    const pieces = Math.max(areFew ? 2 : 1, Math.ceil(bytes / this.tree.pieceSizeBytes));
    return Math.min(REQUESTS_PER_CHANNEL_MAX, pieces);
  }

  /** A piece on its way from another peer that an idle one might bring sooner. */
  #late(key: K, peer: DownloadPeer, nowMs: number): number | undefined {
    if (peer.open.size > 0 || peer.snubbed || this.#picker.isReachable) return undefined;
    const usualMs = Number.isFinite(peer.latencyMs) ? peer.latencyMs : 0;
    const patienceMs = Math.max(ENDGAME_MS_MIN, 2 * usualMs);
    for (const [index, askers] of this.#asked) {
      if (askers.has(key) || this.#checking.has(index) || !this.#picker.has(key, index)) continue;
      const agesMs = [...askers].map((asker) => nowMs - (this.#peers.get(asker)?.open.get(index) ?? nowMs));
      // Those that have had it for so long don't count: else three that only trickle could hold a piece for ever.
      if (agesMs.filter((ageMs) => ageMs <= STALL_MS).length >= COPIES_MAX) continue;
      if (agesMs.every((ageMs) => ageMs > patienceMs)) return index;
    }
    return undefined;
  }

  #measure(peer: DownloadPeer, index: number, nowMs: number): void {
    const sentMs = peer.open.get(index);
    peer.open.delete(index);
    peer.snubbed = false;
    peer.lastByteMs = nowMs;
    if (sentMs !== undefined) peer.latencyMs = Math.min(peer.latencyMs, nowMs - sentMs);
    peer.windowBytes += this.tree.place(index).lengthBytes;
    const windowMs = nowMs - peer.windowStartMs;
    if (windowMs < RATE_WINDOW_MS) return;
    const sample = peer.windowBytes / windowMs;
    peer.rateBytesPerMs = peer.rateBytesPerMs === 0 ? sample : (peer.rateBytesPerMs + sample) / 2;
    peer.windowStartMs = nowMs;
    peer.windowBytes = 0;
  }
}
