/**
 * Opens the ledger of a tracker, in one of two ways: a log of its own, or one that all trackers share. A data directory that
 * was used in the other way is refused until its log was moved, so that nothing is left behind by mistake.
 */
import { RequestError } from '../../protocol/errors.ts';
import type { Address } from '../../protocol/tracker-info.ts';
import type { Identity } from '../net/identity.ts';
import type { Clock } from '../support/clock.ts';
import type { DataDir } from '../support/data-dir.ts';
import type { Logger } from '../support/logger.ts';
import { Journal } from './journal.ts';
import type { KnownTrackers } from './known-trackers.ts';
import { LOG_COPY_FILE } from './log-copy.ts';
import { LOG_FILE, type LogStore, SqliteLogStore } from './log-store.ts';
import type { SharedLedger } from './shared-ledger.ts';
import type { SharedLog } from './shared-log.ts';
import { openSharedLedger } from './shared-open.ts';

export interface LedgerParts {
  readonly dataDir: DataDir;
  readonly identity: Identity;
  readonly known: KnownTrackers;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where the tracker listens. */
  readonly address: Address;
  /** There are other trackers that may have what is damaged here. */
  readonly hasOthers: boolean;
}

/** A log of its own, to exchange with other trackers: SQLite in the data directory, unless told otherwise. */
export async function openOwn(
  { dataDir, identity, known, clock, logger, hasOthers }: LedgerParts,
  openLog: (dataDir: string) => LogStore = (path) => new SqliteLogStore(path),
): Promise<{ ledger: Journal }> {
  if (dataDir.has(LOG_COPY_FILE)) {
    throw new RequestError(
      'other-log',
      `the log of ${dataDir.path} is kept in etcd`,
      'start it with --log etcd://..., or move the log here: "tracker log export <file> --log etcd://...", then "tracker log import <file> --data-dir <this one>"',
    );
  }
  const store = openLog(dataDir.path);
  try {
    const ledger = await Journal.open(store, identity, clock, { keyOf: known.keyOf, repairable: hasOthers });
    for (const damage of ledger.damage) logger.error(damage, 'the log is damaged; other trackers are asked for it');
    return { ledger };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** The log that all trackers share. */
export async function openShared(
  parts: LedgerParts,
  open: () => Promise<SharedLog>,
): Promise<{ ledger: SharedLedger; shared: SharedLedger }> {
  const { dataDir } = parts;
  const isFirst = !dataDir.has(LOG_COPY_FILE);
  const store = isFirst && dataDir.has(LOG_FILE) ? new SqliteLogStore(dataDir.path) : undefined;
  const log = await open();
  try {
    const ledger = await openSharedLedger({ ...parts, log, directory: dataDir.path, before: store?.entries() });
    return { ledger, shared: ledger };
  } catch (error) {
    await log.close();
    // What was never begun leaves the directory as it was.
    if (isFirst) dataDir.removeDatabase(LOG_COPY_FILE);
    throw error;
  } finally {
    await store?.close();
  }
}
