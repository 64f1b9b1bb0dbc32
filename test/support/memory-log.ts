/**
 * A log that trackers share, kept in this process, for tests: each tracker has its own way to it, which loses requests,
 * or answers, or lets a request arrive long after its sender gave up on it, as the test says.
 */
import { setImmediate } from 'node:timers/promises';
import {
  type Appended,
  EMPTY_HEAD,
  LogUnreachable,
  type SharedHead,
  type SharedLog,
  type SharedTail,
  sameHead,
  type TrackerRecord,
} from '../../src/main/tracker/shared-log.ts';
import { toHex } from '../../src/protocol/ids.ts';
import { keyId, type Signed } from '../../src/protocol/signed.ts';
import type { LogEntry } from '../../src/protocol/transaction.ts';

const PAGE = 7;

/** What becomes of a call. `late`: it arrives when `arrive` is called. */
export type Fate = 'done' | 'request-lost' | 'answer-lost' | 'late';

export class MemoryLog {
  readonly entries: Signed[] = [];
  readonly records = new Map<string, TrackerRecord>();
  head: SharedHead = EMPTY_HEAD;
  readonly watchers = new Set<(position: number) => void>();
  readonly #late: (() => void)[] = [];

  append(at: SharedHead, entries: readonly LogEntry[]): Appended {
    const last = entries.at(-1);
    if (!sameHead(at, this.head) || !last) return { type: 'moved', tail: this.read(at.position) };
    this.entries.push(...entries.map(({ signed }) => signed));
    this.head = { position: this.entries.length, hash: toHex(last.hash) };
    for (const news of this.watchers) news(this.head.position);
    return { type: 'appended' };
  }

  read(after: number): SharedTail {
    return { head: this.head, entries: this.entries.slice(after, after + PAGE) };
  }

  late(arrival: () => void): void {
    this.#late.push(arrival);
  }

  /** What was late arrives. */
  arrive(): void {
    for (const arrival of this.#late.splice(0)) arrival();
  }

  /** A tracker's way to it. */
  way(fateOf: () => Fate = () => 'done'): SharedLog {
    const call = async <T>(work: () => T): Promise<T> => {
      await setImmediate();
      const fate = fateOf();
      if (fate === 'late') this.late(work);
      if (fate === 'request-lost' || fate === 'late') throw new LogUnreachable(fate);
      const answer = work();
      await setImmediate();
      if (fate === 'answer-lost') throw new LogUnreachable(fate);
      return answer;
    };
    let watching: ((position: number) => void) | undefined;
    return {
      where: 'memory',
      members: 3,
      read: (after) => call(() => this.read(after)),
      append: (at, entries) => call(() => this.append(at, entries)),
      trackers: () => call(() => [...this.records.values()]),
      announce: (record) => call(() => void this.records.set(keyId(record.spki), record)),
      watch: (news) => {
        watching = news;
        this.watchers.add(news);
      },
      refresh: async () => {},
      close: async () => {
        if (watching) this.watchers.delete(watching);
      },
    };
  }
}
