/** Several trackers over one log: who wins, what is told to whom, and what gets lost on the way there and back. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Identity, newIdentity } from '../../src/main/net/identity.ts';
import { type Clock, systemClock } from '../../src/main/support/clock.ts';
import { silentLogger } from '../../src/main/support/logger.ts';
import type { Insertion } from '../../src/main/tracker/history.ts';
import { KnownTrackers } from '../../src/main/tracker/known-trackers.ts';
import type { Done, Order } from '../../src/main/tracker/ledger.ts';
import { registryDigest } from '../../src/main/tracker/registry-digest.ts';
import type { SharedLedger } from '../../src/main/tracker/shared-ledger.ts';
import { openSharedLedger } from '../../src/main/tracker/shared-open.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import { type RequestId, toHex } from '../../src/protocol/ids.ts';
import type { TrackerLine } from '../../src/protocol/tracker-info.ts';
import { readEntry } from '../../src/protocol/transaction.ts';
import { eventually } from '../support/eventually.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { type Fate, MemoryLog } from '../support/memory-log.ts';
import { deviceId, requestId, userId } from '../support/registry.ts';
import { seeded } from '../support/seeded.ts';

let path: string;
let log: MemoryLog;
let closings: (() => Promise<void>)[];
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'p2pfs-shared-'));
  log = new MemoryLog();
  closings = [];
});
afterEach(async () => {
  for (const close of closings) await close();
  rmSync(path, { recursive: true, force: true });
});

/** A tracker's ledger, in a directory of its own; `trusted` are the others of its tracker_info.txt. */
class Keeper {
  readonly identity: Identity;
  readonly directory = mkdtempSync(join(path, 'tracker-'));
  readonly news: Insertion[] = [];
  readonly failures: unknown[] = [];
  readonly clock = new ManualClock();
  trusted: readonly Identity[] = [];
  fate: () => Fate = () => 'done';
  #ledger: SharedLedger | undefined;
  #known: KnownTrackers | undefined;

  constructor(identity: Identity) {
    this.identity = identity;
  }

