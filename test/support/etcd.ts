/**
 * A real etcd of any number of members on loopback, each a process that can be killed, stopped and started again, in a
 * temporary directory. Where etcd is not installed, tests say so and are skipped; in CI they fail.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { eventually } from './eventually.ts';
import { freePort } from './program.ts';

const HINT = 'etcd is not installed: apt-get install etcd-server';
const isInstalled = spawnSync('etcd', ['--version']).status === 0;

/** `describe`, where there is an etcd. */
export function describeWithEtcd(name: string, body: () => void): void {
  if (isInstalled) {
    describe(name, body);
    return;
  }
  if (process.env['CI']) {
    test(name, () => {
      throw new Error(HINT);
    });
    return;
  }
  process.stderr.write(`\nSKIPPED "${name}": ${HINT}\n\n`);
  describe.skip(name, body);
}

interface Member {
  readonly name: string;
  readonly clientPort: number;
  readonly peerPort: number;
  process: ChildProcess | undefined;
}

interface MemberStatus {
  readonly leader?: string;
  readonly header: { readonly member_id: string };
}

export interface EtcdOptions {
  /** Flags of every member, such as those for TLS. */
  readonly flags?: readonly string[];
}

export class EtcdCluster {
  readonly path = mkdtempSync(join(tmpdir(), 'p2pfs-etcd-'));
  readonly #members: readonly Member[];
  readonly #options: EtcdOptions;

  private constructor(members: readonly Member[], options: EtcdOptions) {
    this.#members = members;
    this.#options = options;
  }

  /** Started, and with a leader. */
  static async of(count: number, options: EtcdOptions = {}): Promise<EtcdCluster> {
    if (!isInstalled) throw new Error(HINT);
    const ports = new Set<number>();
    while (ports.size < 2 * count) ports.add(await freePort());
    const all = [...ports];
    const members = Array.from({ length: count }, (_, at) => ({
      name: `m${at}`,
      clientPort: all[2 * at] ?? 0,
      peerPort: all[2 * at + 1] ?? 0,
      process: undefined,
    }));
    const cluster = new EtcdCluster(members, options);
    for (let at = 0; at < count; at += 1) cluster.start(at);
    await cluster.ready();
    return cluster;
  }

  get size(): number {
    return this.#members.length;
  }

  endpoint(at: number): string {
    return `127.0.0.1:${this.#member(at).clientPort}`;
  }

  /** For --log. */
  url(prefix = 'test'): string {
    return `etcd://${this.#members.map((_, at) => this.endpoint(at)).join(',')}/${prefix}`;
  }

  /** Also again, after it was killed. */
  start(at: number): void {
    const { name, clientPort, peerPort } = this.#member(at);
    const { flags = [] } = this.#options;
    const scheme = flags.includes('--cert-file') ? 'https' : 'http';
    const output = openSync(join(this.path, `${name}.log`), 'a');
    const args = [
      ...['--name', name, '--data-dir', join(this.path, name), '--log-level', 'warn', '--logger', 'zap'],
      ...['--listen-client-urls', `${scheme}://127.0.0.1:${clientPort}`],
      ...['--advertise-client-urls', `${scheme}://127.0.0.1:${clientPort}`],
      ...['--listen-peer-urls', `http://127.0.0.1:${peerPort}`],
      ...['--initial-advertise-peer-urls', `http://127.0.0.1:${peerPort}`],
      ...['--initial-cluster', this.#members.map((m) => `${m.name}=http://127.0.0.1:${m.peerPort}`).join(',')],
      ...flags,
    ];
    this.#member(at).process = spawn('etcd', args, { stdio: ['ignore', output, output] });
  }

  async kill(at: number): Promise<void> {
    const child = this.#member(at).process;
    this.#member(at).process = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'close');
  }

  /** It is there, and does nothing, until it is told to go on. */
  pause(at: number): void {
    this.#member(at).process?.kill('SIGSTOP');
  }

  goOn(at: number): void {
    this.#member(at).process?.kill('SIGCONT');
  }

  /** Which member leads; undefined when the one asked knows of none. */
  async leader(): Promise<number | undefined> {
    const ids: string[] = [];
    let leader: string | undefined;
    for (const at of this.#members.keys()) {
      const status = await this.#status(at);
      ids.push(status?.header.member_id ?? '');
      if (status?.leader !== undefined && status.leader !== '0') leader ??= status.leader;
    }
    const at = leader === undefined ? -1 : ids.indexOf(leader);
    return at < 0 ? undefined : at;
  }

  /** How many keys begin with this, as a majority has it. */
  async count(prefix: string): Promise<number> {
    const key = Buffer.from(prefix);
    const end = Buffer.from(prefix);
    end[end.length - 1] = (end.at(-1) ?? 0) + 1;
    const question = { key: key.toString('base64'), range_end: end.toString('base64'), count_only: true };
    let count: string | undefined;
    await eventually(async () => {
      const answer = (await this.#post(0, '/v3/kv/range', question)) as { count?: string } | undefined;
      count = answer?.count;
      return count !== undefined;
    });
    return Number(count);
  }

  /** A write goes through. */
  async ready(): Promise<void> {
    await eventually(async () => {
      for (const [at, { process: child, name }] of this.#members.entries()) {
        if (child && child.exitCode !== null) {
          throw new Error(`etcd ended:\n${readFileSync(join(this.path, `${name}.log`), 'utf8')}`);
        }
        if (child && (await this.#writes(at))) return true;
      }
      return false;
    });
  }

  async dispose(): Promise<void> {
    for (const at of this.#members.keys()) await this.kill(at);
    rmSync(this.path, { recursive: true, force: true });
  }

  async #status(at: number): Promise<MemberStatus | undefined> {
    if (!this.#member(at).process) return undefined;
    return (await this.#post(at, '/v3/maintenance/status', {})) as MemberStatus | undefined;
  }

  async #writes(at: number): Promise<boolean> {
    // With TLS only our own client has the certificates: asking who listens must do.
    if (this.#options.flags?.includes('--cert-file')) return (await this.#connects(at)) ?? false;
    const key = Buffer.from('ready').toString('base64');
    return (await this.#post(at, '/v3/kv/put', { key, value: key })) !== undefined;
  }

  async #connects(at: number): Promise<boolean> {
    const error = await fetch(`http://${this.endpoint(at)}/health`).catch((failure: Error) => failure);
    return !(error instanceof Error && JSON.stringify(error.cause).includes('ECONNREFUSED'));
  }

  async #post(at: number, path: string, body: unknown): Promise<unknown> {
    try {
      const response = await fetch(`http://${this.endpoint(at)}${path}`, {
        method: 'POST',
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(1_000),
      });
      return response.ok ? await response.json() : undefined;
    } catch {
      return undefined;
    }
  }

  #member(at: number): Member {
    const member = this.#members[at];
    if (!member) throw new RangeError(`no member ${at}`);
    return member;
  }
}
