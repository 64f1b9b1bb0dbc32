/** What a person or program can see of a download at any time. Plain data, made anew at each look. */
import type { RequestError } from '../../protocol/errors.ts';

export type DownloadState = 'starting' | 'running' | 'waiting' | 'paused' | 'done' | 'failed' | 'cancelled';

export interface PeerStatus {
  readonly device: string;
  readonly userName: string;
  /** Verified bytes that came from this peer, upper levels of the tree included. */
  readonly bytes: number;
  readonly badPieces: number;
  readonly state: 'connecting' | 'active' | 'gone' | 'banned';
}

export interface DownloadStatus {
  /** Number of the download in this client, from 1. */
  readonly id: number;
  readonly group: string;
  readonly name: string;
  /** Where the finished file will be, or is. */
  readonly destination: string;
  /** waiting: no peer that has what is missing is online; it goes on by itself when one comes. */
  readonly state: DownloadState;
  readonly sizeBytes: number;
  /** Bytes of the file that are verified and written. */
  readonly doneBytes: number;
  readonly pieceCount: number;
  readonly donePieces: number;
  /** Over the last few seconds. */
  readonly bytesPerSecond: number;
  /** Undefined while there is no rate to tell by. */
  readonly etaSeconds: number | undefined;
  /** From start to end or now. */
  readonly elapsedMs: number;
  /** Bytes that were on this disk already, in another file or an older version, and were not fetched. */
  readonly copiedBytes: number;
  /** Bytes that were hashed again because the last run ended before they were safely on disk. */
  readonly recheckedBytes: number;
  readonly peers: readonly PeerStatus[];
  /** Of a folder: how many files it has, and how many of them are there. */
  readonly files?: { readonly count: number; readonly done: number };
  readonly error: RequestError | undefined;
}
