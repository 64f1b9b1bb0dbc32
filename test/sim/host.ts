/**
 * One simulated machine: what it has, what it fetches (a Download), whom it serves (an UploadQueue), and its link. Its
 * uplink sends whole pieces one after the other, in the order that the queue decides; its downlink is shared among all who
 * send to it. Plain state; the swarm moves it.
 */
import type { Download } from '../../src/main/swarm/download.ts';
import { Copies, UploadQueue } from '../../src/main/swarm/upload-queue.ts';
import { Bitfield } from '../../src/protocol/bitfield.ts';
import { MIB, REQUESTS_PER_CHANNEL_MAX } from '../../src/protocol/limits.ts';
import type { HostSpec } from './scenario.ts';

/** As the serving end of a client: bytes that one peer may hold in process. */
const IN_PROCESS_BYTES_MAX = 4 * MIB;

/** `client` fetches from `server`. */
export interface Link {
  readonly client: Host;
  readonly server: Host;
  /** Requests not answered yet, cancelled ones too. */
  readonly wire: Set<number>;
  /** Of those, on their way. */
  moving: number;
  isOpen: boolean;
  isClosed: boolean;
}

export class Host {
  readonly id: number;
  readonly spec: HostSpec;
  readonly queue = new UploadQueue<Link>({
    waitingMax: REQUESTS_PER_CHANNEL_MAX,
    inProcessBytesMax: IN_PROCESS_BYTES_MAX,
  });
  /** Undefined: it fetches nothing. */
  readonly download: Download<number> | undefined;
  /** What it says it has. */
  readonly have: Bitfield;
  /** By the server's id. */
  readonly sources = new Map<number, Link>();
  readonly clients = new Set<Link>();
  readonly copies: Copies;
  readonly banned = new Set<number>();
  readonly slotsMax: number;
  slotsUsed = 0;
  isOnline = false;
  doneMs: number | undefined;
  gainedMs = 0;
  /** Pieces that were right when they were kept. */
  rightPieces = 0;
  uplinkBusy = false;
  /** Until then its downlink is spoken for. */
  downlinkFreeMs = 0;
  sentBytes = 0;
  receivedBytes = 0;

  constructor(id: number, spec: HostSpec, slotsMax: number, download: Download<number> | undefined, pieces: number) {
    this.id = id;
    this.spec = spec;
    this.slotsMax = slotsMax;
    this.copies = new Copies(pieces);
    this.download = download;
    this.have = download ? download.have : Bitfield.full(pieces);
  }

  /** Fetches, and is there to fetch. */
  get isFetching(): boolean {
    return this.isOnline && this.download !== undefined && !this.download.complete;
  }
}
