/**
 * One child process: its lines as they come, what it last said on standard error, and how it ended. Lines that are
 * waited for are waited for as events; a child that ends before the awaited line fails the wait with its last words.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

const LAST_WORDS_CHARS_MAX = 2000;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class Child {
  readonly name: string;
  readonly #process: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #listeners = new Set<(line: string) => void>();
  #lastWords = '';
  #hasEnded = false;
  /** Resolves when it has ended and its output has been read. Rejects when it could not be started at all. */
  readonly ended: Promise<Exit>;

  constructor(name: string, command: string, args: readonly string[], options: { cwd: string }) {
    this.name = name;
    this.#process = spawn(command, args, { cwd: options.cwd, stdio: ['pipe', 'pipe', 'pipe'] });
    this.ended = new Promise((resolve, reject) => {
      this.#process.once('error', (error) => reject(new Error(`${name} could not be started: ${error.message}`)));
      this.#process.once('close', (code, signal) => resolve({ code, signal }));
    });
    const mark = () => {
      this.#hasEnded = true;
    };
    this.ended.then(mark, mark);
    // Writing to a child that has just ended is no failure: its end is.
    this.#process.stdin.on('error', () => {});
    this.#process.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#lastWords = (this.#lastWords + text).slice(-LAST_WORDS_CHARS_MAX);
    });
    createInterface({ input: this.#process.stdout }).on('line', (line) => {
      for (const listener of this.#listeners) listener(line);
    });
  }

  get pid(): number {
    const { pid } = this.#process;
    if (pid === undefined) throw new Error(`${this.name} does not run`);
    return pid;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** The end of what it said on standard error. */
  get lastWords(): string {
    return this.#lastWords.trim();
  }

  /** Calls back for each line of its standard output; returns how to stop listening. */
  onLine(listener: (line: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The first line from now on for which `pick` gives a value. Rejects when the child ends first. */
  async lineWith<T>(pick: (line: string) => T | undefined): Promise<T> {
    let stop = () => {};
    const found = new Promise<T>((resolve, reject) => {
      stop = this.onLine((line) => {
        try {
          const value = pick(line);
          if (value !== undefined) resolve(value);
        } catch (error) {
          reject(error);
        }
      });
    });
    const early = this.ended.then((exit) => {
      throw new Error(this.endText(exit));
    });
    return Promise.race([found, early]).finally(stop);
  }

  writeLine(line: string): void {
    this.#process.stdin.write(`${line}\n`);
  }

  closeInput(): void {
    this.#process.stdin.end();
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.#hasEnded) this.#process.kill(signal);
  }

  /** Resolves when it ended well. Rejects with how it ended, and its last words, when it did not. */
  async success(): Promise<void> {
    const exit = await this.ended;
    if (exit.code !== 0) throw new Error(this.endText(exit));
  }

  endText({ code, signal }: Exit): string {
    const how = signal ? `was ended by ${signal}` : `ended with exit code ${code}`;
    return `${this.name} ${how}${this.lastWords === '' ? '' : `: ${this.lastWords}`}`;
  }
}
