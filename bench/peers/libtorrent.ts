/** libtorrent through its Python bindings: a process for each peer, libtorrent-peer.py, which has the settings. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { aptGet } from '../support/tools.ts';
import type { PeerKind } from './peer.ts';
import { ScriptedPeer } from './scripted.ts';

/** Debian's own: another Python that comes first in the path would not have Debian's packages. */
const PYTHON = '/usr/bin/python3';
const SCRIPT = join(import.meta.dirname, 'libtorrent-peer.py');

export const libtorrent: PeerKind = {
  name: 'libtorrent',
  missing() {
    try {
      execFileSync(PYTHON, ['-c', 'import libtorrent'], { stdio: 'ignore' });
      return undefined;
    } catch {
      return aptGet('python3-libtorrent');
    }
  },
  start: async (load) => new ScriptedPeer('libtorrent', load, [PYTHON, SCRIPT]),
};
