/**
 * The system calls of a program, as strace writes them down: what a promise about the disk looks like from outside. Used
 * to see that an answer leaves only when what it acknowledges is on the disk.
 */
import { spawnSync } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';

/** Without strace a test is skipped, and says so; where CI is set it must be there. */
export function straceIsMissing(): boolean {
  if (process.env['CI'] || spawnSync('strace', ['--version']).status === 0) return false;
  console.warn('SKIPPED: strace is not installed (Debian: apt-get install strace), so nothing was proven');
  return true;
}

export interface SystemCall {
  readonly name: string;
  /** A path, or the two ends of a connection. */
  readonly file: string;
  /** What follows the descriptor, as strace prints it. */
  readonly text: string;
  /** Places in the trace: what began at a lower place began earlier. */
  readonly begun: number;
  readonly returned: number;
  readonly result: number;
}

/** A page of SQLite is written as a whole; longer texts than it are cut off. */
const TEXT_BYTES = 4_096;

/** Begins a command line whose program is traced into a file, by a strace that is not its parent: signals reach it. */
export const underStrace = (path: string, ...options: readonly string[]): readonly string[] => [
  ...['strace', '-D', '-f', '-yy', '-s', String(TEXT_BYTES), '-o', path, ...options],
  process.execPath,
];

const BEGUN = /^(\d+) +(\w+)\(\d+<((?:TCP:\[[^\]]*\])|[^>]*)>(.*)$/s;
const RESUMED = /^(\d+) +<\.\.\. (\w+) resumed>(.*)$/s;
const UNFINISHED = ' <unfinished ...>';
const RESULT = / = (-?\d+)[^=]*$/;

const resultOf = (text: string) => Number(RESULT.exec(text)?.[1] ?? Number.NaN);

/** Calls on descriptors, in the order in which they returned. */
export async function* systemCalls(path: string): AsyncGenerator<SystemCall, void, undefined> {
  const unfinished = new Map<string, Omit<SystemCall, 'returned' | 'result'>>();
  let place = 0;
  for await (const line of createInterface({ input: createReadStream(path) })) {
    place += 1;
    const resumed = RESUMED.exec(line);
    if (resumed) {
      const [, thread = '', , rest = ''] = resumed;
      const call = unfinished.get(thread);
      unfinished.delete(thread);
      if (call) yield { ...call, text: call.text + rest, returned: place, result: resultOf(rest) };
      continue;
    }
    const [, thread = '', name = '', file = '', rest = ''] = BEGUN.exec(line) ?? [];
    if (name === '') continue;
    if (rest.endsWith(UNFINISHED)) {
      unfinished.set(thread, { name, file, text: rest.slice(0, -UNFINISHED.length), begun: place });
    } else yield { name, file, text: rest, begun: place, returned: place, result: resultOf(rest) };
  }
}
