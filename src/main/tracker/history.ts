/**
 * PURE. The transactions of all trackers in one order (hlc, origin, seq), and the registry that they add up to. One that
 * comes late is put where it belongs: what stands after it is undone, and done again on top of it. The last
 * WINDOW_MIN transactions, at least, can be undone; what would stand before them makes the registry begin anew from all
 * that is stored, which `earlier` gives.
 */
import type { Transaction } from '../../protocol/transaction.ts';
import { comparePlaces } from './hlc.ts';
import { type Outcome, Registry } from './registry.ts';
import { Undo } from './undo.ts';

const WINDOW_MIN = 8192;

export interface Executed {
  readonly transaction: Transaction;
  /** Undefined when the operation changed nothing. */
  readonly outcome: Outcome | undefined;
}

export interface Insertion {
  /** The new ones, in order. */
  readonly executed: readonly Executed[];
  /** Older ones that had changed something, and change nothing any more. */
  readonly voided: readonly Transaction[];
  /** How many older ones were done again. */
  readonly replayed: number;
}

interface Step {
  readonly transaction: Transaction;
  readonly undo: Undo;
  effective: boolean;
}

export class History {
  readonly registry = new Registry();
  readonly #windowMin: number;
  /** In order; those before it can't be undone. */
  #window: Step[] = [];
  /** The last of those that can't be undone. */
  #settled: Transaction | undefined;
  #sinceLate = 0;
  #replayedTotal = 0;

  constructor(windowMin = WINDOW_MIN) {
    this.#windowMin = windowMin;
  }

  /** Transactions that were done again because others came late. */
  get replayedTotal(): number {
    return this.#replayedTotal;
  }

  /**
   * Executes transactions that were not executed before. `earlier` gives every stored one that was executed or is among
   * these, in order; it is asked only when one of them stands too far back.
   */
  insert(transactions: readonly Transaction[], earlier: () => Iterable<Transaction>): Insertion {
    const fresh = transactions.toSorted(comparePlaces);
    const [first] = fresh;
    if (!first) return { executed: [], voided: [], replayed: 0 };
    const before = this.#settled;
    if (before && comparePlaces(first, before) < 0) return this.#beginAnew(fresh, earlier);
    let at = this.#window.length;
    while (at > 0 && comparePlaces(first, this.#step(at - 1).transaction) < 0) at -= 1;
    const undone = this.#window.splice(at);
    for (const step of undone.toReversed()) step.undo.run();
    const insertion = this.#replay(undone, fresh);
    this.#trim(undone.length > 0, fresh.length);
    return insertion;
  }

  #replay(undone: readonly Step[], fresh: readonly Transaction[]): Insertion {
    const executed: Executed[] = [];
    const voided: Transaction[] = [];
    let next = 0;
    const executeNew = (transaction: Transaction) => {
      executed.push({ transaction, outcome: this.#execute(transaction) });
      next += 1;
    };
    for (const step of undone) {
      for (let late = fresh[next]; late && comparePlaces(late, step.transaction) < 0; late = fresh[next]) {
        executeNew(late);
      }
      if (!this.#execute(step.transaction) && step.effective) voided.push(step.transaction);
    }
    for (let rest = fresh[next]; rest; rest = fresh[next]) executeNew(rest);
    this.#replayedTotal += undone.length;
    return { executed, voided, replayed: undone.length };
  }

  /** Outcomes of what lies before the window are not known, so nothing there counts as voided. */
  #beginAnew(fresh: readonly Transaction[], earlier: () => Iterable<Transaction>): Insertion {
    const undone = this.#window;
    const [firstFresh] = fresh;
    const [firstUndone] = undone;
    this.#window = [];
    this.#settled = undefined;
    this.registry.clear();
    let count = 0;
    const isFresh = new Set(fresh.map(nameOf));
    const executed: Executed[] = [];
    for (const transaction of earlier()) {
      if (firstUndone && comparePlaces(transaction, firstUndone.transaction) >= 0) break;
      count += 1;
      const late = firstFresh && comparePlaces(transaction, firstFresh) >= 0;
      const outcome = late ? this.#execute(transaction) : this.#settle(transaction);
      if (isFresh.delete(nameOf(transaction))) executed.push({ transaction, outcome });
    }
    const rest = this.#replay(
      undone,
      fresh.filter((transaction) => isFresh.has(nameOf(transaction))),
    );
    this.#sinceLate = 0;
    this.#replayedTotal += count;
    return { executed: [...executed, ...rest.executed], voided: rest.voided, replayed: rest.replayed + count };
  }

  #settle(transaction: Transaction): Outcome | undefined {
    this.#settled = transaction;
    return this.registry.execute(transaction);
  }

  #execute(transaction: Transaction): Outcome | undefined {
    const undo = new Undo();
    const outcome = this.registry.execute(transaction, undo);
    this.#window.push({ transaction, undo, effective: outcome !== undefined });
    return outcome;
  }

  /** Grows while late ones keep coming, as after a long time apart; shrinks when that is over. */
  #trim(late: boolean, count: number): void {
    this.#sinceLate = late ? 0 : this.#sinceLate + count;
    if (this.#window.length <= 2 * this.#windowMin || this.#sinceLate < this.#windowMin) return;
    const dropped = this.#window.splice(0, this.#window.length - this.#windowMin);
    this.#settled = dropped.at(-1)?.transaction ?? this.#settled;
  }

  #step(at: number): Step {
    const step = this.#window[at];
    if (!step) throw new RangeError(`no step ${at}`);
    return step;
  }
}

const nameOf = ({ origin, seq }: Transaction) => `${origin}/${seq}`;
