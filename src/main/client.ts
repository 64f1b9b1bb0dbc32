#!/usr/bin/env node
/**
 * The client program: `client 127.0.0.1:9999 ./tracker_info.txt [flags]`. Parses flags, builds the client, hands it to
 * the shell, shuts down; nothing else. What is no refusal is a bug of ours: its stack goes to standard error.
 */
import { readdir } from 'node:fs/promises';
import { availableParallelism, homedir } from 'node:os';
import { Client } from './client/client.ts';
import { type ClientFlags, parseFlags } from './shell/flags.ts';
import { reportFailure, runSession } from './shell/session.ts';
import { stopSignal } from './shell/stop-signal.ts';
import { systemClock } from './support/clock.ts';
import { createLogger } from './support/logger.ts';
import { standWhereTheUserStands } from './support/user-directory.ts';

const EXIT_BUG = 70;

const listDirectory = (path: string) => readdir(path, { withFileTypes: true });

async function run(flags: ClientFlags): Promise<number> {
  const { stdin, stdout, stderr } = process;
  const logger = createLogger('client', flags.logLevel);
  const stop = stopSignal(process);
  const context = { flags, stdin, stdout, stderr, clock: systemClock, logger, homeDir: homedir(), listDirectory, stop };
  try {
    const client = await Client.start({ ...flags.options, logger });
    try {
      return await runSession(client, context);
    } finally {
      await client.close();
    }
  } catch (error) {
    return reportFailure(error, context);
  }
}

async function main(): Promise<number> {
  standWhereTheUserStands();
  const { stdout, stderr } = process;
  const parsed = parseFlags(process.argv.slice(2), { stdout, stderr, parallelism: availableParallelism() });
  return 'flags' in parsed ? run(parsed.flags) : parsed.exitCode;
}

try {
  const exitCode = await main();
  // Input that nobody reads any more must not keep the process; output has to be out first.
  process.stdout.write('', () => process.exit(exitCode));
} catch (error) {
  console.error(error);
  process.exit(EXIT_BUG);
}
