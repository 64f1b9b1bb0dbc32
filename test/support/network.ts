/** A tracker and clients as processes, with users logged in and members of one group: where end-to-end tests begin. */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, writeFileSync } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { ClientHome, type ClientProcess } from './client-process.ts';
import type { Program } from './program.ts';
import { TrackerHome } from './tracker-process.ts';

export interface Member {
  readonly home: ClientHome;
  run: ClientProcess;
}

export class Network {
  readonly trackerHome: TrackerHome;
  tracker: Program;
  readonly #homes: ClientHome[] = [];

  private constructor(trackerHome: TrackerHome, tracker: Program) {
    this.trackerHome = trackerHome;
    this.tracker = tracker;
  }

  static async start(): Promise<Network> {
    const home = await TrackerHome.create();
    return new Network(home, await home.start());
  }

  async client(): Promise<ClientHome> {
    const home = await ClientHome.create(this.trackerHome.infoPath);
    this.#homes.push(home);
    return home;
  }

  /** Members of the group `pdfs`, the first its owner, each running and logged in. */
  async members(names: readonly string[], flags: readonly string[] = []): Promise<Member[]> {
    const members: Member[] = [];
    for (const name of names) {
      const home = await this.client();
      const run = home.run(...flags);
      await run.done('create_user', name, 'secret');
      await run.done('login', name, 'secret');
      const [owner] = members;
      if (owner) {
        await run.done('join_group', 'pdfs');
        await owner.run.done('accept_request', 'pdfs', name);
      } else {
        await run.done('create_group', 'pdfs');
      }
      members.push({ home, run });
    }
    return members;
  }

  async dispose(): Promise<void> {
    for (const home of this.#homes) await home.dispose();
    await this.trackerHome.dispose();
  }
}

export function writeRandomFile(path: string, sizeBytes: number): void {
  writeFileSync(path, randomBytes(sizeBytes));
}

/** SHA-256 in hex, by code that the engine has no part in. */
export async function sha256(path: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
}
