/** libtorrent through its Python bindings: a process for each peer, bench/peers/libtorrent-peer.py, which has the settings. */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import type { Child } from '../support/child.ts';
import { howToInstall } from '../support/tools.ts';
import { type Load, type Peer, type PeerKind, SOURCE, type Taken, watchEnds } from './peer.ts';
import { Torrent } from './torrent.ts';

/** Debian's own: another Python that comes first in the path would not have Debian's packages. */
const PYTHON = '/usr/bin/python3';
const SCRIPT = join(import.meta.dirname, 'libtorrent-peer.py');
const TORRENT = 'libtorrent.torrent';
const readySchema = v.object({ port: v.number() });
const doneSchema = v.object({ seconds: v.number() });

class Libtorrent implements Peer {
  readonly #load: Load;
  readonly #seeders: { readonly child: Child; readonly port: number }[] = [];

  constructor(load: Load) {
    this.#load = load;
    const torrent = new Torrent(load.workspace.path(SOURCE), load.pieceBytes);
    writeFileSync(load.workspace.path(TORRENT), torrent.file());
  }

  async seed(counts: readonly number[]): Promise<void> {
    for (let n = 1; n <= Math.max(...counts); n += 1)
      this.#seeders.push(await this.#start(`libtorrent seeder ${n}`, 'seed', '.'));
  }

  async download(seeders: number, directory: string): Promise<Taken> {
    const from = this.#seeders.slice(0, seeders);
    const { child } = await this.#start('libtorrent downloader', 'download', directory);
    const taken = watchEnds(
      child.pid,
      from.map((seeder) => seeder.child.pid),
    );
    const done = child.lineWith((line) => v.parse(doneSchema, JSON.parse(line)));
    child.writeLine(from.map(({ port }) => port).join(' '));
    const { seconds } = await done;
    const ends = taken();
    child.closeInput();
    await child.success();
    return { seconds, ...ends };
  }

  async #start(name: string, role: string, directory: string) {
    const child = this.#load.workspace.start(name, PYTHON, [SCRIPT, role, TORRENT, directory]);
    const { port } = await child.lineWith((line) => v.parse(readySchema, JSON.parse(line)));
    return { child, port };
  }
}

export const libtorrent: PeerKind = {
  name: 'libtorrent',
  missing() {
    try {
      execFileSync(PYTHON, ['-c', 'import libtorrent'], { stdio: 'ignore' });
      return undefined;
    } catch {
      return howToInstall({ command: PYTHON, debianPackage: 'python3-libtorrent' });
    }
  },
  start: async (load) => new Libtorrent(load),
};
