/**
 * Owns what this tracker knows of the others (trackers.sqlite): which key belongs to which line of tracker_info.txt, and
 * the keys that their logs are verified with. A line with a pin means that key. For one without, the key that answered
 * first, or that a trusted tracker named, is stored and must match from then on. A key that was trusted once goes on
 * to verify the entries that it signed.
 */
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { TrackerId } from '../../protocol/ids.ts';
import type { Pin } from '../../protocol/messages.ts';
import { keyId, type PublicKey, publicKeyFrom, spkiOf } from '../../protocol/signed.ts';
import { type Address, formatAddress, type TrackerLine } from '../../protocol/tracker-info.ts';
import type { Identity } from '../net/identity.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS pins (address TEXT PRIMARY KEY, pin TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS keys (tracker TEXT PRIMARY KEY, spki BLOB NOT NULL) STRICT;
`;

export class KnownTrackers {
  readonly #db: Database.Database;
  readonly #identity: Identity;
  readonly #address: Address;
  readonly #lines: readonly TrackerLine[];
  readonly #pins = new Map<string, TrackerId>();
  readonly #spkis = new Map<TrackerId, Uint8Array>();
  readonly #keys = new Map<TrackerId, PublicKey>();

  /** `lines`: the other trackers of the file; `address`: where others reach us. */
  constructor(directory: string, identity: Identity, address: Address, lines: readonly TrackerLine[]) {
    this.#identity = identity;
    this.#address = address;
    this.#lines = lines;
    this.#db = new Database(join(directory, 'trackers.sqlite'), { timeout: 0 });
    this.#db.pragma('journal_mode = WAL');
    this.#db.pragma('synchronous = FULL');
    this.#db.exec(SCHEMA);
    const pins = this.#db.prepare<[], { address: string; pin: TrackerId }>('SELECT address, pin FROM pins').all();
    for (const { address: at, pin } of pins) this.#pins.set(at, pin);
    for (const { spki } of this.#db.prepare<[], { spki: Uint8Array }>('SELECT spki FROM keys').all()) this.#hold(spki);
    this.#hold(spkiOf(identity.publicKey));
  }

  /** The key that a line stands for; undefined before the first contact. */
  pinOf(line: TrackerLine): TrackerId | undefined {
    return line.pin ?? this.#pins.get(formatAddress(line));
  }

  /** A tracker without a pin in the file answered for the first time. */
  firstContact(line: TrackerLine, pin: TrackerId): void {
    this.#db.prepare('INSERT OR IGNORE INTO pins VALUES (?, ?)').run(formatAddress(line), pin);
    this.#pins.set(formatAddress(line), pin);
  }

  /** Whether a key is that of a tracker of the file, or ours. */
  readonly trusts = (tracker: TrackerId): boolean =>
    tracker === this.#identity.id || this.#lines.some((line) => this.pinOf(line) === tracker);

  /** The key of a tracker that is trusted, or was once. */
  readonly keyOf = (tracker: TrackerId): PublicKey | undefined => {
    const known = this.#keys.get(tracker);
    const spki = this.#spkis.get(tracker);
    if (known || !spki) return known;
    const key = publicKeyFrom(spki);
    this.#keys.set(tracker, key);
    return key;
  };

  /** All of it, to tell other trackers. */
  introduction(): { keys: Uint8Array[]; pins: Pin[] } {
    return { keys: [...this.#spkis.values()], pins: this.pins() };
  }

  pins(): Pin[] {
    const own = { host: this.#address.host, port: this.#address.port, tracker: this.#identity.id };
    const others = this.#lines.flatMap((line) => {
      const tracker = this.pinOf(line);
      return tracker ? [{ host: line.host, port: line.port, tracker }] : [];
    });
    return [own, ...others];
  }

  /** A trusted tracker told of others. Never replaces a pin. Throws ProtocolViolation when a key is none. */
  introduced(keys: readonly Uint8Array[], pins: readonly Pin[]): void {
    for (const { tracker, ...address } of pins) {
      const line = this.#lines.find(({ host, port }) => host === address.host && port === address.port);
      if (line && !this.pinOf(line)) this.firstContact(line, tracker);
    }
    this.believe(keys.filter((spki) => this.trusts(keyId(spki))));
  }

  /** Keys that a person vouches for, or that a line stands for. Throws ProtocolViolation when one is none. */
  believe(keys: readonly Uint8Array[]): void {
    for (const spki of keys) {
      const tracker = keyId(spki);
      if (this.#spkis.has(tracker)) continue;
      publicKeyFrom(spki);
      this.#db.prepare('INSERT OR IGNORE INTO keys VALUES (?, ?)').run(tracker, spki);
      this.#hold(spki);
    }
  }

  close(): void {
    this.#db.close();
  }

  #hold(spki: Uint8Array): void {
    this.#spkis.set(keyId(spki), spki);
  }
}
