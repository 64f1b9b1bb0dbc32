/**
 * PURE. One log that several trackers write together and somebody else keeps (etcd-log.ts). Entries stand at positions from
 * 1, without a gap; nothing is ever changed or removed. Who appends says after which entry, and is refused when another
 * was faster. What entries mean, and whether they are genuine, is not asked here.
 */
import type { RequestError } from '../../protocol/errors.ts';
import type { Signed } from '../../protocol/signed.ts';
import type { LogEntry } from '../../protocol/transaction.ts';

/** The last entry; position 0: there is none. */
export interface SharedHead {
  readonly position: number;
  /** Of the entry there, in hexadecimal. */
  readonly hash: string;
}

export const EMPTY_HEAD: SharedHead = { position: 0, hash: '' };

export const sameHead = (one: SharedHead, other: SharedHead): boolean =>
  one.position === other.position && one.hash === other.hash;

/** The head, and, as of the same moment, what follows a position: as much of it as comes at once. */
export interface SharedTail {
  readonly head: SharedHead;
  readonly entries: readonly Signed[];
}

/** What became of an append. */
export type Appended =
  | { readonly type: 'appended' }
  /** The head was another. */
  | { readonly type: 'moved'; readonly tail: SharedTail }
  /** It was not done, and won't be before somebody mends what the error says. */
  | { readonly type: 'refused'; readonly error: RequestError };

/** How a tracker that writes to the log is known to the others: its public key, and where it listens. */
export interface TrackerRecord {
  readonly spki: Uint8Array;
  /** Undefined when it was only imported. */
  readonly address: { readonly host: string; readonly port: number } | undefined;
}

/** Nobody answered in time. Whether it was done is not known. */
export class LogUnreachable extends Error {
  override readonly name = 'LogUnreachable';
}

/** Every call rejects with LogUnreachable, or RequestError where trying again is no use. */
export interface SharedLog {
  /** For people: where it is kept. */
  readonly where: string;
  /** How many machines keep it. */
  readonly members: number;
  /** As it is once this was asked, after everything that was acknowledged before. */
  read(after: number): Promise<SharedTail>;
  /** Appends all or nothing, and only when the head is this one. */
  append(at: SharedHead, entries: readonly LogEntry[]): Promise<Appended>;
  trackers(): Promise<readonly TrackerRecord[]>;
  announce(record: TrackerRecord): Promise<void>;
  /** Calls back when there may be entries up to a position: a hint, which may come late, twice or never. */
  watch(news: (position: number) => void): void;
  /** Called now and then: mends a watch that broke, counts the members. */
  refresh(): Promise<void>;
  close(): Promise<void>;
}
