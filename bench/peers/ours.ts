/**
 * This project as a user runs it: encrypted, a client program for each seeder, and a downloader that is new each time, its
 * keys, catalog and memory too. A group for each number of seeders, since a download takes all peers that a group has.
 */
import { mkdirSync } from 'node:fs';
import * as v from 'valibot';
import { freeAddress, Network, passwordOf, TRACKER_INFO } from '../support/network.ts';
import type { ShellClient } from '../support/shell-client.ts';
import { type Load, type Peer, type PeerKind, type Taken, watchEnds } from './peer.ts';

const measuredSchema = v.object({ seconds: v.number(), loopP99Ms: v.number(), loopMaxMs: v.number() });

export interface OurFlags {
  /** Of the client program, such as ['--workers', '2']. */
  readonly seeder: readonly string[];
  readonly downloader: readonly string[];
}

export class Ours implements Peer {
  readonly #load: Load;
  readonly #network: Network;
  readonly #flags: OurFlags;
  readonly #user: string;
  readonly #label: string;
  readonly #seeders: ShellClient[] = [];
  #downloads = 0;

  /** The label tells several on one network apart. */
  constructor(load: Load, network: Network, label: string, flags: OurFlags = { seeder: [], downloader: [] }) {
    this.#load = load;
    this.#network = network;
    this.#label = label;
    this.#flags = flags;
    this.#user = `${label}-downloader`;
  }

  async seed(counts: readonly number[]): Promise<void> {
    const flags = ['--piece-size', String(this.#load.pieceBytes), ...this.#flags.seeder];
    for (let n = 1; n <= Math.max(...counts); n += 1) {
      const seeder = await this.#network.client(`${this.#label}-seeder-${n}`, flags);
      await this.#network.enroll(seeder);
      this.#seeders.push(seeder);
    }
    const member = await this.#network.client(this.#user);
    await this.#network.enroll(member);
    for (const count of counts) {
      const seeders = this.#seeders.slice(0, count);
      await this.#network.group(this.#groupOf(count), [...seeders, member]);
      for (const seeder of seeders) await seeder.command('upload_file', this.#load.source, this.#groupOf(count));
    }
    await member.quit();
  }

  async download(seeders: number, directory: string): Promise<Taken> {
    this.#downloads += 1;
    const dataDirectory = `${this.#user}-${this.#downloads}`;
    mkdirSync(this.#load.workspace.path(dataDirectory));
    const client = [await freeAddress(), TRACKER_INFO, '--data-dir', dataDirectory, ...this.#flags.downloader];
    const args = [this.#user, passwordOf(this.#user), this.#groupOf(seeders), this.#load.source, directory, ...client];
    const downloader = this.#load.workspace.startProgram('downloader', 'bench/support/downloader.ts', args);
    await downloader.lineWith((line) => (line.includes('"ready"') ? line : undefined));
    const from = this.#seeders.slice(0, seeders).map(({ child }) => child.pid);
    const taken = watchEnds(downloader.pid, from);
    const measured = downloader.lineWith((line) => v.parse(measuredSchema, JSON.parse(line)));
    downloader.writeLine('go');
    const { seconds, loopP99Ms: p99Ms, loopMaxMs: maxMs } = await measured;
    const ends = taken();
    downloader.closeInput();
    await downloader.success();
    return { seconds, ...ends, loop: { p99Ms, maxMs } };
  }

  #groupOf(seeders: number): string {
    return `${this.#label}-${seeders}`;
  }
}

export const ours: PeerKind = {
  name: 'p2p-file-share',
  missing: () => undefined,
  start: async (load) => new Ours(load, await Network.start(load.workspace), 'ours'),
};
