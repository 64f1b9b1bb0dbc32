/**
 * From a typed line to a command and its words, or to a refusal that helps: the nearest command for an unknown one, the
 * usage for a wrong count of arguments. Also what of a line the history may keep. Pure; the table comes in.
 */
import { closest, distance } from 'fastest-levenshtein';
import { RequestError } from '../../protocol/errors.ts';
import { printable } from '../../protocol/names.ts';
import { type Command, countFits, usageOf } from './command.ts';
import { count } from './format.ts';
import { quoteWord, scanLine, splitWords } from './words.ts';

export interface Interpreted {
  readonly command: Command;
  readonly words: readonly string[];
  readonly options: ReadonlySet<string>;
}

/** Undefined for an empty line or a comment. Throws RequestError('bad-request' | 'unknown-command'). */
export function interpret(commands: readonly Command[], line: string, homeDir: string): Interpreted | undefined {
  const [first, ...all] = splitWords(line);
  if (!first) return undefined;
  const command = findCommand(commands, first.text);
  const isOption = ({ text, bareStart }: { text: string; bareStart: boolean }) =>
    bareStart && command.options.includes(text);
  const rest = all.filter((word) => !isOption(word));
  if (!countFits(command.parameters, rest)) {
    const taken = command.parameters.length === 0 ? 'no arguments' : count(command.parameters.length, 'argument');
    throw new RequestError(
      'bad-request',
      `${command.name} takes ${command.parameters.some((p) => p.optional) ? 'at most ' : ''}${taken}, not ${rest.length}`,
      `usage: ${usageOf(command)}`,
    );
  }
  const words = rest.map(({ text, bareStart }, index) =>
    bareStart && command.parameters[index]?.kind === 'path' ? expandHome(text, homeDir) : text,
  );
  return { command, words, options: new Set(all.filter(isOption).map(({ text }) => text)) };
}

/** `~` and `~/x` as a shell reads them. */
export function expandHome(path: string, homeDir: string): string {
  return path === '~' || path.startsWith('~/') ? homeDir + path.slice(1) : path;
}

export function findCommand(commands: readonly Command[], name: string): Command {
  const command = commands.find((candidate) => candidate.name === name);
  if (command) return command;
  const nearest = nearestCommand(commands, name);
  throw new RequestError(
    'unknown-command',
    `there is no command "${printable(name)}"`,
    nearest ? `did you mean ${nearest.name}? help lists all commands` : 'help lists all commands',
  );
}

/** The command that a typing error most likely meant; undefined where that would be a guess. */
function nearestCommand(commands: readonly Command[], name: string): Command | undefined {
  const spelled = name.toLowerCase().replaceAll('-', '_').slice(0, 64);
  const names = commands.map((command) => command.name);
  const nearest = closest(spelled, names);
  const near = distance(spelled, nearest) <= Math.max(2, Math.floor(nearest.length / 3));
  return near ? commands.find((command) => command.name === nearest) : undefined;
}

/** The name of the command that a line is about, for the report of its failure; null where there is none. */
export function commandNameIn(line: string): string | null {
  return scanLine(line).words[0]?.text ?? null;
}

/**
 * What the history may keep of a line: commands end before a secret, and lines that may hold one in a place we can't
 * tell (a mistyped `login`, an open quote) are not kept. Undefined: keep nothing.
 */
export function withoutSecrets(commands: readonly Command[], line: string): string | undefined {
  if (/^\s*(#|$)/.test(line)) return undefined;
  const { words, open } = scanLine(line);
  const name = words[0]?.text ?? '';
  const command = commands.find((candidate) => candidate.name === name) ?? nearestCommand(commands, name);
  const secretAt = command?.parameters.findIndex((parameter) => parameter.kind === 'secret') ?? -1;
  if (secretAt < 0) return line.trim();
  if (open || command?.name !== name) return undefined;
  return words
    .slice(0, 1 + secretAt)
    .map((word) => quoteWord(word.text))
    .join(' ');
}
