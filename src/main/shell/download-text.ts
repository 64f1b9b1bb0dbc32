/**
 * How a download reads: its line in show_downloads, its progress, its end, and its fields in JSON. Pure, from the
 * status alone; names that came from others are made printable here.
 */
import { printable } from '../../protocol/names.ts';
import { describeError } from '../support/failures.ts';
import type { DownloadState, DownloadStatus } from '../swarm/status.ts';
import type { Json } from './command.ts';
import {
  averageRate,
  count,
  formatDuration,
  formatPercent,
  formatRate,
  formatSeconds,
  formatSize,
  percentOf,
  table,
} from './format.ts';

const MARKS: Readonly<Record<DownloadState, string>> = {
  starting: 'D',
  running: 'D',
  waiting: 'W',
  paused: 'P',
  done: 'C',
  failed: 'F',
  cancelled: 'X',
};

/** Whether it still moves, or will by itself: what a script waits for at its end. */
export function isUnderWay(status: DownloadStatus): boolean {
  return status.state === 'starting' || status.state === 'running' || status.state === 'waiting';
}

/** Whether nothing will move it any more; a paused download has not ended. */
export function hasEnded(status: DownloadStatus): boolean {
  return status.state === 'done' || status.state === 'failed' || status.state === 'cancelled';
}

const activePeers = (status: DownloadStatus) => status.peers.filter((peer) => peer.state === 'active').length;

function detailOf(status: DownloadStatus): string {
  switch (status.state) {
    case 'starting':
      return 'starting';
    case 'running':
      return [
        formatRate(status.bytesPerSecond),
        ...(status.etaSeconds === undefined ? [] : [`ETA ${formatSeconds(status.etaSeconds)}`]),
        count(activePeers(status), 'peer'),
        ...(status.files ? [`${status.files.done} of ${count(status.files.count, 'file')}`] : []),
      ].join('  ');
    case 'waiting':
      return 'waiting for peers';
    case 'paused':
      return 'paused';
    case 'done':
      return `${formatSize(status.sizeBytes)} in ${formatDuration(status.elapsedMs)}`;
    case 'failed':
      return `failed: ${printable(status.error?.message ?? 'for an unknown reason')}`;
    case 'cancelled':
      return 'cancelled';
    default:
      return status.state satisfies never;
  }
}

/** One line a download: `[D] [pdfs] libc.pdf  42 %  12.3 MiB/s  ETA 3 s  2 peers`. */
export function downloadLines(statuses: readonly DownloadStatus[]): string {
  const rows = statuses.map((status) => [
    `[${MARKS[status.state]}] [${printable(status.group)}] ${printable(status.name)}`,
    formatPercent(status.doneBytes, status.sizeBytes),
    detailOf(status),
  ]);
  return table(rows, new Set([1]));
}

/** `alice 52 %, bob 48 %`: who gave how much, the most generous first. */
export function sourcesOf(status: DownloadStatus): string {
  const bytesByUser = new Map<string, number>();
  let total = 0;
  for (const { userName, bytes } of status.peers) {
    if (bytes === 0) continue;
    total += bytes;
    bytesByUser.set(userName, (bytesByUser.get(userName) ?? 0) + bytes);
  }
  if (status.copiedBytes > 0) {
    total += status.copiedBytes;
    bytesByUser.set('this disk', status.copiedBytes);
  }
  return [...bytesByUser]
    .sort(([, a], [, b]) => b - a)
    .map(([user, bytes]) => `${printable(user)} ${percentOf(bytes, total)} %`)
    .join(', ');
}

/** The sentence at its end: `Downloaded libc.pdf: 2.0 GiB in 3.1 s (660 MiB/s) from alice 52 %, bob 48 %`. */
export function downloadEndText(status: DownloadStatus): string {
  const name = printable(status.name);
  switch (status.state) {
    case 'done': {
      const rate = averageRate(status.sizeBytes, status.elapsedMs);
      const sources = sourcesOf(status);
      return `Downloaded ${name}: ${formatSize(status.sizeBytes)} in ${formatDuration(status.elapsedMs)}${
        rate ? ` (${rate})` : ''
      }${sources ? ` from ${sources}` : ''}`;
    }
    case 'cancelled':
      return `Cancelled the download of ${name}.`;
    default:
      return `Download of ${name} failed: ${describeError(status.error ?? status.state)}`;
  }
}

/** The same as plain JSON, byte counts and seconds as numbers. */
export function downloadData(status: DownloadStatus): { readonly [key: string]: Json | undefined } {
  return {
    id: status.id,
    group: status.group,
    name: status.name,
    destination: status.destination,
    state: status.state,
    sizeBytes: status.sizeBytes,
    doneBytes: status.doneBytes,
    copiedBytes: status.copiedBytes,
    recheckedBytes: status.recheckedBytes,
    pieceCount: status.pieceCount,
    donePieces: status.donePieces,
    bytesPerSecond: Math.round(status.bytesPerSecond),
    etaSeconds: status.etaSeconds,
    elapsedMs: Math.round(status.elapsedMs),
    files: status.files,
    peers: status.peers.map((peer) => ({
      device: peer.device,
      user: peer.userName,
      bytes: peer.bytes,
      badPieces: peer.badPieces,
      state: peer.state,
    })),
    code: status.error?.code,
    message: status.error?.message,
    hint: status.error?.hint,
  };
}
