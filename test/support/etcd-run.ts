/**
 * Two trackers on an etcd of three members whose leader is killed (SIGKILL) again and again, and started again, under
 * clients that never give up on a request: what is refused because etcd has no majority, or cut off, they repeat under
 * the same request id, at either tracker. What was acknowledged is kept beside: it is the oracle. Used by the tests with
 * a few kills and by the soak with many.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { ConnectionLost } from '../../src/main/net/calls.ts';
import { type Identity, newIdentity } from '../../src/main/net/identity.ts';
import { openEtcd } from '../../src/main/tracker/etcd-open.ts';
import { parseEtcdUrl } from '../../src/main/tracker/etcd-settings.ts';
import { Registry } from '../../src/main/tracker/registry.ts';
import { registryDigest } from '../../src/main/tracker/registry-digest.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import { type RequestId, type Root, toHex } from '../../src/protocol/ids.ts';
import type { Method, Params, Result } from '../../src/protocol/messages.ts';
import type { Signed } from '../../src/protocol/signed.ts';
import type { Address } from '../../src/protocol/tracker-info.ts';
import { readEntry, type Transaction } from '../../src/protocol/transaction.ts';
import { Cluster } from './cluster.ts';
import { EtcdCluster } from './etcd.ts';
import { eventually } from './eventually.ts';
import type { Program } from './program.ts';
import { newRequestId, PASSWORD, WireClient } from './tracker.ts';

const PREFIX = 'run';
const TURN_MS = 20;

export interface EtcdReport {
  readonly leaderKills: number;
  readonly acknowledged: number;
  /** Acknowledged and not in the log. */
  readonly lost: number;
  /** Requests that stand in the log twice. */
  readonly doubled: number;
  /** Positions up to the head at which there is no entry. */
  readonly gaps: number;
  /** Times a client was told that there is no majority. */
  readonly refused: number;
  /** Of a request that was repeated until it was acknowledged. */
  readonly slowestMs: number;
  /** What both trackers have in memory, and what the log in etcd adds up to. */
  readonly digests: readonly string[];
}

export interface EtcdRunOptions {
  readonly clients: number;
  /** Awaited between one kill and the next; false ends the run. `acknowledged` counts up to now. */
  next(kills: number, acknowledged: () => number): Promise<boolean>;
}

/** Throws when a client is refused what it should have had, or a tracker ends. */
export async function etcdRun(options: EtcdRunOptions): Promise<EtcdReport> {
  const etcd = await EtcdCluster.of(3);
  const cluster = await Cluster.of(2);
  try {
    return await new EtcdRun(etcd, cluster, options).run();
  } finally {
    await cluster.dispose();
    await etcd.dispose();
  }
}

class EtcdRun {
  readonly cluster: Cluster;
  readonly #etcd: EtcdCluster;
  readonly #options: EtcdRunOptions;
  readonly #people: readonly Person[];
  isOver = false;

  constructor(etcd: EtcdCluster, cluster: Cluster, options: EtcdRunOptions) {
    this.#etcd = etcd;
    this.cluster = cluster;
    this.#options = options;
    this.#people = Array.from({ length: options.clients }, (_, at) => new Person(`user${at}`, this));
  }

