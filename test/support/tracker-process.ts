/** The tracker program as people run it: on a free port, in a temporary directory. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Address } from '../../src/protocol/tracker-info.ts';
import { freePort, Program } from './program.ts';

/** A tracker_info.txt and a data directory, for any number of runs of the same tracker. */
export class TrackerHome {
  readonly path = mkdtempSync(join(tmpdir(), 'p2pfs-tracker-process-'));
  readonly dataDir = join(this.path, 'data');
  readonly infoPath = join(this.path, 'tracker_info.txt');
  readonly address: Address;
  readonly #runs: Program[] = [];

  private constructor(port: number) {
    this.address = { host: '127.0.0.1', port };
    this.writeInfo(`127.0.0.1 ${port}`);
  }

  static async create(): Promise<TrackerHome> {
    return new TrackerHome(await freePort());
  }

  writeInfo(text: string): void {
    writeFileSync(this.infoPath, `${text}\n`);
  }

  run(...flags: string[]): Program {
    return this.runUnder([process.execPath], ...flags);
  }

  /** A run whose command line begins like this. */
  runUnder(before: readonly string[], ...flags: string[]): Program {
    const run = new Program('tracker', [this.infoPath, '1', '--data-dir', this.dataDir, ...flags], before);
    this.#runs.push(run);
    return run;
  }

  /** A run that listens. */
  async start(): Promise<Program> {
    const run = this.run();
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
