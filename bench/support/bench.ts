/**
 * What a bench is: a sentence, flags with what they are when nobody sets them, and a function from their values to a
 * report. Everything around that (the command line, the tour, files of results) is main.ts's and the same for all.
 */
import { InvalidArgumentError } from 'commander';
import { parseSize } from '../../src/main/shell/flags.ts';
import { formatSize } from '../../src/main/shell/format.ts';
import type { Report } from './report.ts';

/** `tour`: a glance at all benches in some minutes; `usual`: one of them; `full`: long enough for docs/BENCHMARKS.md. */
export type Scale = 'tour' | 'usual' | 'full';

export interface Flag<T> {
  /** What stands for the value in the help, such as SIZE. */
  readonly placeholder: string;
  readonly what: string;
  /** Throws InvalidArgumentError. */
  parse(text: string): T;
  readonly defaults: Readonly<Record<Scale, T>>;
  /** The defaults as one would type them. */
  readonly shown: Readonly<Record<Scale, string>>;
}

type Flags = Readonly<Record<string, Flag<unknown>>>;
type Values<F extends Flags> = { readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

export interface Bench {
  /** What is measured, in half a line. */
  readonly what: string;
  /** By name in camel case; `pieceSize` is typed as --piece-size. */
  readonly flags: Flags;
  /** Flags that were given, parsed; the others are those of the scale. */
  run(scale: Scale, given: Readonly<Record<string, unknown>>): Promise<Report>;
}

/** Something that this machine or this user lacks: a tour names it and goes on. */
export class Unavailable extends Error {}

export function defineBench<F extends Flags>(bench: {
  readonly what: string;
  readonly flags: F;
  run(values: Values<F>): Promise<Report>;
}): Bench {
  return {
    what: bench.what,
    flags: bench.flags,
    run(scale, given) {
      const values = Object.entries(bench.flags).map(([name, flag]) => [name, given[name] ?? flag.defaults[scale]]);
      // Each value is of its flag's type: it was parsed by it, or is its default.
      return bench.run(Object.fromEntries(values) as Values<F>);
    },
  };
}

/** The defaults of a tour, of the bench alone, and of a long run; one that is left out is as the one before. */
type Defaults<T> = readonly [T, T?, T?];

interface Notation<T> {
  readonly placeholder: string;
  parse(text: string): T;
  typed(value: T): string;
}

function flag<T>({ placeholder, parse, typed }: Notation<T>, what: string, given: Defaults<T>): Flag<T> {
  const [tour, usual = tour, full = usual] = given;
  const defaults = { tour, usual, full };
  const shown = { tour: typed(tour), usual: typed(usual), full: typed(full) };
  return { placeholder, what, parse, defaults, shown };
}

const listOf = <T>({ placeholder, parse, typed }: Notation<T>): Notation<readonly T[]> => ({
  placeholder: `${placeholder},...`,
  parse: (text) => text.split(',').map(parse),
  typed: (values) => values.map(typed).join(),
});

const SIZE: Notation<number> = {
  placeholder: 'SIZE',
  parse(text) {
    const bytes = parseSize(text);
    if (!bytes) throw new InvalidArgumentError(`"${text}" is not a size such as 64MiB or 2GiB.`);
    return bytes;
  },
  typed: (bytes) => formatSize(bytes).replace(' ', ''),
};

const COUNT: Notation<number> = {
  placeholder: 'N',
  parse(text) {
    if (!/^[1-9]\d{0,6}$/.test(text)) throw new InvalidArgumentError(`"${text}" is not a number from 1 to 9999999.`);
    return Number(text);
  },
  typed: String,
};

const nameOf = (names: readonly string[]): Notation<string> => ({
  placeholder: 'NAME',
  parse(name) {
    if (!names.includes(name)) throw new InvalidArgumentError(`There is no "${name}", but ${names.join(', ')}.`);
    return name;
  },
  typed: (name) => name,
});

export const sizeFlag = (what: string, ...defaults: Defaults<number>) => flag(SIZE, what, defaults);
export const sizesFlag = (what: string, ...defaults: Defaults<readonly number[]>) => flag(listOf(SIZE), what, defaults);
export const countFlag = (what: string, ...defaults: Defaults<number>) => flag(COUNT, what, defaults);
export const countsFlag = (what: string, ...defaults: Defaults<readonly number[]>) =>
  flag(listOf(COUNT), what, defaults);
export const namesFlag = (what: string, names: readonly string[], ...defaults: Defaults<readonly string[]>) =>
  flag(listOf(nameOf(names)), what, defaults);
