/** A disk in virtual time: what was appended is safe some while later, and a crash loses what was not. */
import { compareHlc } from '../../src/main/tracker/hlc.ts';
import type { LogStore } from '../../src/main/tracker/log-store.ts';
import type { StoredEntry } from '../../src/main/tracker/stored-entry.ts';
import type { TrackerId } from '../../src/protocol/ids.ts';
import { type LogEntry, type OpenEntry, sealEntry } from '../../src/protocol/transaction.ts';
import type { Timeline } from './timeline.ts';

/** What was appended is safe after so long, at most. */
export const SYNC_MS_MAX = 30;

export class SimDisk {
  readonly #timeline: Timeline;
  readonly #random: () => number;
  readonly #committed: StoredEntry[] = [];
  #starts = 0;
  #unsynced = 0;

  constructor(timeline: Timeline, random: () => number) {
    this.#timeline = timeline;
    this.#random = random;
  }

  get entryCount(): number {
    return this.#committed.length;
  }

  /** A start of the tracker: what earlier ones still had in flight is lost. */
  open(): LogStore {
    this.crash();
    const start = this.#starts;
    const committed = this.#committed;
    let batch: { entries: StoredEntry[]; done: Promise<void> } | undefined;
    let lastHash: Uint8Array | undefined;
    const commit = (entries: readonly StoredEntry[]): boolean => {
      batch = undefined;
      if (start !== this.#starts) return false;
      committed.push(...entries);
      this.#unsynced -= entries.length;
      return true;
    };
    const take = (entry: StoredEntry): Promise<void> => {
      this.#unsynced += 1;
      if (batch) {
        batch.entries.push(entry);
        return batch.done;
      }
      const entries = [entry];
      const done = new Promise<void>((resolve) => {
        this.#timeline.after(this.#random() * SYNC_MS_MAX, () => {
          if (commit(entries)) resolve();
        });
      });
      batch = { entries, done };
      return done;
    };
    return {
      epoch: start,
      entries: () => committed.toSorted(inOrder),
      after: (origin: TrackerId, seq: number, limit: number) =>
        committed
          .filter((entry) => entry.origin === origin && entry.seq > seq)
          .sort((a, b) => a.seq - b.seq)
          .slice(0, limit),
      append: (entry: LogEntry) => take(storedEntry(entry)),
      write: ({ transaction, body }, { privateKey, prevHash = lastHash }) => {
        if (!prevHash) throw new Error('nothing was written before');
        const { signed, hash } = sealEntry(body, prevHash, privateKey);
        lastHash = hash;
        return take(storedEntry({ transaction, signed }));
      },
      close: async () => {},
    };
  }

  /** The process is gone. Gives how many entries are gone with it. */
  crash(): number {
    this.#starts += 1;
    const lost = this.#unsynced;
    this.#unsynced = 0;
    return lost;
  }
}

const storedEntry = ({
  transaction,
  signed,
}: Pick<OpenEntry, 'transaction'> & Pick<LogEntry, 'signed'>): StoredEntry => ({
  origin: transaction.origin,
  seq: transaction.seq,
  requestId: transaction.requestId,
  hlc: transaction.hlc,
  signed,
});

const inOrder = (a: StoredEntry, b: StoredEntry) =>
  compareHlc(a.hlc, b.hlc) || (a.origin < b.origin ? -1 : a.origin > b.origin ? 1 : a.seq - b.seq);
