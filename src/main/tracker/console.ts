/**
 * What a person can type at a running tracker: one command a line, done one after the other. Asks for nothing on its own,
 * and never takes the end of its input for a command unless a person at a terminal ended it: trackers are started from
 * scripts, too.
 */
import { createInterface } from 'node:readline';
import type { ReadStream } from 'node:tty';
import { closest, distance } from 'fastest-levenshtein';
import { printable } from '../../protocol/names.ts';
import type { ChainedTransaction, Transaction } from '../../protocol/transaction.ts';
import { inBackground } from '../support/terminal.ts';
import type { Verification } from './ledger.ts';
import { statusText, type TrackerStatus } from './status.ts';

const TAIL_DEFAULT = 20;
const TAIL_MAX = 100_000;

/** What the commands are about. */
export interface Inspected {
  status(): TrackerStatus;
  /** The last so many transactions, in the order of execution. */
  log(tail: number): readonly ChainedTransaction[];
  verifyLog(): Promise<Verification>;
}

const COMMANDS: Readonly<Record<string, string>> = {
  status: 'trackers, versions, lag, digest, connections, transactions a second',
  'log [--tail N] [--json]': `the last transactions (${TAIL_DEFAULT} unless told otherwise)`,
  verify_log: 'check chain and signatures of the log on the disk, and that it gives the registry in memory',
  quit: 'stop the tracker; what was acknowledged is safe',
  help: 'this list',
};
const NAMES = Object.keys(COMMANDS).map((usage) => usage.replace(/ .*/, ''));

/** Reads commands until the returned function is called. */
export function readCommands(
  input: ReadStream | (NodeJS.ReadableStream & { isTTY?: boolean }),
  say: (text: string) => void,
  quit: () => void,
  inspected: Inspected,
): () => void {
  // The system stops a background job that reads its terminal. It runs on without commands instead.
  if (input.isTTY && inBackground()) return () => {};
  // No line editing: nothing here is worth taking the terminal over for.
  const lines = createInterface({ input, terminal: false });
  const stop = () => {
    lines.removeAllListeners('close');
    lines.close();
  };
  let working: Promise<void> = Promise.resolve();
  input.on('error', stop);
  lines.on('line', (line) => {
    const words = line.trim().split(/\s+/);
    if (words[0] === 'quit') quit();
    else if (words[0]) {
      working = working.then(async () => say(await outcome(words, inspected)));
      working.catch((error: unknown) => say(`failed: ${(error as Error).message}`));
      working = working.catch(() => {});
    }
  });
  lines.on('close', () => {
    if (input.isTTY) quit();
  });
  return stop;
}

/** What a command prints. */
async function outcome([command = '', ...args]: readonly string[], inspected: Inspected): Promise<string> {
  switch (command) {
    case 'help':
      return helpText();
    case 'status':
      return statusText(inspected.status());
    case 'log':
      return logText(args, inspected);
    case 'verify_log': {
      const { entries, fault } = await inspected.verifyLog();
      return fault === undefined
        ? `${entries} entries verified: all hold`
        : `DAMAGED after ${entries} entries: ${fault}`;
    }
    default:
      return unknownText(command);
  }
}

function logText(args: readonly string[], inspected: Inspected): string {
  let tail = TAIL_DEFAULT;
  let json = false;
  for (let at = 0; at < args.length; at += 1) {
    if (args[at] === '--json') json = true;
    else if (args[at] === '--tail' && /^\d{1,6}$/.test(args[at + 1] ?? '')) {
      at += 1;
      tail = Math.min(TAIL_MAX, Number(args[at]));
    } else return 'usage: log [--tail N] [--json]';
  }
  const transactions = inspected.log(tail);
  if (transactions.length === 0) return json ? '' : 'the log is empty';
  return transactions.map(json ? jsonLine : plainLine).join('\n');
}

/** Everything but the hash of a password, which nobody needs to see. */
function jsonLine({ prevHash, ...transaction }: ChainedTransaction): string {
  const { passwordHash: _hidden, ...op } = { passwordHash: undefined, ...transaction.op };
  return JSON.stringify({ ...transaction, prevHash: Buffer.from(prevHash).toString('hex'), op });
}

function plainLine({ hlc, origin, seq, op }: Transaction): string {
  const { type, ...rest } = op;
  const fields = Object.entries(rest).filter(([name]) => name !== 'passwordHash');
  const shown = fields.map(([name, value]) => `${name}=${printable(String(value)).slice(0, 40)}`).join(' ');
  return `${new Date(hlc.ms).toISOString()}  ${origin.slice(0, 8)}/${seq}  ${type}  ${shown}`;
}

const helpText = () => {
  const width = Math.max(...Object.keys(COMMANDS).map((usage) => usage.length));
  return Object.entries(COMMANDS)
    .map(([usage, what]) => `  ${usage.padEnd(width)}  ${what}`)
    .join('\n');
};

function unknownText(command: string): string {
  const nearest = closest(command.toLowerCase(), NAMES);
  const near = distance(command.toLowerCase(), nearest) <= 2;
  return near ? `unknown command; did you mean "${nearest}"?` : 'unknown command; "help" lists what there is';
}
