/** WebTorrent on this Node: a process for each peer, webtorrent/peer.js, whose packages lie beside it, none of ours. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { PeerKind } from './peer.ts';
import { ScriptedPeer } from './scripted.ts';

export const WEBTORRENT_DIRECTORY = join(import.meta.dirname, 'webtorrent');

export const webtorrent: PeerKind = {
  name: 'webtorrent',
  missing: () =>
    existsSync(join(WEBTORRENT_DIRECTORY, 'node_modules', 'webtorrent'))
      ? undefined
      : `npm ci --ignore-scripts --prefix ${WEBTORRENT_DIRECTORY}`,
  start: async (load) =>
    new ScriptedPeer('webtorrent', load, [process.execPath, join(WEBTORRENT_DIRECTORY, 'peer.js')]),
};
