/**
 * The terminal's history, kept in <data-dir>/history (0600) from one session to the next. Never holds a password: what
 * may be kept of a line is said by interpret.ts. A history that can't be read or written is no reason to stop work.
 */
import { appendFileSync, chmodSync, readFileSync, writeFileSync } from 'node:fs';
import type { Logger } from '../support/logger.ts';
import type { Command } from './command.ts';
import { withoutSecrets } from './interpret.ts';

export const HISTORY_LINES_MAX = 1000;

export class History {
  readonly #path: string;
  readonly #commands: readonly Command[];
  readonly #logger: Pick<Logger, 'warn'>;
  #last: string | undefined;

  constructor(path: string, commands: readonly Command[], logger: Pick<Logger, 'warn'>) {
    this.#path = path;
    this.#commands = commands;
    this.#logger = logger;
  }

  /** The lines kept so far, the latest first, as readline has them. Shortens a file that has grown too long. */
  load(): string[] {
    try {
      writeFileSync(this.#path, '', { flag: 'a', mode: 0o600 });
      chmodSync(this.#path, 0o600);
      const lines = readFileSync(this.#path, 'utf8').split('\n').filter(Boolean);
      const kept = lines.slice(-HISTORY_LINES_MAX);
      if (kept.length < lines.length) writeFileSync(this.#path, `${kept.join('\n')}\n`, { mode: 0o600 });
      this.#last = kept.at(-1);
      return kept.reverse();
    } catch (error) {
      this.#logger.warn({ err: error }, 'the history can not be read');
      return [];
    }
  }

  /**
   * Given readline's history right after it put a line in front: replaces that line by what may be kept of it, in memory
   * too, and appends it to the file.
   */
  keepLatest(history: string[]): void {
    const latest = history[0];
    if (latest === undefined) return;
    const kept = withoutSecrets(this.#commands, latest);
    if (kept === undefined) {
      history.shift();
      return;
    }
    history[0] = kept;
    if (kept === this.#last) return;
    this.#last = kept;
    try {
      appendFileSync(this.#path, `${kept}\n`, { mode: 0o600 });
    } catch (error) {
      this.#logger.warn({ err: error }, 'the history can not be written');
    }
  }
}
