/**
 * A program of ours as people run it: a process of its own, what it prints, how it ends. The ends of a process are known
 * when all of its output has been read. What the lines mean is for those who extend this.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

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

/** One run of a program. */
export class Program {
  readonly ended: Promise<Ended>;
  readonly #child: ChildProcess;
  readonly #waiting: (() => void)[] = [];
  #stdout = '';
  #stderr = '';
  #over = false;

  /** `before`: what the command line begins with, such as a debugger's, and Node's own flags at its end. */
  constructor(program: 'tracker' | 'client', args: readonly string[], before: readonly string[] = [process.execPath]) {
    const path = fileURLToPath(new URL(`../../src/main/${program}.ts`, import.meta.url));
    const [command = '', ...rest] = [...before, path, ...args];
    this.#child = spawn(command, rest, { stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      this.printedMore(text);
      this.#wake();
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#wake();
    });
    this.#child.stdin?.on('error', () => {});
    this.ended = once(this.#child, 'close').then(([exitCode, signal]) => {
      this.#over = true;
      this.#wake();
      return { exitCode, signal, stdout: this.#stdout, stderr: this.#stderr };
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Waits until the program has printed this, after so many characters. Rejects when it ends without. */
  async printed(text: string, after = 0): Promise<void> {
    while (!this.#stdout.includes(text, after)) await this.more(`without "${text}"`);
  }

  /** Waits until it has logged this on standard error. Rejects when it ends without. */
  async logged(text: string): Promise<void> {
    while (!this.#stderr.includes(text)) await this.more(`without logging "${text}"`);
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

  async quit(): Promise<Ended> {
    this.type('quit');
    return this.ended;
  }

  /** Waits for more output. Rejects when the program has ended. */
  protected async more(how: string): Promise<void> {
    if (this.#over) throw new Error(`the program ended ${how}:\n${this.#stdout}${this.#stderr}`);
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Hears of what comes on standard output. */
  protected printedMore(_text: string): void {}

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}
