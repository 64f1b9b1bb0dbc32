/**
 * The session of a person at a terminal: reads a line, runs it, until quit, Ctrl-D, Ctrl-C twice, or the process is told
 * to stop. A command that fails ends nothing. Never closes the client or the terminal.
 */
import type { Clock } from '../support/clock.ts';
import { EXIT_CODES } from '../support/failures.ts';
import { DownloadWatch } from './download-watch.ts';
import { count } from './format.ts';
import { runLine, type Shell } from './run-line.ts';
import type { Terminal } from './terminal.ts';
import { promptText } from './terminal-view.ts';

const PROMPT_INTERVAL_MS = 500;

export interface ReplOptions extends Shell {
  readonly terminal: Pick<Terminal, 'nextLine' | 'changePrompt' | 'print'>;
  readonly clock: Pick<Clock, 'every'>;
  readonly stop: AbortSignal;
}

export async function runRepl(options: ReplOptions): Promise<number> {
  const { client, view, terminal, clock, stop } = options;
  const watch = new DownloadWatch(client, view);
  const prompt = () => promptText(client.userName, watch.running());
  const cancelPrompt = clock.every(PROMPT_INTERVAL_MS, () => terminal.changePrompt(prompt()));
  const stopped = new Promise<undefined>((resolve) => {
    if (stop.aborted) resolve(undefined);
    stop.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  try {
    terminal.print('Type help for the commands, quit to end.');
    for (;;) {
      const line = await Promise.race([terminal.nextLine(prompt()), stopped]);
      if (line === undefined) break;
      const result = await Promise.race([runLine(options, line), stopped]);
      watch.look();
      if (result === undefined || result.ends) break;
    }
    const unfinished = watch.running().length;
    if (unfinished > 0) terminal.print(`Stopped ${count(unfinished, 'unfinished download')}.`);
    return EXIT_CODES.done;
  } finally {
    cancelPrompt();
    watch.close();
  }
}
