/**
 * Whose request is served next: fair by bytes between the peers that ask, and rare pieces first within that. PURE.
 *
 * Each peer has a place on a common scale of bytes, which moves on by what it is sent. Those within LEAD_BYTES_MAX of the
 * lowest are equals; among their requests the piece that we have sent least often goes first, so that a seeder sends
 * each piece once before it sends any twice. One that comes, or comes back after a rest, starts no lower than the place
 * that was served last (start-time fair queueing), so that nobody saves up a claim. A peer has only so many bytes in
 * process (read from disk, or waiting for its socket), so a slow reader holds few slots; meanwhile it falls behind the
 * others by no more than those bytes.
 */
import { invariant, ProtocolViolation } from '../../protocol/errors.ts';
import { MIB } from '../../protocol/limits.ts';

/** By so much may a peer that asks for rare pieces be ahead of the one that was sent least. */
const LEAD_BYTES_MAX = 2 * MIB;
/** So many of a peer's oldest requests are compared: whoever asks for more than that makes nobody wait for the search. */
const COMPARED_MAX = 16;
/** A peer's oldest request is its next after so many younger ones went before it. */
const PASSED_OVER_MAX = 8;

export interface UploadRequest {
  readonly channel: number;
  readonly index: number;
  readonly bytes: number;
  readonly copies: Copies;
}

/** How often each piece of one file was sent, to whomever. One byte a piece, which stays at its highest. */
export class Copies {
  readonly #counts: Uint8Array;

  constructor(pieceCount: number) {
    this.#counts = new Uint8Array(pieceCount);
  }

  of(index: number): number {
    return this.#counts[index] ?? 0;
  }

  add(index: number): void {
    this.#counts[index] = Math.min(255, this.of(index) + 1);
  }
}

interface UploadPeer {
  /** Oldest first. */
  waiting: UploadRequest[];
  /** Requests served since the oldest one was, or became the oldest. */
  passedOver: number;
  inProcessBytes: number;
  inProcess: number;
  place: number;
}

/** A request, and where it waits. */
interface Candidate<K> {
  readonly key: K;
  readonly peer: UploadPeer;
  readonly at: number;
  readonly request: UploadRequest;
  readonly copies: number;
}

export class UploadQueue<K> {
  readonly #peers = new Map<K, UploadPeer>();
  readonly #waitingMax: number;
  readonly #inProcessBytesMax: number;
  /** The highest place that was served. */
  #served = 0;

  constructor(limits: { waitingMax: number; inProcessBytesMax: number }) {
    this.#waitingMax = limits.waitingMax;
    this.#inProcessBytesMax = limits.inProcessBytesMax;
  }

  addPeer(key: K): void {
    this.#peers.set(key, { waiting: [], passedOver: 0, inProcessBytes: 0, inProcess: 0, place: 0 });
  }

  /** What the peer asked for is forgotten; what is in process is reported finished as usual, to no effect. */
  removePeer(key: K): void {
    this.#peers.delete(key);
  }

  /** Throws ProtocolViolation when the peer asks for more at once than it may. */
  add(key: K, request: UploadRequest): void {
    const peer = this.#peers.get(key);
    invariant(peer, 'a known peer asks');
    if (peer.waiting.length >= this.#waitingMax) throw new ProtocolViolation('too many open requests');
    if (peer.waiting.length === 0 && peer.inProcess === 0) peer.place = Math.max(peer.place, this.#served);
    peer.waiting.push(request);
  }

  /** Takes back one waiting request; false when it is not waiting (any more). */
  cancel(key: K, channel: number, index: number): boolean {
    const peer = this.#peers.get(key);
    const at = peer?.waiting.findIndex((request) => request.channel === channel && request.index === index) ?? -1;
    if (!peer || at < 0) return false;
    peer.waiting.splice(at, 1);
    if (at === 0) peer.passedOver = 0;
    return true;
  }

  /** Takes back all waiting requests of a channel. */
  cancelChannel(key: K, channel: number): void {
    const peer = this.#peers.get(key);
    if (!peer) return;
    const kept = peer.waiting.filter((request) => request.channel !== channel);
    if (kept[0] !== peer.waiting[0]) peer.passedOver = 0;
    peer.waiting = kept;
  }

  /** The next request to serve, without taking it. */
  peek(): { readonly peer: K; readonly request: UploadRequest } | undefined {
    const best = this.#best();
    return best && { peer: best.key, request: best.request };
  }

  /** Takes the request that peek named: it is in process now. */
  take(): { readonly peer: K; readonly request: UploadRequest } | undefined {
    const best = this.#best();
    if (!best) return undefined;
    const { key, peer, at, request } = best;
    this.#served = Math.max(this.#served, peer.place);
    peer.waiting.splice(at, 1);
    peer.passedOver = at === 0 ? 0 : peer.passedOver + 1;
    peer.inProcess += 1;
    peer.inProcessBytes += request.bytes;
    peer.place += request.bytes;
    request.copies.add(request.index);
    return { peer: key, request };
  }

  /** A request has left for the peer, or was given up. */
  finished(key: K, request: UploadRequest): void {
    const peer = this.#peers.get(key);
    if (!peer) return;
    peer.inProcess -= 1;
    peer.inProcessBytes -= request.bytes;
    peer.place = Math.max(peer.place, this.#served - this.#inProcessBytesMax);
  }

  /** The least sent piece that one of the equals waits for; among those the lowest place's, then the oldest. */
  #best(): Candidate<K> | undefined {
    let lowest = Number.POSITIVE_INFINITY;
    for (const peer of this.#peers.values()) {
      if (peer.place < lowest && this.#mayGo(peer, 0)) lowest = peer.place;
    }
    let best: Candidate<K> | undefined;
    for (const [key, peer] of this.#peers) {
      if (peer.place > lowest + LEAD_BYTES_MAX || !this.#mayGo(peer, 0)) continue;
      const own = this.#bestOf(key, peer);
      if (!own || (best && (own.copies > best.copies || (own.copies === best.copies && peer.place >= best.peer.place))))
        continue;
      best = own;
    }
    return best;
  }

  #bestOf(key: K, peer: UploadPeer): Candidate<K> | undefined {
    const compared = peer.passedOver >= PASSED_OVER_MAX ? 1 : Math.min(COMPARED_MAX, peer.waiting.length);
    let best: Candidate<K> | undefined;
    for (let at = 0; at < compared; at += 1) {
      const request = peer.waiting[at];
      if (!request || !this.#mayGo(peer, at)) continue;
      const copies = request.copies.of(request.index);
      if (!best || copies < best.copies) best = { key, peer, at, request, copies };
    }
    return best;
  }

  /** Two may always be in process, so that the disk works while the socket does. */
  #mayGo(peer: UploadPeer, at: number): boolean {
    const request = peer.waiting[at];
    if (!request) return false;
    return peer.inProcess < 2 || peer.inProcessBytes + request.bytes <= this.#inProcessBytesMax;
  }
}