  get ledger(): SharedLedger {
    if (!this.#ledger) throw new Error('not open');
    return this.#ledger;
  }

  /** `clock`: the test's own unless it wants the system's. */
  async open(clock = systemClock): Promise<SharedLedger> {
    const address = { host: '127.0.0.1', port: 1 };
    const lines = this.trusted.map(({ id }, at): TrackerLine => ({ host: '127.0.0.1', port: 2 + at, pin: id }));
    const known = new KnownTrackers(this.directory, this.identity, address, lines);
    try {
      const ledger = await openSharedLedger({
        log: log.way(() => this.fate()),
        directory: this.directory,
        identity: this.identity,
        known,
        address,
        clock,
        logger: silentLogger,
        before: undefined,
      });
      ledger.start({
        executed: (insertion) => void this.news.push(insertion),
        failed: (error) => void this.failures.push(error),
      });
      this.#ledger = ledger;
      this.#known = known;
      closings.push(() => this.close());
      return ledger;
    } catch (error) {
      known.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#ledger?.close();
    this.#known?.close();
    this.#ledger = undefined;
    this.#known = undefined;
  }

  newUser(name: string, request: number): Promise<Done> {
    return this.ledger.perform(this.order(name, request));
  }

  order(name: string, request: number, device = 1): Order {
    return {
      requestId: requestId(request),
      device: deviceId(device),
      judge: () => {
        if (this.ledger.registry.userNamed(name)) throw new RequestError('name-taken', name);
        const op = { type: 'user-created', user: userId(request), name, passwordHash: '' } as const;
        return { op, actor: { device: deviceId(device) } };
      },
    };
  }

  digest(): string {
    return toHex(registryDigest(this.ledger.registry));
  }
}

/** Tries again at once. */
const impatient: Clock = {
  ...systemClock,
  after(_delayMs, task) {
    const due = setImmediate(task);
    return () => clearImmediate(due);
  },
};

async function keepers(count: number, clock = systemClock): Promise<Keeper[]> {
  const all = await Promise.all(Array.from({ length: count }, async () => new Keeper(await newIdentity())));
  for (const keeper of all) keeper.trusted = all.filter((one) => one !== keeper).map(({ identity }) => identity);
  for (const keeper of all) await keeper.open(clock);
  return all;
}

const transactions = () => log.entries.map((signed) => readEntry(signed).transaction);
const codeOf = (error: unknown) => (error instanceof RequestError ? error.code : `not refused: ${String(error)}`);
const refusal = (promise: Promise<unknown>) => promise.then(() => 'done', codeOf);

describe('several trackers, one log', () => {
  test('of those who ask for the same name at once, one gets it', async () => {
    const all = await keepers(3);
    const outcomes = await Promise.all(all.map((keeper, at) => refusal(keeper.newUser('alice', at + 1))));
    expect(outcomes.sort()).toEqual(['done', 'name-taken', 'name-taken']);
    expect(transactions()).toHaveLength(1);
  });

  test('what one was told is done, the next look at another shows', async () => {
    const [one, other] = await keepers(2);
    for (let at = 1; at <= 20; at += 1) {
      await one?.newUser(`user${at}`, at);
      await other?.ledger.current();
      expect(other?.ledger.registry.userNamed(`user${at}`)).toBeDefined();
    }
  });

  test('what others wrote is news, with what it did; what was asked for here is not', async () => {
    const [one, other] = await keepers(2);
    const done = await one?.newUser('alice', 1);
    expect(done).toMatchObject({ transaction: { seq: 1 }, outcome: {} });
    await eventually(() => other?.news.length === 1);
    expect(other?.news[0]?.executed).toMatchObject([{ transaction: { op: { name: 'alice' } }, outcome: {} }]);
    expect(one?.news).toEqual([]);
  });

  test('a request that is repeated at another tracker is done once, and answered alike', async () => {
    const [one, other] = await keepers(2);
    const answers = await Promise.all([one?.newUser('alice', 1), other?.newUser('alice', 1)]);
    const seqs = answers.map((done) => done && 'transaction' in done && done.transaction.requestId);
    expect(seqs).toEqual([requestId(1), requestId(1)]);
    expect(transactions()).toHaveLength(1);
  });

  test('a crowd at once costs few rounds and keeps its order in one log', async () => {
    const [one] = await keepers(1);
    const before = log.entries.length;
    await Promise.all(Array.from({ length: 500 }, (_, at) => one?.newUser(`user${at}`, at + 1)));
    expect(log.entries.length - before).toBe(500);
    expect(transactions().map(({ seq }) => seq)).toEqual(Array.from({ length: 500 }, (_, at) => at + 1));
    expect(await one?.ledger.verify(one.digest())).toEqual({ entries: 500, fault: undefined });
  });
});

describe('an answer that gets lost', () => {
  test('whatever is lost, late or repeated: no entry twice, none missing, and nothing refused that was done', async () => {
    const all = await keepers(3, impatient);
    for (let seed = 1; seed <= 40; seed += 1) await unreliable(all, seed);
    for (const keeper of all) keeper.fate = () => 'done';
    log.arrive();
    for (const keeper of all) await keeper.ledger.current();
    expect(new Set(all.map((keeper) => keeper.digest())).size).toBe(1);
    expect(all.flatMap(({ failures }) => failures)).toEqual([]);
    for (const keeper of all) expect((await keeper.ledger.verify(keeper.digest())).fault).toBeUndefined();
  });

  async function unreliable(all: readonly Keeper[], seed: number): Promise<void> {
    const random = seeded(seed);
    const fates: Fate[] = ['done', 'done', 'done', 'request-lost', 'answer-lost', 'late'];
    const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
    for (const keeper of all) {
      keeper.fate = () => {
        if (random() < 0.2) log.arrive();
        return pick(fates);
      };
    }
    const told = new Map<RequestId, string>();
    const asks = Array.from({ length: 24 }, async (_, at) => {
      const request = seed * 1000 + Math.floor(at / 2);
      // Two of each request, at any trackers; four requests for each name.
      const outcome = await refusal(pick(all).newUser(`user${seed}-${Math.floor(at / 8)}`, request));
      const before = told.get(requestId(request));
      // The second of a request is answered as the first.
      if (before !== undefined) expect(outcome).toBe(before);
      told.set(requestId(request), outcome);
    });
    await Promise.all(asks);
    const written = transactions().map((transaction) => transaction.requestId);
    for (const [request, outcome] of told) {
      expect(written.filter((one) => one === request)).toHaveLength(outcome === 'done' ? 1 : 0);
    }
    expect([...told.values()].filter((outcome) => outcome === 'done')).toHaveLength(3);
  }

  test('nobody waits longer than four seconds, and the log goes on by itself', async () => {
    const keeper = new Keeper(await newIdentity());
    await keeper.open(keeper.clock);
    keeper.fate = () => 'request-lost';
    const write = refusal(keeper.newUser('alice', 1));
    const look = refusal(keeper.ledger.current());
    await eventually(() => keeper.ledger.standing.fault !== undefined);
    keeper.clock.advance(4_500);
    expect(await Promise.all([write, look])).toEqual(['log-unreachable', 'log-unreachable']);
    keeper.fate = () => 'done';
    const later = keeper.newUser('bob', 2);
    await eventually(() => {
      keeper.clock.advance(100);
      return keeper.ledger.standing.fault === undefined;
    });
    expect(await refusal(later)).toBe('done');
    expect(keeper.failures).toEqual([]);
  });

  test('who was told that it is not known finds it done when it arrives after all', async () => {
    const keeper = new Keeper(await newIdentity());
    await keeper.open(keeper.clock);
    keeper.fate = () => 'late';
    const write = keeper.newUser('alice', 1).catch((error: RequestError) => error.hint);
    await eventually(() => keeper.ledger.standing.fault !== undefined);
    keeper.clock.advance(4_500);
    expect(await write).toContain('whether this was done will show then');
    keeper.fate = () => 'done';
    log.arrive();
    const again = keeper.newUser('alice', 1);
    await eventually(() => {
      keeper.clock.advance(100);
      return keeper.ledger.standing.fault === undefined;
    });
    expect(await again).toMatchObject({ transaction: { seq: 1 } });
    expect(transactions()).toHaveLength(1);
  });
});

describe('a start', () => {
  test('goes on from its copy, and reads the rest', async () => {
    const [one, other] = await keepers(2);
    for (let at = 1; at <= 20; at += 1) await one?.newUser(`user${at}`, at);
    await one?.close();
    for (let at = 21; at <= 40; at += 1) await other?.newUser(`user${at}`, at);
    await one?.open();
    expect(one?.ledger.entryCount).toBe(40);
    expect(one?.digest()).toBe(other?.digest());
    expect(one?.ledger.tail(2).map(({ requestId: id }) => id)).toEqual([requestId(39), requestId(40)]);
    await one?.newUser('last', 41);
    expect(transactions().at(-1)).toMatchObject({ seq: 21, epoch: 2 });
  });

  test('with a damaged copy reads all of it again', async () => {
    const [one] = await keepers(1);
    for (let at = 1; at <= 20; at += 1) await one?.newUser(`user${at}`, at);
    const digest = one?.digest();
    await one?.close();
    const db = new Database(join(one?.directory ?? '', 'etcd-log.sqlite'));
    db.prepare('UPDATE entries SET body = zeroblob(20) WHERE position = 7').run();
    db.close();
    await one?.open();
    expect(one?.digest()).toBe(digest);
  });

  test.each([
    ['ends before what this tracker has seen', () => cut(15)],
    ['was another since the tracker was away', () => rewrite()],
  ])('with a log that %s is refused', async (_, change) => {
    const [one] = await keepers(1);
    for (let at = 1; at <= 20; at += 1) await one?.newUser(`user${at}`, at);
    await one?.close();
    await change();
    await expect(one?.open()).rejects.toMatchObject({ code: 'log-damaged' });
  });

  /** As a restored backup would. */
  function cut(length: number): void {
    log.entries.length = length;
    const last = log.entries.at(-1);
    log.head = { position: length, hash: last ? toHex(readEntry(last).hash) : '' };
  }

  async function rewrite(): Promise<void> {
    log = new MemoryLog();
    const stranger = new Keeper(await newIdentity());
    await stranger.open();
    for (let at = 1; at <= 30; at += 1) await stranger.newUser(`user${at}`, at);
    log.records.clear();
    await stranger.close();
  }

  test('on the log of another network is refused, and leaves no trace there', async () => {
    await keepers(1);
    const stranger = new Keeper(await newIdentity());
    await expect(stranger.open()).rejects.toMatchObject({ code: 'other-log' });
    expect(log.records.size).toBe(1);
  });

  test('with entries of a tracker that the file does not name is refused, and says which', async () => {
    const [one, other] = await keepers(2);
    await one?.newUser('alice', 1);
    const third = new Keeper(await newIdentity());
    third.trusted = other ? [other.identity] : [];
    await expect(third.open()).rejects.toMatchObject({
      code: 'pin-mismatch',
      message: expect.stringContaining(one?.identity.id ?? ''),
    });
  });

  test('of a tracker that the running ones know of, later than theirs, is no trouble to them', async () => {
    const [one, other] = await keepers(2);
    await other?.close();
    log.records.delete(other?.identity.id ?? '');
    await one?.newUser('alice', 1);
    await other?.open();
    await other?.newUser('bob', 2);
    await one?.ledger.current();
    expect(one?.digest()).toBe(other?.digest());
  });
});

describe('what a running tracker can not rely on ends it', () => {
  test.each([
    ['an entry that is not what its tracker signed', (signed: Uint8Array) => signed.with(50, 255 - (signed[50] ?? 0))],
    ['an entry that is none', () => new Uint8Array([1])],
  ])('%s', async (_, change) => {
    const [one, other] = await keepers(2);
    await one?.newUser('alice', 1);
    await other?.ledger.current();
    const [keeper] = [other];
    if (keeper) keeper.fate = () => 'request-lost';
    await one?.newUser('bob', 2);
    const [, bob] = log.entries;
    if (bob) log.entries[1] = { ...bob, body: change(bob.body) };
    if (keeper) keeper.fate = () => 'done';
    await eventually(() => (other?.failures.length ?? 0) > 0);
    expect(other?.failures).toMatchObject([{ code: 'log-damaged' }]);
    expect(await refusal(other?.ledger.current() ?? Promise.resolve())).toBe('log-damaged');
    expect(other?.ledger.registry.userNamed('bob')).toBeUndefined();
  });
});
