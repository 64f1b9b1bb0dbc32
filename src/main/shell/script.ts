/**
 * Runs commands from a pipe or from `-c`: one a line, stopping at the first that fails; then waits for the downloads
 * under way, and with `stay` goes on serving until it is stopped. Yields the exit code. Never closes the client.
 */
import { RequestError } from '../../protocol/errors.ts';
import type { Clock } from '../support/clock.ts';
import { EXIT_CODES } from '../support/failures.ts';
import { DownloadWatch } from './download-watch.ts';
import { runLine, type Shell } from './run-line.ts';

export interface ScriptOptions extends Shell {
  readonly lines: AsyncIterable<string> | Iterable<string>;
  /** Go on serving after the last command and download. */
  readonly stay: boolean;
  /** Aborted when the process is asked to stop. */
  readonly stop: AbortSignal;
  readonly clock: Pick<Clock, 'every'>;
}

/** How often a view hears of a download that waits for peers: no progress comes from it, yet people should see it. */
const REMINDER_INTERVAL_MS = 2000;

export async function runScript(options: ScriptOptions): Promise<number> {
  const { view, client, stop } = options;
  const watch = new DownloadWatch(client, view);
  const cancelReminders = options.clock.every(REMINDER_INTERVAL_MS, () => {
    for (const status of watch.running()) if (status.state === 'waiting') view.downloadProgress(status);
  });
  let serving = false;

  const work = async (): Promise<number> => {
    const failure = await runLines(options, watch);
    if (failure !== EXIT_CODES.done) return failure;
    await watch.settled();
    serving = options.stay;
    if (serving) await aborted(stop);
    return watch.exitCode;
  };
  const stopEarly = async (): Promise<number> => {
    await aborted(stop);
    if (serving) return watch.exitCode;
    view.refusal(null, new RequestError('cancelled', 'stopped before all was done'));
    return EXIT_CODES.refused;
  };

  try {
    return await Promise.race([work(), stopEarly()]);
  } finally {
    cancelReminders();
    watch.close();
  }
}

/** The exit code of the first command that failed; 0 at the end of the lines, or after the command that ends them. */
async function runLines(options: ScriptOptions, watch: DownloadWatch): Promise<number> {
  for await (const line of options.lines) {
    if (options.stop.aborted) break;
    const { exitCode, ends } = await runLine(options, line);
    watch.look();
    if (exitCode !== EXIT_CODES.done) return exitCode;
    if (ends) break;
  }
  return EXIT_CODES.done;
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
