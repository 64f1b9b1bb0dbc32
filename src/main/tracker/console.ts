/**
 * What a person can type at a running tracker: one command a line. Asks for nothing on its own, and never takes the end
 * of its input for a command unless a person at a terminal ended it: trackers are started from scripts, too.
 */
import { createInterface } from 'node:readline';
import type { ReadStream } from 'node:tty';
import { closest, distance } from 'fastest-levenshtein';
import { inBackground } from '../support/terminal.ts';

const COMMANDS: Readonly<Record<string, string>> = {
  quit: 'stop the tracker; what was acknowledged is safe',
  help: 'this list',
};

/** Reads commands until the returned function is called. */
export function readCommands(
  input: ReadStream | (NodeJS.ReadableStream & { isTTY?: boolean }),
  say: (text: string) => void,
  quit: () => void,
): () => void {
  // The system stops a background job that reads its terminal. It runs on without commands instead.
  if (input.isTTY && inBackground()) return () => {};
  // No line editing: nothing here is worth taking the terminal over for.
  const lines = createInterface({ input, terminal: false });
  const stop = () => {
    lines.removeAllListeners('close');
    lines.close();
  };
  input.on('error', stop);
  lines.on('line', (line) => {
    const command = line.trim();
    if (command === 'quit') quit();
    else if (command === 'help') say(helpText());
    else if (command !== '') say(unknownText(command));
  });
  lines.on('close', () => {
    if (input.isTTY) quit();
  });
  return stop;
}

const helpText = () =>
  Object.entries(COMMANDS)
    .map(([name, what]) => `  ${name}  ${what}`)
    .join('\n');

function unknownText(command: string): string {
  const nearest = closest(command.toLowerCase(), Object.keys(COMMANDS));
  const near = distance(command.toLowerCase(), nearest) <= 2;
  return near ? `unknown command; did you mean "${nearest}"?` : 'unknown command; "help" lists what there is';
}
