/**
 * What a command is: a name, its parameters, a line of help, and a run that yields data for programs and text for
 * people. The table of them is commands.ts; every view (terminal, script, JSON, help, completion) reads these entries
 * and knows no command by name.
 */
import type { ClientApi, ShareProgress } from '../client/types.ts';

/** What a parameter names: completion offers from it, and the history keeps no secret. */
export type ParameterKind = 'new' | 'user' | 'secret' | 'group' | 'requester' | 'member' | 'file' | 'path' | 'command';

export interface Parameter {
  readonly name: string;
  readonly kind: ParameterKind;
  readonly optional?: boolean;
}

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

/** The fields of an outcome's JSON line; the names that every outcome has already are taken. */
export type Data = { readonly [key: string]: Json | undefined } & {
  readonly type?: never;
  readonly command?: never;
  readonly ok?: never;
};

export interface Outcome {
  readonly data: Data;
  readonly text: string;
  /** The shell ends after this command. */
  readonly ends?: boolean;
}

/** What a command may use while it runs. */
export interface CommandContext {
  readonly client: ClientApi;
  readonly onShareProgress: (group: string, progress: ShareProgress) => void;
  /** Those of the command's options that were given. */
  readonly options: ReadonlySet<string>;
}

export interface Command {
  readonly name: string;
  readonly parameters: readonly Parameter[];
  /** Words such as `--replace` that may stand anywhere behind the name. */
  readonly options: readonly string[];
  readonly help: string;
  /** Called with one word for each parameter; an optional one may be missing. */
  readonly run: (context: CommandContext, words: readonly string[]) => Promise<Outcome>;
}

/** The words a run is given, one for each parameter of its entry. */
export type Arguments<P extends readonly Parameter[]> = {
  readonly [K in keyof P]: P[K] extends { readonly optional: true } ? string | undefined : string;
};

/** `create_user <user_id> <passwd>`, `help [command]`, `check_file [--repair] <group_id> <file_name>`. */
export function usageOf({ name, parameters, options }: Pick<Command, 'name' | 'parameters' | 'options'>): string {
  return [
    name,
    ...options.map((option) => `[${option}]`),
    ...parameters.map((p) => (p.optional ? `[${p.name}]` : `<${p.name}>`)),
  ].join(' ');
}

/** Whether there are as many words as the command takes. */
export function countFits(parameters: readonly Parameter[], words: readonly unknown[]): boolean {
  const least = parameters.filter((parameter) => !parameter.optional).length;
  return words.length >= least && words.length <= parameters.length;
}
