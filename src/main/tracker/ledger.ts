/**
 * PURE. What the rest of a tracker knows of its log, whichever way it is kept: by each tracker on its own disk, exchanged
 * with the others (journal.ts), or by all of them together in etcd (shared-ledger.ts). The registry is what the log adds
 * up to. In the first way it may run ahead of the disk, which `settled` tells; in the second it may be behind the others,
 * which `current` mends.
 */
import type { DeviceId, RequestId, TrackerId } from '../../protocol/ids.ts';
import type { ChainedTransaction, Operation, Transaction } from '../../protocol/transaction.ts';
import type { Executed, Insertion } from './history.ts';
import type { Damage } from './log-reader.ts';
import type { Registry } from './registry.ts';
import type { ChangeAnswer } from './requests.ts';
import type { Vector } from './vectors.ts';

/** Something that an answer needs no entry for, or what an entry is to say. */
export type Draft =
  | { readonly answer: ChangeAnswer }
  | { readonly op: Operation; readonly actor: Transaction['actor'] };

/** A request that may change something. */
export interface Order {
  readonly requestId: RequestId;
  readonly device: DeviceId;
  /**
   * What it comes to on the registry as it is now. Throws RequestError when it is refused. Asked once more each time that
   * another tracker was first.
   */
  judge(): Draft;
}

export type Done = { readonly answer: ChangeAnswer } | Executed;

export interface Verification {
  readonly entries: number;
  /** Undefined when all of it holds. */
  readonly fault: string | undefined;
}

export interface LedgerDuties {
  /** Entries were executed that nobody here asked for. */
  executed(insertion: Insertion): void;
  /** The log can't be relied on any more. */
  failed(error: unknown): void;
}

export interface Ledger {
  readonly id: TrackerId;
  readonly registry: Registry;
  /** Entries of all trackers that are executed. */
  readonly entryCount: number;
  /** Own transactions written since the start. */
  readonly writtenCount: number;
  /** Transactions that were done again because others came late. */
  readonly replayedTotal: number;
  /** Logs with a damaged entry that no other tracker has given back. */
  readonly damage: readonly Damage[];
  /**
   * The other trackers that can be reached were heard: what is written from now on is the tracker's own to decide. Throws
   * RequestError('log-damaged') when its own entries are not all there.
   */
  start(duties: LedgerDuties): void;
  /**
   * Undefined when the registry may be looked at as it is; else a promise that resolves when it has all that was
   * acknowledged, by any tracker, before this was asked. Rejects with RequestError('log-unreachable').
   */
  current(): Promise<void> | undefined;
  /** The transaction of a request that was executed: that of the device, if several chose the same id. */
  find(requestId: RequestId, device: DeviceId): Transaction | undefined;
  /** Whether an entry was executed here. */
  has(origin: TrackerId, seq: number): boolean;
  /**
   * Judges and writes. What it did may be told when `settled` says so. Throws, or rejects with, the RequestError of a
   * refusal.
   */
  perform(order: Order): Done | Promise<Done>;
  /** Undefined when everything written so far is safe; else a promise for it, which rejects if it can't be had. */
  settled(): Promise<void> | undefined;
  /** What is safe and executed. */
  held(): Vector;
  /** The last so many executed transactions, in the order of execution. */
  tail(count: number): readonly ChainedTransaction[];
  /** Checks what is stored against what is held now, whose registry has this digest. */
  verify(digest: string): Promise<Verification>;
  close(): Promise<void>;
}
