/** What the bar of an upload or a download shows. Pure. */
import { basename } from 'node:path';
import type { ShareProgress } from '../client/types.ts';
import type { DownloadStatus } from '../swarm/status.ts';
import type { Bar } from './bars.ts';
import { count, formatRate, formatSeconds, formatSize } from './format.ts';

export function shareBar({ path, doneBytes, sizeBytes }: ShareProgress): Bar {
  return {
    label: `Hashing ${basename(path)}`,
    done: doneBytes,
    total: sizeBytes,
    note: `${formatSize(doneBytes)} of ${formatSize(sizeBytes)}`,
  };
}

export function downloadBar(status: DownloadStatus): Bar {
  const peers = status.peers.filter((peer) => peer.state === 'active').length;
  const eta = status.etaSeconds === undefined ? '' : `  ETA ${formatSeconds(status.etaSeconds)}`;
  return {
    label: status.name,
    done: status.doneBytes,
    total: status.sizeBytes,
    note:
      status.state === 'running'
        ? `${formatRate(status.bytesPerSecond)}${eta}  ${count(peers, 'peer')}`
        : status.state === 'waiting'
          ? 'waiting for peers'
          : status.state,
  };
}
