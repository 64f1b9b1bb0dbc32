/**
 * Opens the log that a tracker shares with others: reads what it has not read yet, and makes sure before anything is
 * written that the log is this network's and goes on from what this tracker has seen of it.
 */
import { ProtocolViolation, RequestError } from '../../protocol/errors.ts';
import { type TrackerId, toHex } from '../../protocol/ids.ts';
import { keyId, spkiOf } from '../../protocol/signed.ts';
import type { Address } from '../../protocol/tracker-info.ts';
import { readEntry } from '../../protocol/transaction.ts';
import type { Identity } from '../net/identity.ts';
import type { Clock } from '../support/clock.ts';
import type { Logger } from '../support/logger.ts';
import type { KnownTrackers } from './known-trackers.ts';
import { LOG_COPY_FILE, LogCopy } from './log-copy.ts';
import { UnknownTracker } from './log-line.ts';
import { SharedLedger } from './shared-ledger.ts';
import { LogUnreachable, type SharedLog, type SharedTail, type TrackerRecord } from './shared-log.ts';
import { SharedState } from './shared-state.ts';
import type { StoredEntry } from './stored-entry.ts';

const START_MS_MAX = 5_000;
const RETRY_MS = 100;
const PROGRESS_ENTRIES = 10_000;

export interface SharedOptions {
  readonly log: SharedLog;
  /** Where the copy is kept. */
  readonly directory: string;
  readonly identity: Identity;
  readonly known: KnownTrackers;
  readonly address: Address;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The log that the directory held before, kept by the tracker itself: it must have been moved. */
  readonly before: Iterable<StoredEntry> | undefined;
}

/** Throws RequestError('log-unreachable' | 'other-log' | 'log-damaged' | 'pin-mismatch'). */
export async function openSharedLedger(options: SharedOptions): Promise<SharedLedger> {
  const { log, directory, identity, known, clock } = options;
  const copy = new LogCopy(directory);
  const state = new SharedState(identity, clock, copy, known.keyOf);
  try {
    const opening = new Opening(options, state);
    await opening.learnKeys(true);
    await opening.load();
    if (options.before) requireMoved(options.before, copy, log.where);
    await opening.ask(() => log.announce({ spki: spkiOf(identity.publicKey), address: options.address }));
    const learnKeys = () => opening.learnKeys(false);
    return new SharedLedger({ id: identity.id, log, copy, state, clock, keyOf: known.keyOf, learnKeys });
  } catch (error) {
    copy.close();
    throw error;
  }
}

class Opening {
  readonly #options: SharedOptions;
  readonly #state: SharedState;

  constructor(options: SharedOptions, state: SharedState) {
    this.#options = options;
    this.#state = state;
  }

  /** The keys of the trackers that write to the log, as far as tracker_info.txt stands for them. */
  async learnKeys(isStart: boolean): Promise<void> {
    const { log, known, identity } = this.#options;
    const records = await (isStart ? this.ask(() => log.trackers()) : log.trackers());
    for (const record of records) this.#learn(record);
    const isOurs = ({ spki }: TrackerRecord) => keyId(spki) === identity.id || known.keyOf(keyId(spki)) !== undefined;
    if (records.length === 0 || records.some(isOurs)) return;
    throw new RequestError(
      'other-log',
      `the log in ${log.where} belongs to other trackers than those of tracker_info.txt`,
      'give each network a prefix of its own: etcd://<host>:<port>/<prefix>; if it is the same network, give pins in the file',
    );
  }

  async load(): Promise<void> {
    const { log, logger } = this.#options;
    const why = this.#state.load();
    if (why !== undefined) logger.warn({ why }, 'the copy of the log does not hold: all of it is read again');
    const { position, hash } = this.#state.head;
    if (position > 0) {
      const { entries } = await this.ask(() => log.read(position - 1));
      const [same] = entries;
      if (!same || toHex(readEntry(same).hash) !== hash) throw anotherPast(position, log.where);
    }
    for (let isAll = false; !isAll; ) {
      const from = this.#state.head.position;
      const tail = await this.ask(() => log.read(from));
      this.#take(tail);
      const to = this.#state.head.position;
      isAll = to >= tail.head.position;
      if (Math.floor(to / PROGRESS_ENTRIES) > Math.floor(from / PROGRESS_ENTRIES)) {
        logger.info({ read: to, of: tail.head.position }, 'reading the log');
      }
    }
  }

  /** Asks again, for a while, when nobody answers. */
  async ask<T>(question: () => Promise<T>): Promise<T> {
    const { clock, log } = this.#options;
    const startedMs = clock.monotonicMs();
    for (;;) {
      try {
        return await question();
      } catch (error) {
        if (error instanceof ProtocolViolation) throw new RequestError('log-damaged', `${log.where}: ${error.message}`);
        if (!(error instanceof LogUnreachable)) throw error;
        if (clock.monotonicMs() - startedMs < START_MS_MAX) {
          await new Promise<void>((resolve) => void clock.after(RETRY_MS, resolve));
          continue;
        }
        throw new RequestError(
          'log-unreachable',
          `no majority answers of ${log.where} (${error.message})`,
          'start etcd first; compare the addresses, and the certificates if there are any',
        );
      }
    }
  }

  #learn({ spki, address }: TrackerRecord): void {
    const { known } = this.#options;
    known.introduced([], address ? [{ ...address, tracker: keyId(spki) }] : []);
    known.introduced([spki], []);
  }

  #take(tail: SharedTail): void {
    try {
      this.#state.take(tail);
    } catch (error) {
      if (error instanceof UnknownTracker) throw error.refusal();
      throw error;
    }
  }
}

const anotherPast = (position: number, where: string) =>
  new RequestError(
    'log-damaged',
    `the log in ${where} does not have the ${position} entries that this tracker has seen there`,
    `was etcd restored from an older copy, or is it another one? If it is as it should be, remove ${LOG_COPY_FILE}`,
  );

/** Each log that was here stands in the shared one, up to its last entry. */
function requireMoved(before: Iterable<StoredEntry>, copy: LogCopy, where: string): void {
  const last = new Map<string, StoredEntry>();
  for (const stored of before) {
    const known = last.get(stored.origin);
    if (!known || known.seq < stored.seq) last.set(stored.origin, stored);
  }
  for (const { origin, seq, signed } of last.values()) {
    const there = copy.at(origin as TrackerId, seq);
    if (there && Buffer.compare(there.signed.signature, signed.signature) === 0) continue;
    copy.clear();
    throw new RequestError(
      'other-log',
      `the data directory holds a log that is not in ${where}`,
      'move it there first: "tracker log export <file> --data-dir <this one>", then "tracker log import <file> --log etcd://..."',
    );
  }
}
