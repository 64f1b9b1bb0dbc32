/**
 * Verifies what is on the disk while the tracker runs: each log's chain and signatures up to what was held at the start,
 * and that executing it from nothing gives the registry that is in memory. Takes turns with everything else.
 */
import { setImmediate } from 'node:timers/promises';
import { type TrackerId, toHex } from '../../protocol/ids.ts';
import type { PublicKey } from '../../protocol/signed.ts';
import { type LogEntry, signatureFault } from '../../protocol/transaction.ts';
import { type Head, storedEntryOf } from './chain.ts';
import type { Verification } from './ledger.ts';
import { Registry } from './registry.ts';
import { registryDigest } from './registry-digest.ts';
import type { StoredEntry } from './stored-entry.ts';
import { sameVector, type Vector } from './vectors.ts';

const ENTRIES_A_TURN = 100;

export interface Verified {
  readonly held: Vector;
  /** Of the registry in memory when it held that. */
  readonly digest: string;
  readonly entries: Iterable<StoredEntry>;
  keyOf(origin: TrackerId): PublicKey | undefined;
}

const signatureOf = (entry: LogEntry, key: PublicKey | undefined) => (key ? signatureFault(entry, key) : 'no key');

export async function verifyLog({ held, digest, entries, keyOf }: Verified): Promise<Verification> {
  const registry = new Registry();
  const heads = new Map<TrackerId, Head>();
  let count = 0;
  for (const stored of entries) {
    const origin = stored.origin as TrackerId;
    if (stored.seq > (held[origin] ?? 0)) continue;
    const entry = storedEntryOf(stored, heads.get(origin), keyOf(origin));
    const why = 'why' in entry ? entry.why : signatureOf(entry, keyOf(origin));
    if ('why' in entry || why) return { entries: count, fault: `entry ${stored.seq} of ${origin}: ${why}` };
    const { seq, hlc } = entry.transaction;
    heads.set(origin, { seq, hash: entry.hash, hlc });
    registry.execute(entry.transaction);
    count += 1;
    if (count % ENTRIES_A_TURN === 0) await setImmediate();
  }
  const found = Object.fromEntries([...heads].map(([origin, { seq }]) => [origin, seq])) as Vector;
  if (!sameVector(found, held)) return { entries: count, fault: 'entries are missing' };
  const same = toHex(registryDigest(registry)) === digest;
  return { entries: count, fault: same ? undefined : 'the registry in memory is not what the log adds up to' };
}
