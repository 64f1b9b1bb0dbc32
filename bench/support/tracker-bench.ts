/** A tracker and the processes that load it, as a bench drives them: each order is a line, and so is what came of it. */
import * as v from 'valibot';
import type { Child } from './child.ts';
import { cpuSeconds } from './measure.ts';
import type { Workspace } from './workspace.ts';

export interface LoadOrder {
  /** `probe`: look-ups of one client, one after the other, each timed. */
  readonly what: 'transactions' | 'look-ups' | 'listings' | 'logins' | 'probe';
  readonly ms: number;
  /** Calls under way per client. */
  readonly depth: number;
}

const loadSchema = v.object({
  count: v.number(),
  seconds: v.number(),
  /** Of the timed ones: ms at the median, at the 99th percentile, and of the slowest. */
  p50: v.number(),
  p99: v.number(),
  max: v.number(),
});
export type LoadResult = v.InferOutput<typeof loadSchema>;

const addressSchema = v.object({ port: v.number() });
const standingSchema = v.object({ standing: v.number() });

export class BenchTracker {
  readonly child: Child;
  readonly #workspace: Workspace;
  readonly #port: number;

  private constructor(workspace: Workspace, child: Child, port: number) {
    this.#workspace = workspace;
    this.child = child;
    this.#port = port;
  }

  static async start(workspace: Workspace, dataDir: string): Promise<BenchTracker> {
    const child = workspace.startProgram('tracker', 'bench/support/tracker-process.ts', [dataDir]);
    const { port } = v.parse(addressSchema, await child.lineWith(parsed));
    return new BenchTracker(workspace, child, port);
  }

  /** A process with so many clients, each with a user, a group and files in it. */
  async load(clients: number): Promise<Child> {
    const args = [String(this.#port), String(clients)];
    const load = this.#workspace.startProgram('load', 'bench/support/tracker-load.ts', args);
    await load.lineWith(parsed);
    return load;
  }

  /** Has a load process do something, and gives with it the tracker's CPU seconds meanwhile. */
  async order(load: Child, order: LoadOrder): Promise<LoadResult & { readonly cpu: number }> {
    const before = cpuSeconds(this.child.pid);
    load.writeLine(JSON.stringify(order));
    const result = v.parse(loadSchema, await load.lineWith(parsed));
    return { ...result, cpu: cpuSeconds(this.child.pid) - before };
  }

  /** A process with so many connections that are logged in and idle. Resolves when all stand. */
  async idle(count: number): Promise<Child> {
    const args = [String(this.#port), String(count)];
    const idle = this.#workspace.startProgram('idle', 'bench/support/tracker-idle.ts', args);
    await idle.lineWith(parsed);
    return idle;
  }

  async quit(): Promise<void> {
    this.child.writeLine('quit');
    await this.child.success();
  }
}

/** How many of its connections still stand. */
export async function standing(idle: Child): Promise<number> {
  const told = idle.lineWith(parsed);
  idle.writeLine('');
  return v.parse(standingSchema, await told).standing;
}

const parsed = (line: string): unknown => JSON.parse(line);
