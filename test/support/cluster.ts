/** The tracker program, several times, as the lines of one tracker_info.txt. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Address } from '../../src/protocol/tracker-info.ts';
import { freePort, Program } from './program.ts';

export class Cluster {
  readonly path = mkdtempSync(join(tmpdir(), 'p2pfs-cluster-'));
  readonly infoPath = join(this.path, 'tracker_info.txt');
  readonly addresses: readonly Address[];
  readonly #runs: Program[] = [];

  private constructor(ports: readonly number[]) {
    this.addresses = ports.map((port) => ({ host: '127.0.0.1', port }));
    writeFileSync(this.infoPath, ports.map((port) => `127.0.0.1 ${port}\n`).join(''));
  }

  static async of(count: number): Promise<Cluster> {
    const ports = new Set<number>();
    while (ports.size < count) ports.add(await freePort());
    return new Cluster([...ports]);
  }

  dataDir(at: number): string {
    return join(this.path, `tracker-${at}`);
  }

  /** A run, as it comes. Numbers count from 0. */
  run(at: number, ...flags: readonly string[]): Program {
    const run = new Program('tracker', [this.infoPath, String(at + 1), '--data-dir', this.dataDir(at), ...flags]);
    this.#runs.push(run);
    return run;
  }

  /** A run that serves clients. */
  async start(at: number, ...flags: readonly string[]): Promise<Program> {
    const run = this.run(at, ...flags);
    await run.printed('listens on');
    return run;
  }

  async dispose(): Promise<void> {
    for (const run of this.#runs) {
      run.kill('SIGKILL');
      await run.ended;
    }
    rmSync(this.path, { recursive: true, force: true });
  }
}
