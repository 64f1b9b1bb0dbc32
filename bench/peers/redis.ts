/**
 * What many would take to keep a tracker's books: Debian's Redis, told to sync its log before it answers, over TLS, loaded
 * by its own redis-benchmark. It keeps values under keys; it judges, signs and chains nothing.
 */
import { writeFileSync } from 'node:fs';
import { newIdentity } from '../../src/main/net/identity.ts';
import type { Child } from '../support/child.ts';
import { cpuSeconds } from '../support/measure.ts';
import { freePort } from '../support/network.ts';
import { missingCommand } from '../support/tools.ts';
import type { Workspace } from '../support/workspace.ts';

const SERVER = 'redis-server';
const LOAD = 'redis-benchmark';
/** As many as there are files in the tracker's groups, more or less. */
const KEYS = 16_384;

export interface RedisRun {
  readonly command: 'set' | 'get';
  readonly clients: number;
  readonly depth: number;
  readonly requests: number;
  readonly valueBytes: number;
}

export class Redis {
  readonly #workspace: Workspace;
  readonly #port: number;
  readonly #server: Child;

  private constructor(workspace: Workspace, port: number, server: Child) {
    this.#workspace = workspace;
    this.#port = port;
    this.#server = server;
  }

  /** How to install what is missing. */
  static missing(): string | undefined {
    return missingCommand(SERVER) ?? missingCommand(LOAD);
  }

  static async start(workspace: Workspace): Promise<Redis> {
    const port = await freePort();
    const { keyPem, certPem } = await newIdentity();
    writeFileSync(workspace.path('redis.key'), keyPem, { mode: 0o600 });
    writeFileSync(workspace.path('redis.crt'), certPem);
    const server = workspace.start('redis-server', SERVER, [
      ...['--port', '0', '--tls-port', String(port), '--bind', '127.0.0.1', '--tls-auth-clients', 'no'],
      ...['--tls-key-file', 'redis.key', '--tls-cert-file', 'redis.crt', '--tls-ca-cert-file', 'redis.crt'],
      ...['--appendonly', 'yes', '--appendfsync', 'always', '--save', ''],
    ]);
    await server.lineWith((line) => (line.includes('Ready to accept connections') ? line : undefined));
    return new Redis(workspace, port, server);
  }

  /** Requests a second by redis-benchmark's own count, and the server's CPU seconds. */
  async run({ command, clients, depth, requests, valueBytes }: RedisRun): Promise<{ perSecond: number; cpu: number }> {
    const before = cpuSeconds(this.#server.pid);
    const load = this.#workspace.start('redis-benchmark', LOAD, [
      ...['-h', '127.0.0.1', '-p', String(this.#port), '--tls', '--insecure', '--csv', '-t', command],
      ...['-c', String(clients), '-P', String(depth), '-n', String(requests), '-d', String(valueBytes)],
      ...['-r', String(KEYS)],
    ]);
    const perSecond = await load.lineWith((line) => {
      const [name, count] = line.split(',').map((cell) => cell.replaceAll('"', ''));
      return name?.toLowerCase() === command ? Number(count) : undefined;
    });
    await load.success();
    return { perSecond, cpu: cpuSeconds(this.#server.pid) - before };
  }
}
