/**
 * When the process is asked to stop: SIGINT, SIGTERM, SIGHUP, or standard output closed by its reader. The first asks for
 * a clean end; a second signal ends the process at once, as a person who presses Ctrl-C twice expects.
 */
const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

export function stopSignal(process: NodeJS.Process): AbortSignal {
  const controller = new AbortController();
  for (const [name, number] of Object.entries(SIGNALS)) {
    process.on(name, () => {
      // By convention of shells, 128 and the signal's number.
      if (controller.signal.aborted) process.exit(128 + number);
      controller.abort();
    });
  }
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE' && error.code !== 'ERR_STREAM_DESTROYED') throw error;
      controller.abort();
    });
  }
  return controller.signal;
}
