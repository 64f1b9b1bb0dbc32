/**
 * A peer of another program as a script drives it (libtorrent-peer.py, webtorrent/peer.js): seeders and downloaders are
 * processes that say their port, a line with ports is the command to fetch, and the downloader says how long it took.
 */
import { writeFileSync } from 'node:fs';
import * as v from 'valibot';
import type { Child } from '../support/child.ts';
import { note } from '../support/report.ts';
import { type Load, type Peer, type Taken, watchEnds } from './peer.ts';
import { Torrent } from './torrent.ts';

const readySchema = v.object({ port: v.number() });
const doneSchema = v.object({ seconds: v.number() });

export class ScriptedPeer implements Peer {
  readonly #name: string;
  readonly #load: Load;
  readonly #command: readonly [string, string];
  readonly #seeders: { readonly child: Child; readonly port: number }[] = [];

  /** `command`: the program and the script. */
  constructor(name: string, load: Load, command: readonly [string, string]) {
    this.#name = name;
    this.#load = load;
    this.#command = command;
    const torrent = new Torrent(load.workspace.path(load.source), load.pieceBytes);
    writeFileSync(load.workspace.path(this.#torrentPath), torrent.file());
  }

  get #torrentPath(): string {
    return `${this.#name}.torrent`;
  }

  async seed(counts: readonly number[]): Promise<void> {
    for (let n = 1; n <= Math.max(...counts); n += 1) {
      const start = () => this.#start(`seeder ${n}`, 'seed', '.');
      // libtorrent 2.0.8 was once seen to crash as it checked the file. No clock runs yet: a second try is fair.
      const seeder = await start().catch((error: Error) => {
        note(`${error.message}; started again`);
        return start();
      });
      this.#seeders.push(seeder);
    }
  }

  async download(seeders: number, directory: string): Promise<Taken> {
    const from = this.#seeders.slice(0, seeders);
    const { child } = await this.#start('downloader', 'download', directory);
    const pids = from.map((seeder) => seeder.child.pid);
    const taken = watchEnds(child.pid, pids);
    const done = child.lineWith((line) => v.parse(doneSchema, JSON.parse(line)));
    child.writeLine(from.map(({ port }) => port).join(' '));
    const { seconds } = await done;
    const ends = taken();
    child.closeInput();
    await child.success();
    return { seconds, ...ends };
  }

  async #start(what: string, role: string, directory: string) {
    const [program, script] = this.#command;
    const args = [script, role, this.#torrentPath, directory];
    const child = this.#load.workspace.start(`${this.#name} ${what}`, program, args);
    const { port } = await child.lineWith((line) => v.parse(readySchema, JSON.parse(line)));
    return { child, port };
  }
}
