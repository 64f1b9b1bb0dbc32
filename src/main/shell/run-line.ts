/**
 * Runs one line: reads it, runs its command, shows the outcome or the refusal. Never rejects because of what was typed
 * or refused; an error that is neither is a bug and passes through.
 */
import type { ClientApi } from '../client/types.ts';
import { EXIT_CODES, exitCodeOf } from '../support/failures.ts';
import type { Command } from './command.ts';
import { commandNameIn, interpret } from './interpret.ts';
import { asRefusal, type View } from './view.ts';

export interface Shell {
  readonly client: ClientApi;
  readonly commands: readonly Command[];
  readonly view: View;
  readonly homeDir: string;
}

export interface LineResult {
  readonly exitCode: number;
  /** The command asked to end the shell. */
  readonly ends: boolean;
}

const NOTHING: LineResult = { exitCode: EXIT_CODES.done, ends: false };

export async function runLine(shell: Shell, line: string): Promise<LineResult> {
  const { client, commands, view, homeDir } = shell;
  try {
    const interpreted = interpret(commands, line, homeDir);
    if (!interpreted) return NOTHING;
    const { command, words, options } = interpreted;
    const onShareProgress = view.shareProgress.bind(view);
    const outcome = await command.run({ client, onShareProgress, options }, words);
    view.outcome(command.name, outcome);
    return { exitCode: EXIT_CODES.done, ends: outcome.ends ?? false };
  } catch (error) {
    const refusal = asRefusal(error);
    if (!refusal) throw error;
    view.refusal(commandNameIn(line), refusal);
    return { exitCode: exitCodeOf(refusal), ends: false };
  }
}
