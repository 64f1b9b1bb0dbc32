/**
 * A terminal with a prompt at its bottom: owns readline and the bars, and is the only one that writes to the terminal
 * while it is open. What is printed while the prompt is up appears above it, and what was typed so far stays. While no
 * line is awaited the terminal is in its ordinary mode, so that Ctrl-C reaches the process as a signal.
 */
import { clearScreenDown, createInterface, cursorTo, type Interface, moveCursor } from 'node:readline';
import { type Bar, Bars } from './bars.ts';
import type { Completion } from './completion.ts';
import { HISTORY_LINES_MAX, type History } from './history.ts';

export interface TerminalOptions {
  readonly input: NodeJS.ReadableStream & { setRawMode?(raw: boolean): unknown };
  readonly output: NodeJS.WritableStream;
  readonly history: Pick<History, 'load' | 'keepLatest'>;
  readonly complete: (line: string) => Promise<Completion>;
}

export class Terminal {
  readonly #options: TerminalOptions;
  readonly #readline: Interface;
  readonly #bars: Bars;
  /** Lines that came before they were asked for: pasted ones. */
  readonly #lines: string[] = [];
  #awaited: ((line: string | undefined) => void) | undefined;
  #interruptedEmpty = false;
  #ended = false;
  #prompt = '';

  constructor(options: TerminalOptions) {
    this.#options = options;
    this.#bars = new Bars(options.output);
    this.#readline = createInterface({
      input: options.input,
      output: options.output,
      terminal: true,
      history: options.history.load(),
      historySize: HISTORY_LINES_MAX,
      removeHistoryDuplicates: true,
      completer: (line: string, done: (error: null, completion: Completion) => void) => {
        options.complete(line).then(
          (completion) => done(null, completion),
          () => done(null, [[], line]),
        );
      },
    });
    this.#readline.on('history', (history) => options.history.keepLatest(history));
    this.#readline.on('line', (line) => this.#onLine(line));
    this.#readline.on('SIGINT', () => this.#onInterrupt());
    this.#readline.on('close', () => {
      this.#ended = true;
      // The prompt stays behind; what is printed next begins a line of its own.
      if (this.#awaited) options.output.write('\n');
      this.#answer(undefined);
    });
  }

  /** Shows the prompt and awaits a line; undefined at the end (Ctrl-D, Ctrl-C twice, close). */
  nextLine(prompt: string): Promise<string | undefined> {
    const pasted = this.#lines.shift();
    if (pasted !== undefined) return Promise.resolve(pasted);
    if (this.#ended) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#awaited = resolve;
      this.#prompt = prompt;
      this.#options.input.setRawMode?.(true);
      this.#readline.setPrompt(prompt);
      this.#readline.prompt();
    });
  }

  /** Changes the prompt that is up; what was typed stays. */
  changePrompt(prompt: string): void {
    if (!this.#awaited || prompt === this.#prompt) return;
    this.#prompt = prompt;
    this.#readline.setPrompt(prompt);
    this.#readline.prompt(true);
  }

  print(text: string): void {
    const { output } = this.#options;
    if (!this.#awaited) {
      this.#bars.above(() => output.write(`${text}\n`));
      return;
    }
    const { rows } = this.#readline.getCursorPos();
    moveCursor(output, 0, -rows);
    cursorTo(output, 0);
    clearScreenDown(output);
    // readline goes up by the rows that it remembers before it draws: they have to be there.
    output.write(`${text}\n${'\n'.repeat(rows)}`);
    this.#readline.prompt(true);
  }

  /** Bars stand only while a command runs; the prompt has the line otherwise. */
  showBar(key: string, bar: Bar): void {
    if (!this.#awaited && !this.#ended) this.#bars.show(key, bar);
  }

  hideBar(key: string): void {
    this.#bars.hide(key);
  }

  close(): void {
    this.#bars.close();
    this.#options.input.setRawMode?.(false);
    this.#readline.close();
  }

  #onLine(line: string): void {
    this.#interruptedEmpty = false;
    if (this.#awaited) this.#answer(line);
    else this.#lines.push(line);
  }

  #answer(line: string | undefined): void {
    const awaited = this.#awaited;
    this.#awaited = undefined;
    if (!awaited) return;
    if (!this.#ended) {
      this.#readline.pause();
      this.#options.input.setRawMode?.(false);
    }
    awaited(line);
  }

  /** Clears the line; where it is empty, asks for a second Ctrl-C to end. */
  #onInterrupt(): void {
    if (this.#readline.line !== '') {
      this.#readline.write(null, { ctrl: true, name: 'e' });
      this.#readline.write(null, { ctrl: true, name: 'u' });
      this.#interruptedEmpty = false;
      return;
    }
    if (this.#interruptedEmpty) {
      this.#readline.close();
      return;
    }
    this.#interruptedEmpty = true;
    this.print('(Ctrl-C again or quit ends the client)');
  }
}
