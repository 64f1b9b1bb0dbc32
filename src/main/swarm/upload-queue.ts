/**
 * Whose request is served next: the peer that has been sent the fewest bytes among those that ask. PURE.
 *
 * Each peer has a place on a common scale of bytes, which moves on by what it is sent; the lowest is served. One that
 * comes, or comes back after a rest, starts no lower than the place that was served last (start-time fair queueing), so
 * that nobody saves up a claim. A peer has only so many bytes in process (read from disk, or waiting for its socket), so
 * a slow reader holds few slots; meanwhile it falls behind the others by no more than those bytes.
 */
import { invariant, ProtocolViolation } from '../../protocol/errors.ts';

export interface UploadRequest {
  readonly channel: number;
  readonly index: number;
  readonly bytes: number;
}

interface UploadPeer {
  /** Oldest first. */
  readonly waiting: UploadRequest[];
  inProcessBytes: number;
  inProcess: number;
  place: number;
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
    this.#peers.set(key, { waiting: [], inProcessBytes: 0, inProcess: 0, place: 0 });
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
    const waiting = this.#peers.get(key)?.waiting ?? [];
    const at = waiting.findIndex((request) => request.channel === channel && request.index === index);
    if (at >= 0) waiting.splice(at, 1);
    return at >= 0;
  }

  /** Takes back all waiting requests of a channel. */
  cancelChannel(key: K, channel: number): void {
    const peer = this.#peers.get(key);
    if (!peer) return;
    const kept = peer.waiting.filter((request) => request.channel !== channel);
    peer.waiting.splice(0, peer.waiting.length, ...kept);
  }

  /** The next request to serve, without taking it. */
  peek(): { readonly peer: K; readonly request: UploadRequest } | undefined {
    let best: { key: K; place: number; request: UploadRequest } | undefined;
    for (const [key, peer] of this.#peers) {
      const request = peer.waiting[0];
      if (!request || (best && peer.place >= best.place) || !this.#hasRoom(peer, request)) continue;
      best = { key, place: peer.place, request };
    }
    return best && { peer: best.key, request: best.request };
  }

  /** Takes the request that peek named: it is in process now. */
  take(): { readonly peer: K; readonly request: UploadRequest } | undefined {
    const next = this.peek();
    const peer = next && this.#peers.get(next.peer);
    if (!peer) return undefined;
    this.#served = Math.max(this.#served, peer.place);
    peer.waiting.shift();
    peer.inProcess += 1;
    peer.inProcessBytes += next.request.bytes;
    peer.place += next.request.bytes;
    return next;
  }

  /** A request has left for the peer, or was given up. */
  finished(key: K, request: UploadRequest): void {
    const peer = this.#peers.get(key);
    if (!peer) return;
    peer.inProcess -= 1;
    peer.inProcessBytes -= request.bytes;
    peer.place = Math.max(peer.place, this.#served - this.#inProcessBytesMax);
  }

  /** Two may always be in process, so that the disk works while the socket does. */
  #hasRoom(peer: UploadPeer, request: UploadRequest): boolean {
    return peer.inProcess < 2 || peer.inProcessBytes + request.bytes <= this.#inProcessBytesMax;
  }
}