  async run(): Promise<EtcdReport> {
    const url = this.#etcd.url(PREFIX);
    const trackers = [await this.cluster.start(0, '--log', url), await this.cluster.start(1, '--log', url)];
    const lives = Promise.all(this.#people.map((person) => person.live()));
    const died = Promise.race(trackers.map(({ ended }) => ended)).then(({ stdout, stderr }) => {
      throw new Error(`a tracker ended:\n${stdout}${stderr}`);
    });
    // A life ends early only when it fails.
    const leaderKills = await Promise.race([this.#killLeaders(), died, lives.then(() => 0)]);
    this.isOver = true;
    await Promise.race([lives, died]);
    for (const person of this.#people) person.close();
    // A tracker that nobody asks hears of the others' entries a moment later; who looks sees all of them.
    for (const address of this.cluster.addresses) await this.#people[0]?.look(address);
    died.catch(() => {});
    return { leaderKills, ...(await this.#judge(trackers)) };
  }

  async #killLeaders(): Promise<number> {
    const acknowledged = () => this.#people.reduce((sum, person) => sum + person.acknowledged.size, 0);
    for (let kills = 0; ; ) {
      if (!(await this.#options.next(kills, acknowledged))) return kills;
      let leader: number | undefined;
      await eventually(async () => {
        leader = await this.#etcd.leader();
        return leader !== undefined;
      });
      await this.#etcd.kill(leader ?? 0);
      this.#etcd.start(leader ?? 0);
      kills += 1;
    }
  }

  async #judge(trackers: readonly Program[]): Promise<Omit<EtcdReport, 'leaderKills'>> {
    const acknowledged = this.#people.flatMap((person) => [...person.acknowledged]);
    const { transactions, digest, head } = await this.#logInEtcd();
    const times = new Map<RequestId, number>();
    for (const { requestId } of transactions) times.set(requestId, (times.get(requestId) ?? 0) + 1);
    const digests = await Promise.all(trackers.map(digestOf));
    return {
      acknowledged: acknowledged.length,
      lost: acknowledged.filter((id) => !times.has(id)).length,
      doubled: [...times.values()].filter((count) => count > 1).length,
      gaps: head - (await this.#etcd.count(`${PREFIX}/1/log/`)),
      refused: this.#people.reduce((sum, person) => sum + person.refused, 0),
      slowestMs: Math.round(Math.max(...this.#people.map((person) => person.slowestMs))),
      digests: [...digests, digest],
    };
  }

  /** As somebody reads it who was not there. */
  async #logInEtcd(): Promise<{ transactions: readonly Transaction[]; digest: string; head: number }> {
    const log = await openEtcd(parseEtcdUrl(this.#etcd.url(PREFIX)));
    const registry = new Registry();
    const transactions: Transaction[] = [];
    let head = 0;
    do {
      const tail = await log.read(transactions.length);
      head = tail.head.position;
      if (tail.entries.length === 0) break;
      for (const signed of tail.entries) {
        const { transaction } = readEntry(signed);
        registry.execute(transaction);
        transactions.push(transaction);
      }
    } while (transactions.length < head);
    await log.close();
    return { transactions, head, digest: toHex(registryDigest(registry)) };
  }
}

/** What a tracker prints as the digest of its registry, after it has compared its log with etcd's. */
async function digestOf(tracker: Program): Promise<string> {
  tracker.type('verify_log');
  await tracker.printed(' entries');
  if (!tracker.stdout.includes('entries verified: all hold')) throw new Error(tracker.stdout);
  tracker.type('status');
  await tracker.printed('digest: ');
  return /digest: ([0-9a-f]{64})/.exec(tracker.stdout)?.[1] ?? '';
}

/** One person at a client: never gives up on a request, never asks for the same twice under another id. */
class Person {
  readonly acknowledged = new Set<RequestId>();
  refused = 0;
  slowestMs = 0;
  readonly #name: string;
  readonly #run: EtcdRun;
  readonly #identity: Promise<Identity> = newIdentity();
  #client: WireClient | undefined;
  #token: Signed | undefined;

  constructor(name: string, run: EtcdRun) {
    this.#name = name;
    this.#run = run;
  }

  async live(): Promise<void> {
    await this.#do('create_user', { user: this.#name, password: PASSWORD });
    this.#token = (await this.#do('login', { user: this.#name, password: PASSWORD })).token;
    for (let round = 0; !this.#run.isOver; round += 1) {
      const group = `${this.#name}-${round}`;
      await this.#do('create_group', { group });
      for (const name of ['a', 'b']) {
        await this.#do('add_file', { group, name, sizeBytes: 9, pieceSizeBytes: 16_384, root: '0'.repeat(64) as Root });
      }
      await this.#do('leave_group', { group });
      // Another tracker knows all of it at once.
      if (round % 4 === 3) this.#client?.close();
    }
  }

  close(): void {
    this.#client?.close();
  }

  /** A look-up at one tracker. */
  async look(address: Address): Promise<void> {
    const client = await WireClient.connect(address, await this.#identity);
    if (this.#token) await client.call('resume', { token: this.#token });
    await client.call('list_groups', {});
    client.close();
  }

  async #do<M extends Method>(method: M, fields: Omit<Params<M>, 'requestId'>): Promise<Result<M>> {
    const requestId = newRequestId();
    const startedMs = performance.now();
    const params = { ...fields, requestId } as Params<M>;
    for (;;) {
      try {
        const client = await this.#connected();
        const answer = await client.call(method, params);
        this.acknowledged.add(requestId);
        this.slowestMs = Math.max(this.slowestMs, performance.now() - startedMs);
        return answer;
      } catch (error) {
        if (error instanceof ConnectionLost) continue;
        if (!(error instanceof RequestError) || error.code !== 'log-unreachable') {
          throw new Error(`${this.#name}: ${method}`, { cause: error });
        }
        this.refused += 1;
      }
    }
  }

  async #connected(): Promise<WireClient> {
    for (let at = Math.random() < 0.5 ? 0 : 1; ; at = 1 - at) {
      if (this.#client && !this.#client.connection.isClosed) return this.#client;
      const address = this.#run.cluster.addresses[at];
      if (!address) throw new Error('no such tracker');
      try {
        const client = await WireClient.connect(address, await this.#identity);
        if (this.#token) await client.call('resume', { token: this.#token });
        this.#client = client;
        return client;
      } catch (error) {
        if (error instanceof RequestError && error.code !== 'log-unreachable') throw error;
        await delay(TURN_MS);
      }
    }
  }
}
