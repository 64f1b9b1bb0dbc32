/** The tracker program as people run it: a process of its own, on a free port, in a temporary directory. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Address } from '../../src/protocol/tracker-info.ts';

const PROGRAM = fileURLToPath(new URL('../../src/main/tracker.ts', import.meta.url));

/** A port that nothing listens on at the moment. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  server.close();
  await once(server, 'close');
  if (bound === null || typeof bound === 'string') throw new Error('no port');
  return bound.port;
}

export interface Ended {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** One run of the program. */
export class TrackerProcess {
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  readonly #waiting: (() => void)[] = [];
  #stdout = '';
  #stderr = '';
  #over = false;

  constructor(args: readonly string[]) {
    this.#child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      this.#wake();
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.#child.stdin?.on('error', () => {});
    this.ended = once(this.#child, 'close').then(([exitCode, signal]) => {
      this.#over = true;
      this.#wake();
      return { exitCode, signal, stdout: this.#stdout, stderr: this.#stderr };
    });
  }

  /** Waits until the program has printed this. Rejects when it ends without. */
  async printed(text: string): Promise<void> {
    while (!this.#stdout.includes(text)) {
      if (this.#over) throw new Error(`the tracker ended without "${text}":\n${this.#stdout}${this.#stderr}`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  get stdout(): string {
    return this.#stdout;
  }

  type(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  endInput(): void {
    this.#child.stdin?.end();
  }

  kill(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

/** A tracker_info.txt and a data directory, for any number of runs of the same tracker. */
export class TrackerHome {
  readonly path = mkdtempSync(join(tmpdir(), 'p2pfs-tracker-process-'));
  readonly dataDir = join(this.path, 'data');
  readonly infoPath = join(this.path, 'tracker_info.txt');
  readonly address: Address;
  readonly #runs: TrackerProcess[] = [];

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

  run(...flags: string[]): TrackerProcess {
    const run = new TrackerProcess([this.infoPath, '1', '--data-dir', this.dataDir, ...flags]);
    this.#runs.push(run);
    return run;
  }

  /** A run that listens. */
  async start(): Promise<TrackerProcess> {
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
