/** Several trackers of one network in this process, each with a data directory of its own, and clients of each. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Identity } from '../../src/main/net/identity.ts';
import { Tracker, type TrackerOptions } from '../../src/main/tracker/node.ts';
import type { TrackerLine } from '../../src/protocol/tracker-info.ts';
import { eventually } from './eventually.ts';
import { freePort } from './program.ts';
import { WireClient } from './tracker.ts';

export class Trackers {
  readonly lines: readonly TrackerLine[];
  readonly #path = mkdtempSync(join(tmpdir(), 'p2pfs-trackers-'));
  readonly #running = new Map<number, Tracker>();
  readonly #clients: WireClient[] = [];

  private constructor(ports: readonly number[]) {
    this.lines = ports.map((port) => ({ host: '127.0.0.1', port, pin: undefined }));
  }

  static async of(count: number): Promise<Trackers> {
    const ports = new Set<number>();
    while (ports.size < count) ports.add(await freePort());
    return new Trackers([...ports]);
  }

  /** Numbers count from 0. `apart`: without a way to the others. */
  async start(at: number, options: Partial<TrackerOptions> & { apart?: boolean } = {}): Promise<Tracker> {
    const { apart = false, ...rest } = options;
    const tracker = await Tracker.start({
      address: this.#line(at),
      dataDir: this.dataDir(at),
      others: apart ? [] : this.lines.filter((_, other) => other !== at),
      accountLimits: { perAddressMax: 10_000, perAccountMax: 10_000, windowMs: 60_000 },
      ...rest,
    });
    this.#running.set(at, tracker);
    return tracker;
  }

  tracker(at: number): Tracker {
    const tracker = this.#running.get(at);
    if (!tracker) throw new Error(`tracker ${at} does not run`);
    return tracker;
  }

  async stop(at: number): Promise<void> {
    await this.tracker(at).close();
    this.#running.delete(at);
  }

  dataDir(at: number): string {
    return join(this.#path, `tracker-${at}`);
  }

  /** Puts the data directory of a stopped tracker aside; the returned function puts it back as it was. */
  copyOf(at: number): () => void {
    const copy = join(this.#path, `copy-${at}`);
    cpSync(this.dataDir(at), copy, { recursive: true });
    return () => {
      rmSync(this.dataDir(at), { recursive: true });
      cpSync(copy, this.dataDir(at), { recursive: true });
    };
  }

  async client(at: number, identity?: Identity): Promise<WireClient> {
    const client = await WireClient.connect(this.#line(at), identity);
    this.#clients.push(client);
    return client;
  }

  /** Each running tracker follows each other one. */
  async linked(): Promise<void> {
    await eventually(() => {
      const running = [...this.#running.values()];
      return running.every((tracker) => running.every(({ id }) => id === tracker.id || tracker.others.includes(id)));
    });
  }

  /** All that run hold the same, and it adds up to the same. */
  async agreed(): Promise<void> {
    await eventually(() => new Set([...this.#running.values()].map((tracker) => fingerprint(tracker))).size === 1);
  }

  async dispose(): Promise<void> {
    for (const client of this.#clients) client.close();
    for (const tracker of this.#running.values()) await tracker.close();
    rmSync(this.#path, { recursive: true, force: true });
  }

  #line(at: number): TrackerLine {
    const line = this.lines[at];
    if (!line) throw new Error(`no tracker ${at}`);
    return line;
  }
}

function fingerprint(tracker: Tracker): string {
  const { held, digest } = tracker.state();
  return JSON.stringify([Object.entries(held).sort(), digest]);
}
