/**
 * PURE. One tracker that follows us: which entries it has, which are on their way to it, and which are next. It is never
 * sent what is not safe here.
 */
import type { TrackerId } from '../../protocol/ids.ts';
import { ENTRIES_AT_ONCE_MAX, ENTRIES_BODY_BYTES_MAX } from '../../protocol/limits.ts';
import type { ReplicaMessage } from '../../protocol/replica.ts';
import type { Signed } from '../../protocol/signed.ts';
import type { StoredEntry } from './stored-entry.ts';
import { joined, type Vector } from './vectors.ts';

const BATCHES_IN_FLIGHT_MAX = 16;
/** Room for what CBOR adds to an entry. */
const ENTRY_EXTRA_BYTES = 128;

export interface ReplicaLink {
  readonly peer: TrackerId;
  send(message: ReplicaMessage): void;
}

export class Feed {
  readonly link: ReplicaLink;
  readonly #missing: (vector: Vector, limit: number) => readonly StoredEntry[];
  #held: Vector | undefined;
  #sent: Vector = {};
  #inFlight = 0;

  constructor(link: ReplicaLink, missing: (vector: Vector, limit: number) => readonly StoredEntry[]) {
    this.link = link;
    this.#missing = missing;
  }

  /** Undefined until the follower has said what it has. */
  get held(): Vector | undefined {
    return this.#held;
  }

  /** The follower says what it has, at first or between batches. */
  has(held: Vector): void {
    this.#held = joined(this.#held ?? {}, held);
    this.#sent = joined(this.#sent, held);
    this.pump();
  }

  /** The follower answers a batch. `again`: it did not take all that it was sent. */
  answered(held: Vector, again: boolean): void {
    this.#inFlight = Math.max(0, this.#inFlight - 1);
    if (again) this.#sent = held;
    this.has(held);
  }

  /** Sends what it lacks, as far as it keeps up. */
  pump(): void {
    if (!this.#held) return;
    while (this.#inFlight < BATCHES_IN_FLIGHT_MAX) {
      const batch = this.#nextBatch();
      if (batch.length === 0) return;
      this.#inFlight += 1;
      this.link.send({ type: 'entries', entries: batch });
    }
  }

  #nextBatch(): readonly Signed[] {
    const batch: Signed[] = [];
    const sent: Record<TrackerId, number | undefined> = { ...this.#sent };
    let bytes = 0;
    for (const { signed, origin, seq } of this.#missing(this.#sent, ENTRIES_AT_ONCE_MAX)) {
      bytes += signed.body.length + signed.signature.length + ENTRY_EXTRA_BYTES;
      if (bytes > ENTRIES_BODY_BYTES_MAX) break;
      batch.push(signed);
      sent[origin as TrackerId] = seq;
    }
    this.#sent = sent;
    return batch;
  }
}
