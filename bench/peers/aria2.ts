/**
 * aria2, a process for each peer, over its JSON-RPC. It takes peers from a tracker alone, so it is given one; everything
 * else that would cost it time is off. Files are not written in advance, which it would do with zeros.
 */
import { setTimeout as delay } from 'node:timers/promises';
import * as v from 'valibot';
import { AnnounceServer } from '../support/announce.ts';
import type { Child } from '../support/child.ts';
import { freePort } from '../support/network.ts';
import { missingCommand } from '../support/tools.ts';
import { type Load, type Peer, type PeerKind, type Taken, watchEnds } from './peer.ts';
import { Torrent } from './torrent.ts';

const SETTINGS = [
  '--no-conf',
  '--quiet',
  '--enable-rpc',
  '--enable-dht=false',
  '--enable-dht6=false',
  '--bt-enable-lpd=false',
  '--enable-peer-exchange=false',
  '--bt-require-crypto=false',
  '--bt-min-crypto-level=plain',
  '--bt-max-peers=0',
  '--max-overall-upload-limit=0',
  '--max-overall-download-limit=0',
  '--seed-ratio=0',
  '--file-allocation=none',
];
const CONNECT_RETRY_MS = 20;
const SEED_POLL_MS = 50;

const messageSchema = v.looseObject({
  id: v.optional(v.nullable(v.string())),
  method: v.optional(v.string()),
  result: v.optional(v.unknown()),
  error: v.optional(v.object({ message: v.string() })),
});
const statusSchema = v.object({
  status: v.string(),
  completedLength: v.string(),
  totalLength: v.string(),
  seeder: v.optional(v.string()),
});

/** A running aria2. One call at a time. */
class Process {
  readonly child: Child;
  readonly port: number;
  readonly #socket: WebSocket;

  private constructor(child: Child, port: number, socket: WebSocket) {
    this.child = child;
    this.port = port;
    this.#socket = socket;
  }

  static async start({ workspace }: Load, name: string): Promise<Process> {
    const [port, rpcPort] = [await freePort(), await freePort()];
    const args = [...SETTINGS, `--listen-port=${port}`, `--rpc-listen-port=${rpcPort}`];
    const child = workspace.start(name, 'aria2c', args);
    for (;;) {
      const socket = new WebSocket(`ws://127.0.0.1:${rpcPort}/jsonrpc`);
      const opened = await new Promise<boolean>((resolve) => {
        socket.onopen = () => resolve(true);
        socket.onerror = () => resolve(false);
      });
      if (opened) return new Process(child, port, socket);
      if (child.hasEnded) throw new Error(child.endText(await child.ended));
      await delay(CONNECT_RETRY_MS);
    }
  }

  /** Rejects with its refusal, or when the process ends first. */
  async call(method: string, ...params: readonly unknown[]): Promise<unknown> {
    const id = method;
    const answer = this.#message((message) => message.id === id);
    this.#socket.send(JSON.stringify({ jsonrpc: '2.0', id, method: `aria2.${method}`, params }));
    const { result, error } = await answer;
    if (error) throw new Error(`${this.child.name}: ${method}: ${error.message}`);
    return result;
  }

  /** Until the download is complete. Rejects when it fails. */
  async complete(): Promise<void> {
    const ENDS = ['aria2.onBtDownloadComplete', 'aria2.onDownloadError', 'aria2.onDownloadStop'];
    const { method } = await this.#message((message) => ENDS.includes(message.method ?? ''));
    if (method !== ENDS[0]) throw new Error(`${this.child.name} gave the download up: ${method}`);
  }

  async #message(wanted: (message: v.InferOutput<typeof messageSchema>) => boolean) {
    const listening = new AbortController();
    const found = new Promise<v.InferOutput<typeof messageSchema>>((resolve) => {
      const listener = ({ data }: MessageEvent) => {
        const message = v.parse(messageSchema, JSON.parse(String(data)));
        if (wanted(message)) resolve(message);
      };
      this.#socket.addEventListener('message', listener, { signal: listening.signal });
    });
    const early = this.child.ended.then((exit) => {
      throw new Error(this.child.endText(exit));
    });
    return Promise.race([found, early]).finally(() => listening.abort());
  }

  async stop(): Promise<void> {
    this.#socket.close();
    this.child.kill('SIGKILL');
    await this.child.ended;
  }
}

class Aria2 implements Peer {
  readonly #load: Load;
  readonly #torrent: string;
  readonly #seeders: Process[] = [];
  #tracker: AnnounceServer | undefined;

  constructor(load: Load) {
    this.#load = load;
    this.#torrent = Buffer.from(new Torrent(load.workspace.path(load.source), load.pieceBytes).file()).toString(
      'base64',
    );
  }

  async seed(counts: readonly number[]): Promise<void> {
    for (let n = 1; n <= Math.max(...counts); n += 1) {
      const seeder = await Process.start(this.#load, `aria2 seeder ${n}`);
      const options = { dir: this.#load.workspace.directory, 'check-integrity': 'true' };
      await seeder.call('addTorrent', this.#torrent, [], options).then((gid) => isSeeding(seeder, gid));
      this.#seeders.push(seeder);
    }
    this.#tracker = await AnnounceServer.start(this.#seeders.map(({ port }) => port));
  }

  async download(seeders: number, directory: string): Promise<Taken> {
    if (!this.#tracker) throw new Error('aria2: seed comes first');
    const downloader = await Process.start(this.#load, 'aria2 downloader');
    const options = { dir: this.#load.workspace.path(directory), 'bt-tracker': this.#tracker.address(seeders) };
    const pids = this.#seeders.slice(0, seeders).map(({ child }) => child.pid);
    const taken = watchEnds(downloader.child.pid, pids);
    const startedMs = performance.now();
    const complete = downloader.complete();
    await Promise.all([downloader.call('addTorrent', this.#torrent, [], options), complete]);
    const seconds = (performance.now() - startedMs) / 1000;
    const ends = taken();
    await downloader.stop();
    return { seconds, ...ends };
  }
}

/** Once it has read and checked all of the file. */
async function isSeeding(seeder: Process, gid: unknown): Promise<void> {
  for (;;) {
    const status = v.parse(statusSchema, await seeder.call('tellStatus', gid));
    if (status.status !== 'active') throw new Error(`${seeder.child.name} does not seed: ${status.status}`);
    if (status.seeder === 'true' && status.completedLength === status.totalLength) return;
    await delay(SEED_POLL_MS);
  }
}

export const aria2: PeerKind = {
  name: 'aria2',
  missing: () => missingCommand('aria2c'),
  start: async (load) => new Aria2(load),
};
