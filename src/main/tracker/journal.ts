/**
 * Owns this tracker's log and the registry that it adds up to: writes entries (signed, chained, stamped), executes
 * each at once, and knows when all that was written is safe. At the start it reads the log, refuses one that was
 * damaged, and executes the rest. The registry runs ahead of the disk by what `settled` waits for, so nothing that was
 * read from it may leave the tracker before.
 */
import { ProtocolViolation, RequestError } from '../../protocol/errors.ts';
import type { RequestId } from '../../protocol/ids.ts';
import {
  chainFault,
  GENESIS_HASH,
  type LogEntry,
  type Operation,
  readEntry,
  type Transaction,
  writeEntry,
} from '../../protocol/transaction.ts';
import type { Identity } from '../net/identity.ts';
import type { Clock } from '../support/clock.ts';
import { compareHlc, nextHlc } from './hlc.ts';
import type { LogStore, StoredEntry } from './log-store.ts';
import { type Outcome, Registry } from './registry.ts';

export interface Written {
  readonly transaction: Transaction;
  /** Undefined when the operation changed nothing. */
  readonly outcome: Outcome | undefined;
}

export class Journal {
  readonly registry = new Registry();
  readonly #store: LogStore;
  readonly #identity: Identity;
  readonly #clock: Clock;
  #last: LogEntry | undefined;
  #unsettled: Promise<void> | undefined;

  private constructor(store: LogStore, identity: Identity, clock: Clock) {
    this.#store = store;
    this.#identity = identity;
    this.#clock = clock;
  }

  /** Throws RequestError('log-damaged'), saying which entry. */
  static async open(store: LogStore, identity: Identity, clock: Clock): Promise<Journal> {
    const journal = new Journal(store, identity, clock);
    for await (const stored of store.entries()) {
      const entry = verified(stored, journal.#last, identity);
      journal.registry.execute(entry.transaction);
      journal.#last = entry;
    }
    return journal;
  }

  get entryCount(): number {
    return this.#last?.transaction.seq ?? 0;
  }

  /** Writes and executes. What it did may be told when `settled` says so. */
  write(op: Operation, actor: Transaction['actor'], requestId: RequestId): Written {
    const last = this.#last;
    const entry = writeEntry(
      {
        origin: this.#identity.id,
        epoch: this.#store.epoch,
        seq: this.entryCount + 1,
        prevHash: last?.hash ?? GENESIS_HASH,
        hlc: nextHlc(last?.transaction.hlc, this.#clock.nowMs()),
        versionVector: {},
        requestId,
        actor,
        op,
      },
      this.#identity.privateKey,
    );
    this.#last = entry;
    const appended = this.#store.append(entry);
    this.#unsettled = appended;
    const settle = () => {
      if (this.#unsettled === appended) this.#unsettled = undefined;
    };
    // A failure stays: whoever waits for what was written here waits in vain.
    appended.then(settle, () => {});
    return { transaction: entry.transaction, outcome: this.registry.execute(entry.transaction) };
  }

  /** Undefined when everything written so far is safe; else a promise for it, which rejects if it can't be had. */
  settled(): Promise<void> | undefined {
    return this.#unsettled;
  }

  /** The committed transaction of a request. */
  async find(requestId: RequestId): Promise<Transaction | undefined> {
    const stored = await this.#store.find(requestId);
    return stored && readEntry(stored.signed).transaction;
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}

function verified(stored: StoredEntry, last: LogEntry | undefined, identity: Identity): LogEntry {
  const damaged = (why: string) =>
    new RequestError(
      'log-damaged',
      `the log is damaged at entry ${stored.seq}: ${why}`,
      'restore the data directory from a copy; the tracker does not run on a log that it can not trust',
    );
  const entry = entryOf(stored, damaged);
  if (entry.transaction.origin !== identity.id) {
    throw damaged('it was written by another tracker; is identity.pem the one that belongs to this log?');
  }
  const previous = last && { seq: last.transaction.seq, hash: last.hash };
  const fault = chainFault(entry, previous, identity.publicKey);
  if (fault) throw damaged(fault);
  if (last && compareHlc(entry.transaction.hlc, last.transaction.hlc) <= 0) {
    throw damaged('its time is not after that of the entry before it');
  }
  if (stored.requestId !== entry.transaction.requestId) throw damaged('its request id is not the one that was signed');
  return entry;
}

function entryOf(stored: StoredEntry, damaged: (why: string) => RequestError): LogEntry {
  try {
    return readEntry(stored.signed);
  } catch (error) {
    if (error instanceof ProtocolViolation) throw damaged(error.message);
    throw error;
  }
}
