/** The client program as people run it: a process of its own, spoken to through --json or plain standard input. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { quoteWord } from '../../src/main/shell/words.ts';
import { freePort, Program } from './program.ts';

export type JsonLine = Readonly<Record<string, unknown>>;

/** One run of the client with --json. */
export class ClientProcess extends Program {
  readonly lines: JsonLine[] = [];
  #rest = '';
  #outcomes = 0;

  constructor(args: readonly string[], nodeFlags: readonly string[] = []) {
    super('client', args, [process.execPath, ...nodeFlags]);
  }

  /** Sends a command and gives its outcome, good or bad. */
  async command(...words: readonly string[]): Promise<JsonLine> {
    const nth = this.#outcomes;
    this.#outcomes += 1;
    this.type(words.map(quoteWord).join(' '));
    let seen = 0;
    return this.line((line) => line['type'] === 'outcome' && seen++ === nth);
  }

  /** The outcome of a command that must succeed. */
  async done(...words: readonly string[]): Promise<JsonLine> {
    const outcome = await this.command(...words);
    if (outcome['ok'] !== true) throw new Error(`${words.join(' ')}: ${JSON.stringify(outcome)}`);
    return outcome;
  }

  /** The first line, of those that came or will, that matches; each line is shown to `matches` once, in order. */
  async line(matches: (line: JsonLine) => boolean): Promise<JsonLine> {
    for (let at = 0; ; at += 1) {
      while (at >= this.lines.length) await this.more('before a line that was waited for');
      const line = this.lines[at];
      if (line && matches(line)) return line;
    }
  }

  notice(kind: string): Promise<JsonLine> {
    return this.line((line) => line['type'] === 'notice' && line['notice'] === kind);
  }

  protected override printedMore(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) if (line.startsWith('{')) this.lines.push(JSON.parse(line));
  }
}

/** A client installation: an address and a data directory, for any number of runs. */
export class ClientHome {
  readonly path = mkdtempSync(join(tmpdir(), 'p2pfs-client-process-'));
  readonly dataDir = join(this.path, 'data');
  readonly address: string;
  readonly #infoPath: string;
  readonly #runs: ClientProcess[] = [];

  private constructor(port: number, infoPath: string) {
    this.address = `127.0.0.1:${port}`;
    this.#infoPath = infoPath;
  }

  static async create(infoPath: string): Promise<ClientHome> {
    return new ClientHome(await freePort(), infoPath);
  }

  /** Arguments of the program, for runs of any kind. */
  args(...flags: readonly string[]): string[] {
    return [this.address, this.#infoPath, '--data-dir', this.dataDir, ...flags];
  }

  /** A run that takes commands and prints JSON. */
  run(...flags: readonly string[]): ClientProcess {
    const run = new ClientProcess(this.args('--json', ...flags));
    this.#runs.push(run);
    return run;
  }

  /** A run that prints what people see. */
  runPlain(...flags: readonly string[]): ClientProcess {
    const run = new ClientProcess(this.args(...flags));
    this.#runs.push(run);
    return run;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  async dispose(): Promise<void> {
    for (const run of this.#runs) {
      run.kill('SIGKILL');
      await run.ended;
    }
    rmSync(this.path, { recursive: true, force: true });
  }
}
