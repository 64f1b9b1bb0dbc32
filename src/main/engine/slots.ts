/**
 * Slots: piece-sized stretches of one shared memory, whose size is the user's `--memory`. A slot is owned by exactly one
 * step of the data path at a time; who holds none waits. In front of a slot's body is room for a frame header, so that
 * header and piece leave in one write.
 *
 * Two lanes, downloads and uploads, each may hold at most three quarters: neither can starve the other, so two clients
 * that download from each other can't lock each other up. Within a lane the first to wait is the first to be served,
 * and nobody overtakes: a big slot is not starved by small ones.
 */
import { invariant, RequestError } from '../../protocol/errors.ts';
import { FRAME_HEADER_BYTES, MIB } from '../../protocol/limits.ts';

export type Lane = 'download' | 'upload';

/** Room before the body: the frame header, at the end of a cache line. */
const HEADROOM_BYTES = 64;
const GRANULE_BYTES = 4096;
const LANE_SHARE = 0.75;

export class Slot {
  readonly lane: Lane;
  readonly bytes: number;
  readonly #memory: SharedArrayBuffer;
  readonly #start: number;

  constructor(memory: SharedArrayBuffer, start: number, bytes: number, lane: Lane) {
    this.#memory = memory;
    this.#start = start;
    this.bytes = bytes;
    this.lane = lane;
  }

  /** Where the slot begins in the shared memory, headroom included. */
  get start(): number {
    return this.#start;
  }

  /** Where the body begins in the shared memory. */
  get offset(): number {
    return this.#start + HEADROOM_BYTES;
  }

  body(lengthBytes: number): Uint8Array {
    return new Uint8Array(this.#memory, this.offset, lengthBytes);
  }

  /** A frame header's room, then the body. */
  frame(lengthBytes: number): Uint8Array {
    return new Uint8Array(this.#memory, this.offset - FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + lengthBytes);
  }
}

interface Waiter {
  readonly bytes: number;
  readonly wake: () => void;
}

interface Extent {
  start: number;
  bytes: number;
}

export class Slots {
  readonly memory: SharedArrayBuffer;
  /** Free stretches, by position; neighbours are joined. */
  readonly #free: Extent[];
  readonly #laneBytesMax: number;
  readonly #laneBytes: Record<Lane, number> = { download: 0, upload: 0 };
  readonly #waiters: Record<Lane, Waiter[]> = { download: [], upload: [] };

  constructor(memoryBytes: number) {
    const bytes = Math.floor(memoryBytes / GRANULE_BYTES) * GRANULE_BYTES;
    this.memory = new SharedArrayBuffer(bytes);
    this.#free = [{ start: 0, bytes }];
    this.#laneBytesMax = bytes * LANE_SHARE;
  }

  /** Throws RequestError when no slot for such a piece can ever be had. */
  checkFits(pieceBytes: number): void {
    if (slotBytes(pieceBytes) <= this.#laneBytesMax) return;
    const neededMib = Math.ceil(slotBytes(pieceBytes) / LANE_SHARE / MIB);
    throw new RequestError(
      'busy',
      `pieces of ${Math.ceil(pieceBytes / MIB)} MiB don't fit into the memory this client may use`,
      `start it with --memory ${neededMib}MiB or more`,
    );
  }

  /** How many such slots a lane may hold at once. */
  capacity(pieceBytes: number): number {
    return Math.floor(this.#laneBytesMax / slotBytes(pieceBytes));
  }

  /** A slot, or undefined when none is free or others wait for one. */
  tryTake(lane: Lane, pieceBytes: number): Slot | undefined {
    return this.#waiters[lane].length > 0 ? undefined : this.#take(lane, slotBytes(pieceBytes));
  }

  /** Calls `wake` with a slot as soon as it is this caller's turn; returns how to stop waiting. */
  wait(lane: Lane, pieceBytes: number, wake: (slot: Slot) => void): () => void {
    const bytes = slotBytes(pieceBytes);
    const waiters = this.#waiters[lane];
    const waiter: Waiter = {
      bytes,
      wake: () => {
        const slot = this.#take(lane, bytes);
        invariant(slot, 'a woken waiter gets its slot');
        wake(slot);
      },
    };
    waiters.push(waiter);
    queueMicrotask(() => this.#serve());
    return () => {
      const at = waiters.indexOf(waiter);
      if (at < 0) return;
      waiters.splice(at, 1);
      this.#serve();
    };
  }

  /** Gives a slot back; the caller forgets it. */
  release(slot: Slot): void {
    this.#laneBytes[slot.lane] -= slot.bytes;
    invariant(this.#laneBytes[slot.lane] >= 0, 'a slot is released once');
    this.#insert({ start: slot.start, bytes: slot.bytes });
    this.#serve();
  }

  /** Bytes held in a lane, headrooms included. */
  heldBytes(lane: Lane): number {
    return this.#laneBytes[lane];
  }

  #serve(): void {
    for (const lane of ['download', 'upload'] as const) {
      const waiters = this.#waiters[lane];
      for (let first = waiters[0]; first && this.#fits(lane, first.bytes); first = waiters[0]) {
        waiters.shift();
        first.wake();
      }
    }
  }

  #fits(lane: Lane, bytes: number): boolean {
    return this.#laneBytes[lane] + bytes <= this.#laneBytesMax && this.#free.some((extent) => extent.bytes >= bytes);
  }

  #take(lane: Lane, bytes: number): Slot | undefined {
    if (this.#laneBytes[lane] + bytes > this.#laneBytesMax) return undefined;
    const at = this.#free.findIndex((extent) => extent.bytes >= bytes);
    const extent = this.#free[at];
    if (!extent) return undefined;
    const slot = new Slot(this.memory, extent.start, bytes, lane);
    extent.start += bytes;
    extent.bytes -= bytes;
    if (extent.bytes === 0) this.#free.splice(at, 1);
    this.#laneBytes[lane] += bytes;
    return slot;
  }

  #insert(freed: Extent): void {
    let low = 0;
    let high = this.#free.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#free[middle]?.start ?? 0) < freed.start) low = middle + 1;
      else high = middle;
    }
    const before = this.#free[low - 1];
    const after = this.#free[low];
    invariant(!before || before.start + before.bytes <= freed.start, 'a slot is released once');
    invariant(!after || freed.start + freed.bytes <= after.start, 'a slot is released once');
    const joinsBefore = before !== undefined && before.start + before.bytes === freed.start;
    const joinsAfter = after !== undefined && freed.start + freed.bytes === after.start;
    if (joinsBefore) before.bytes += freed.bytes + (joinsAfter ? after.bytes : 0);
    else if (joinsAfter) {
      after.start = freed.start;
      after.bytes += freed.bytes;
    } else this.#free.splice(low, 0, freed);
    if (joinsBefore && joinsAfter) this.#free.splice(low, 1);
  }
}

function slotBytes(pieceBytes: number): number {
  return Math.ceil((HEADROOM_BYTES + pieceBytes) / GRANULE_BYTES) * GRANULE_BYTES;
}
