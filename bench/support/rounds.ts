/**
 * Contenders that take turns: a warm-up each, then rounds in which all of them run once, the order rotated. Ratios are
 * taken round by round, so that a slow moment of the machine counts for both sides.
 */
import { type Summary, summarize } from './measure.ts';
import { note } from './report.ts';

export interface Contender<T> {
  readonly name: string;
  run(): Promise<T>;
}

/** What each contender took in each round. */
export class Rounds<T> {
  readonly #rounds: readonly ReadonlyMap<string, T>[];

  constructor(rounds: readonly ReadonlyMap<string, T>[]) {
    this.#rounds = rounds;
  }

  get count(): number {
    return this.#rounds.length;
  }

  /** A number of each round of a contender; rounds without one count for nothing. */
  of(name: string, number: (taken: T) => number | undefined): Summary {
    return summarize(this.#rounds.flatMap((round) => only(round.get(name), number)));
  }

  /** The same number of two contenders, the first divided by the second in each round. */
  ratio(name: string, other: string, number: (taken: T) => number | undefined): Summary {
    return summarize(
      this.#rounds.flatMap((round) => {
        const [[above], [below]] = [only(round.get(name), number), only(round.get(other), number)];
        return above === undefined || below === undefined ? [] : [above / below];
      }),
    );
  }

  /** All that was measured, for JSON. */
  raw(): readonly Record<string, T>[] {
    return this.#rounds.map((round) => Object.fromEntries(round));
  }
}

function only<T>(taken: T | undefined, number: (taken: T) => number | undefined): number[] {
  const value = taken === undefined ? undefined : number(taken);
  return value === undefined ? [] : [value];
}

/** The items in another order each round, so that none always follows the same neighbour. */
export function rotated<T>(items: readonly T[], round: number): T[] {
  const at = items.length === 0 ? 0 : round % items.length;
  return [...items.slice(at), ...items.slice(0, at)];
}

export async function takeTurns<T>(
  contenders: readonly Contender<T>[],
  options: {
    readonly rounds: number;
    /** After each contender's warm-up, whose figures count for nothing. */
    readonly warmedUp?: (name: string) => Promise<void>;
    /** A round's figure of one contender, for who watches. */
    readonly told: (taken: T) => string;
  },
): Promise<Rounds<T>> {
  const { rounds, warmedUp, told } = options;
  for (const { name, run } of contenders) {
    note(`warm-up: ${name}: ${told(await run())}`);
    await warmedUp?.(name);
  }
  const all: Map<string, T>[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const taken = new Map<string, T>();
    for (const { name, run } of rotated(contenders, round)) taken.set(name, await run());
    all.push(taken);
    const said = contenders.flatMap(({ name }) => {
      const one = taken.get(name);
      return one === undefined ? [] : [`${name} ${told(one)}`];
    });
    note(`round ${round + 1} of ${rounds}: ${said.join(', ')}`);
  }
  return new Rounds(all);
}
