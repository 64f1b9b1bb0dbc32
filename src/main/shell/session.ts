/**
 * Chooses how a client is talked to (a terminal, a pipe, `-c`, in text or JSON) and runs it to its end; yields the exit
 * code. Also reports a client that could not be started the same way. Owns the view; never the client.
 */
import { join } from 'node:path';
import type { ClientApi } from '../client/types.ts';
import type { Clock } from '../support/clock.ts';
import { exitCodeOf } from '../support/failures.ts';
import type { Logger } from '../support/logger.ts';
import { Bars } from './bars.ts';
import { COMMANDS } from './commands.ts';
import { complete, type ListDirectory } from './completion.ts';
import type { ClientFlags } from './flags.ts';
import { History } from './history.ts';
import { JsonView } from './json-view.ts';
import { linesOf } from './lines.ts';
import { runRepl } from './repl.ts';
import { runScript } from './script.ts';
import { ScriptView } from './script-view.ts';
import { Terminal } from './terminal.ts';
import { TerminalView } from './terminal-view.ts';
import { asRefusal, type View } from './view.ts';

export interface SessionContext {
  readonly flags: ClientFlags;
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly homeDir: string;
  readonly listDirectory: ListDirectory;
  /** Aborted when the process is asked to stop. */
  readonly stop: AbortSignal;
}

export async function runSession(client: ClientApi, context: SessionContext): Promise<number> {
  return isInteractive(context) ? runAtTerminal(client, context) : runAsScript(client, context);
}

/** Reports why there is no session, and yields the exit code. Throws what is no refusal but a bug. */
export function reportFailure(error: unknown, context: SessionContext): number {
  const refusal = asRefusal(error);
  if (!refusal) throw error;
  const view = scriptView(context);
  view.refusal(null, refusal);
  view.close();
  return exitCodeOf(refusal);
}

function isInteractive({ flags, stdin, stdout }: SessionContext): boolean {
  return !flags.json && flags.commands.length === 0 && stdin.isTTY && stdout.isTTY;
}

function scriptView({ flags, stdout, stderr, clock }: SessionContext): View {
  if (flags.json) return new JsonView(stdout, clock);
  return new ScriptView({ stdout, stderr, bars: stderr.isTTY ? new Bars(stderr) : undefined }, clock);
}

async function runAsScript(client: ClientApi, context: SessionContext): Promise<number> {
  const { flags, stdin, clock, homeDir, stop } = context;
  const view = scriptView(context);
  const lines =
    flags.commands.length > 0 ? flags.commands.flatMap((command) => command.split(/\r?\n/)) : linesOf(stdin);
  try {
    return await runScript({ client, commands: COMMANDS, view, homeDir, lines, stay: flags.stay, stop, clock });
  } catch (error) {
    // Lines that can't be read (too long, a broken disk) end the script as a failed command does.
    const refusal = asRefusal(error);
    if (!refusal) throw error;
    view.refusal(null, refusal);
    return exitCodeOf(refusal);
  } finally {
    view.close();
  }
}

async function runAtTerminal(client: ClientApi, context: SessionContext): Promise<number> {
  const { flags, stdin, stdout, clock, logger, homeDir, listDirectory, stop } = context;
  const terminal = new Terminal({
    input: stdin,
    output: stdout,
    history: new History(join(flags.options.dataDir, 'history'), COMMANDS, logger),
    complete: (line) => complete({ client, commands: COMMANDS, homeDir, listDirectory, clock }, line),
  });
  const view = new TerminalView(terminal);
  try {
    return await runRepl({ client, commands: COMMANDS, view, homeDir, terminal, clock, stop });
  } finally {
    view.close();
    terminal.close();
  }
}
