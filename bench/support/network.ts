/** A network on this machine for benches and demos: one tracker and any number of clients, each a process of its own. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { quoteWord } from '../../src/main/shell/words.ts';
import type { Child } from './child.ts';
import { ShellClient } from './shell-client.ts';
import type { Workspace } from './workspace.ts';

export const TRACKER_INFO = 'tracker_info.txt';
const HOST = '127.0.0.1';

/** Tells of each command before it is sent: who says what. */
export type Echo = (speaker: string, text: string) => void;

export class Network {
  readonly #workspace: Workspace;
  readonly #echo: Echo;
  readonly #tracker: Child;
  readonly #clients: ShellClient[] = [];

  /** As host:port. */
  readonly trackerAddress: string;

  private constructor(workspace: Workspace, tracker: Child, echo: Echo, trackerAddress: string) {
    this.trackerAddress = trackerAddress;
    this.#workspace = workspace;
    this.#tracker = tracker;
    this.#echo = echo;
  }

  static async start(workspace: Workspace, echo: Echo = () => {}): Promise<Network> {
    const port = await freePort();
    writeFileSync(workspace.path(TRACKER_INFO), `${HOST} ${port}\n`);
    echo('tracker', `$ tracker ${TRACKER_INFO} 1`);
    const args = [TRACKER_INFO, '1', '--data-dir', 'tracker-data'];
    const tracker = workspace.startProgram('tracker', 'src/main/tracker.ts', args);
    await tracker.lineWith((line) => (line.includes('listens on') ? line : undefined));
    return new Network(workspace, tracker, echo, `${HOST}:${port}`);
  }

  /** Starts a client with a directory of its own; the same name again is the same installation. */
  async client(name: string, flags: readonly string[] = []): Promise<ShellClient> {
    const address = await freeAddress();
    mkdirSync(this.#workspace.path(name), { recursive: true });
    this.#echo(name, `$ client ${[address, TRACKER_INFO, ...flags].join(' ')}`);
    const args = [address, TRACKER_INFO, '--json', '--data-dir', `${name}/data`, ...flags];
    const client = new ShellClient(this.#workspace.startProgram(name, 'src/main/client.ts', args));
    this.#clients.push(client);
    return client;
  }

  /** Sends a command to a client, and tells of it. */
  async say(client: ShellClient, ...words: readonly string[]): Promise<unknown> {
    this.#echo(client.child.name, `> ${words.map(quoteWord).join(' ')}`);
    return client.command(...words);
  }

  /** Makes an account for each client, and a group of them. */
  async form(group: string, clients: readonly ShellClient[]): Promise<void> {
    for (const client of clients) await this.enroll(client);
    await this.group(group, clients);
  }

  /** An account by the client's own name, logged in. */
  async enroll(client: ShellClient): Promise<void> {
    const user = client.child.name;
    await this.say(client, 'create_user', user, passwordOf(user));
    await this.say(client, 'login', user, passwordOf(user));
  }

  /** The first of the clients makes the group, asks nobody, and lets the others in. */
  async group(group: string, clients: readonly ShellClient[]): Promise<void> {
    const [owner, ...others] = clients;
    if (!owner) return;
    await this.say(owner, 'create_group', group);
    for (const client of others) {
      await this.say(client, 'join_group', group);
      await this.say(owner, 'accept_request', group, client.child.name);
    }
  }

  /** Ends all of it as people would. Rejects when one of the processes does not end well. */
  async quit(): Promise<void> {
    for (const client of this.#clients) await client.quit();
    this.#tracker.writeLine('quit');
    await this.#tracker.success();
  }
}

export const passwordOf = (user: string) => `${user}-123`;

export async function freeAddress(): Promise<string> {
  return `${HOST}:${await freePort()}`;
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, HOST, resolve);
  });
  const address = server.address();
  await new Promise<void>((resolve) => server.close(() => resolve()));
  if (typeof address !== 'object' || !address) throw new Error('a listening socket has a port');
  return address.port;
}
