/** A tracker and clients in this process, through the library's face: for tests that look closer than programs can. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, type ClientOptions } from '../../src/main/index.ts';
import { MIB } from '../../src/protocol/limits.ts';
import { freePort } from './program.ts';
import { TrackerBench } from './tracker.ts';

export class Library {
  readonly path = mkdtempSync(join(tmpdir(), 'p2pfs-library-'));
  readonly bench = new TrackerBench();
  readonly #clients: Client[] = [];

  static async start(): Promise<Library> {
    const library = new Library();
    const { address } = await library.bench.start();
    writeFileSync(join(library.path, 'tracker_info.txt'), `${address.host} ${address.port}\n`);
    return library;
  }

  /** A client with a directory of its own, `path/name`; the same name again is the same installation. */
  async client(name: string, options: Partial<ClientOptions> = {}): Promise<Client> {
    mkdirSync(join(this.path, name), { recursive: true });
    const client = await Client.start({
      address: { host: '127.0.0.1', port: await freePort() },
      trackerInfoPath: join(this.path, 'tracker_info.txt'),
      dataDir: join(this.path, name, 'data'),
      workers: 1,
      memoryBytes: 16 * MIB,
      pieceSizeBytes: 16 * 1024,
      ...options,
    });
    this.#clients.push(client);
    return client;
  }

  /** Clients of as many users, all members of the group `g`. */
  async members(names: readonly string[], options: Partial<ClientOptions> = {}): Promise<Client[]> {
    const members: Client[] = [];
    for (const name of names) {
      const client = await this.client(name, options);
      await client.createUser(name, 'secret');
      await client.login(name, 'secret');
      const [owner] = members;
      if (owner) {
        await client.joinGroup('g');
        await owner.acceptRequest('g', name);
      } else await client.createGroup('g');
      members.push(client);
    }
    return members;
  }

  /** Alice and Bob, both members of the group `g`. */
  async two(): Promise<[Client, Client]> {
    const [alice, bob] = await this.members(['alice', 'bob']);
    if (!alice || !bob) throw new Error('two members');
    return [alice, bob];
  }

  /** Clients of further users, let into the group by its owner. */
  async moreMembers(names: readonly string[], owner: Client): Promise<Client[]> {
    const members: Client[] = [];
    for (const name of names) {
      const client = await this.client(name);
      await client.createUser(name, 'secret');
      await client.login(name, 'secret');
      await client.joinGroup('g');
      await owner.acceptRequest('g', name);
      members.push(client);
    }
    return members;
  }

  file(client: string, name: string): string {
    return join(this.path, client, name);
  }

  async dispose(): Promise<void> {
    for (const client of this.#clients) await client.close();
    await this.bench.dispose();
    rmSync(this.path, { recursive: true, force: true });
  }
}
