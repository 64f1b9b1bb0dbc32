/** How far a folder's download has come: its files added up, those that are there, those under way and those that rest. */
import { Bitfield } from '../../protocol/bitfield.ts';
import type { DeviceId, FileId } from '../../protocol/ids.ts';
import type { FileRecord } from '../../protocol/messages.ts';
import { PieceTree } from '../../protocol/piece-tree.ts';
import type { DownloadTask } from './download-task.ts';
import { RateMeter } from './rate-meter.ts';
import type { DownloadStatus, PeerStatus } from './status.ts';

interface Done {
  readonly bytes: number;
  readonly pieces: number;
}

/** Bytes that were not fetched. */
type Local = Pick<DownloadStatus, 'copiedBytes' | 'recheckedBytes'>;

export type FolderFigures = Omit<DownloadStatus, 'id' | 'group' | 'name' | 'destination' | 'state' | 'error'>;

const NOTHING: Done = { bytes: 0, pieces: 0 };
/** Which state of a peer says most, where several files have it as theirs. */
const STATES: readonly PeerStatus['state'][] = ['gone', 'connecting', 'active', 'banned'];

export class FolderProgress {
  readonly #startedMs: number;
  readonly #total: Done;
  readonly #fileCount: number;
  readonly #rate = new RateMeter();
  /** What resting files have, by file; also of those under way, as it was last stored. */
  readonly #resting = new Map<FileId, Done>();
  /** What came from each peer, of files that are there. */
  readonly #peers = new Map<string, PeerStatus>();
  #finished: Done = NOTHING;
  #finishedFiles = 0;
  #local: Local = { copiedBytes: 0, recheckedBytes: 0 };
  #hasBegun = false;
  #endedMs: number | undefined;

  constructor(files: readonly FileRecord[], nowMs: number) {
    this.#startedMs = nowMs;
    this.#fileCount = files.length;
    this.#total = files.reduce((sum, file) => plus(sum, wholeOf(file)), NOTHING);
  }

  /** A file is there, or was from the start; `peers`: who it came from. */
  finished(file: FileRecord, peers: readonly PeerStatus[], local?: Local): void {
    this.#resting.delete(file.file);
    this.#finished = plus(this.#finished, wholeOf(file));
    this.#finishedFiles += 1;
    if (local) this.#local = added(this.#local, local);
    for (const peer of peers) addPeer(this.#peers, { ...peer, state: peer.state === 'banned' ? 'banned' : 'gone' });
  }

  /** What there is of a file that is not. */
  rests(file: FileRecord, have: Uint8Array | undefined): void {
    if (have) this.#resting.set(file.file, doneOf(file, have));
    else this.#resting.delete(file.file);
  }

  sample(nowMs: number, running: readonly DownloadTask[]): void {
    const { bytes } = this.#done(
      running.map((task) => task.status()),
      running,
    );
    if (this.#hasBegun) this.#rate.sample(nowMs, bytes);
    else this.#rate.begin(nowMs, bytes);
    this.#hasBegun = true;
  }

  end(nowMs: number): void {
    this.#endedMs = nowMs;
  }

  status(nowMs: number, running: readonly DownloadTask[], hasEnded: boolean): FolderFigures {
    const statuses = running.map((task) => task.status());
    const { bytes: doneBytes, pieces: donePieces } = this.#done(statuses, running);
    const bytesPerSecond = hasEnded ? 0 : this.#rate.bytesPerSecond;
    const leftBytes = this.#total.bytes - doneBytes;
    const peers = new Map<string, PeerStatus>(this.#peers);
    for (const status of statuses) for (const peer of status.peers) addPeer(peers, peer);
    return {
      sizeBytes: this.#total.bytes,
      doneBytes,
      pieceCount: this.#total.pieces,
      donePieces,
      bytesPerSecond,
      etaSeconds: bytesPerSecond > 0 && leftBytes > 0 ? leftBytes / bytesPerSecond : undefined,
      elapsedMs: (this.#endedMs ?? nowMs) - this.#startedMs,
      ...statuses.reduce(added, this.#local),
      peers: [...peers.values()],
      files: { count: this.#fileCount, done: this.#finishedFiles },
    };
  }

  #done(statuses: readonly DownloadStatus[], running: readonly DownloadTask[]): Done {
    let done = this.#finished;
    for (const resting of this.#resting.values()) done = plus(done, resting);
    for (const [at, { doneBytes, donePieces }] of statuses.entries()) {
      const task = running[at];
      const stored = (task && this.#resting.get(task.order.file.file)) ?? NOTHING;
      done = plus(done, { bytes: doneBytes - stored.bytes, pieces: donePieces - stored.pieces });
    }
    return done;
  }
}

function plus(a: Done, b: Done): Done {
  return { bytes: a.bytes + b.bytes, pieces: a.pieces + b.pieces };
}

function added(sum: Local, { copiedBytes, recheckedBytes }: Local): Local {
  return { copiedBytes: sum.copiedBytes + copiedBytes, recheckedBytes: sum.recheckedBytes + recheckedBytes };
}

function wholeOf({ sizeBytes, pieceSizeBytes }: FileRecord): Done {
  return { bytes: sizeBytes, pieces: new PieceTree(sizeBytes, pieceSizeBytes).filePieceCount };
}

function doneOf({ sizeBytes, pieceSizeBytes }: FileRecord, bytes: Uint8Array): Done {
  const tree = new PieceTree(sizeBytes, pieceSizeBytes);
  const have = Bitfield.fromBytes(bytes, tree.pieceCount);
  let done = NOTHING;
  for (let index = 0; index < tree.filePieceCount; index += 1) {
    if (have.has(index)) done = plus(done, { bytes: tree.place(index).lengthBytes, pieces: 1 });
  }
  return done;
}

function addPeer(peers: Map<DeviceId | string, PeerStatus>, peer: PeerStatus): void {
  const known = peers.get(peer.device);
  if (!known) {
    peers.set(peer.device, peer);
    return;
  }
  const state = STATES.indexOf(peer.state) > STATES.indexOf(known.state) ? peer.state : known.state;
  peers.set(peer.device, {
    ...peer,
    state,
    bytes: known.bytes + peer.bytes,
    badPieces: known.badPieces + peer.badPieces,
  });
}
