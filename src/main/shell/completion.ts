/**
 * What Tab offers: commands, then for each parameter what its kind names, spelled with the quotes that it needs. Asks the
 * client for groups, files and users; how a directory is listed comes in. Never throws and never keeps the prompt
 * waiting: what doesn't answer in time, or is refused, offers nothing.
 */
import type { ClientApi } from '../client/types.ts';
import type { Clock } from '../support/clock.ts';
import type { Command } from './command.ts';
import { expandHome } from './interpret.ts';
import { continueWord, type OpenQuote, scanLine } from './words.ts';

const PATIENCE_MS = 1000;

/** As readline wants it: the candidates, and the end of the line that they stand for. */
export type Completion = [candidates: string[], replaced: string];

/** An entry of a directory; node:fs's Dirent is one. */
export interface DirectoryEntry {
  readonly name: string;
  isDirectory(): boolean;
}

export type ListDirectory = (path: string) => Promise<readonly DirectoryEntry[]>;

export interface CompletionSource {
  readonly client: ClientApi;
  readonly commands: readonly Command[];
  readonly homeDir: string;
  readonly listDirectory: ListDirectory;
  readonly clock: Pick<Clock, 'after'>;
}

interface Candidate {
  readonly text: string;
  /** A directory: the word goes on after it. */
  readonly open?: boolean;
}

export async function complete(source: CompletionSource, line: string): Promise<Completion> {
  const { words, open, atGap } = scanLine(line);
  const current = atGap ? undefined : words.at(-1);
  const start = current?.start ?? line.length;
  const typed = line.slice(start);
  const before = words.slice(0, atGap ? words.length : -1).map((word) => word.text);
  const text = current?.text ?? '';
  const found = await inTime(source.clock, candidatesFor(source, before, text));
  const matching = found.filter((candidate) => candidate.text.startsWith(text) && isTypable(candidate.text));
  const isOnly = matching.length === 1;
  const spelled = matching.map((candidate) => spell(candidate, open, isOnly));
  return [[...new Set(spelled)].sort(), typed];
}

function spell(candidate: Candidate, open: OpenQuote, isOnly: boolean): string {
  const ends = isOnly && !candidate.open;
  return continueWord(candidate.text, open, ends) + (ends ? ' ' : '');
}

/** A name with control characters can't be typed at a prompt, and must not reach the terminal. */
const isTypable = (text: string) => !/\p{Cc}/u.test(text);

async function candidatesFor(source: CompletionSource, before: readonly string[], text: string): Promise<Candidate[]> {
  const { client, commands } = source;
  const [name, ...given] = before;
  const names = (texts: readonly string[]) => texts.map((candidate) => ({ text: candidate }));
  if (name === undefined) return names(commands.map((command) => command.name));
  const command = commands.find((candidate) => candidate.name === name);
  const kind = command?.parameters[given.length]?.kind;
  const group = given[command?.parameters.findIndex((parameter) => parameter.kind === 'group') ?? -1] ?? '';
  switch (kind) {
    case 'command':
      return names(commands.map((candidate) => candidate.name));
    case 'group':
      return names((await client.listGroups()).map((listing) => listing.name));
    case 'file':
      return names((await client.listFiles(group)).map((listing) => listing.name));
    case 'requester':
      return names(await client.listRequests(group));
    case 'member':
      return names(await client.listMembers(group));
    case 'user':
      return names(client.userName === undefined ? [] : [client.userName]);
    case 'path':
      return pathsFor(text, source);
    case 'new':
    case 'secret':
    case undefined:
      return [];
    default:
      return kind satisfies never;
  }
}

/** Hidden entries only where their dot was typed, as shells do it. */
async function pathsFor(text: string, { homeDir, listDirectory }: CompletionSource): Promise<Candidate[]> {
  const directory = text.slice(0, text.lastIndexOf('/') + 1);
  const stem = text.slice(directory.length);
  const entries = await listDirectory(expandHome(directory, homeDir) || '.');
  return entries
    .filter((entry) => stem.startsWith('.') || !entry.name.startsWith('.'))
    .map((entry) =>
      entry.isDirectory() ? { text: `${directory}${entry.name}/`, open: true } : { text: directory + entry.name },
    );
}

function inTime(clock: Pick<Clock, 'after'>, candidates: Promise<Candidate[]>): Promise<Candidate[]> {
  return new Promise((resolve) => {
    const cancel = clock.after(PATIENCE_MS, () => resolve([]));
    const finish = (found: Candidate[]) => {
      cancel();
      resolve(found);
    };
    candidates.then(finish, () => finish([]));
  });
}
