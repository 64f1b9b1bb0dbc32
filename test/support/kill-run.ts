/**
 * Two trackers as processes that are killed (SIGKILL) in turn, never both down at once, under clients that go on with
 * the other one and repeat what was cut off under the same request id. What was acknowledged is kept beside: it is the
 * oracle. Used by the tests with a few kills and by the soak with many.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { ConnectionLost } from '../../src/main/net/calls.ts';
import { type Identity, newIdentity } from '../../src/main/net/identity.ts';
import { SqliteLogStore } from '../../src/main/tracker/log-store.ts';
import { Registry } from '../../src/main/tracker/registry.ts';
import { registryDigest } from '../../src/main/tracker/registry-digest.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import { type RequestId, type Root, toHex } from '../../src/protocol/ids.ts';
import type { Method, Params, Result } from '../../src/protocol/messages.ts';
import type { Signed } from '../../src/protocol/signed.ts';
import { readEntry } from '../../src/protocol/transaction.ts';
import { Cluster } from './cluster.ts';
import type { Program } from './program.ts';
import { newRequestId, PASSWORD, WireClient } from './tracker.ts';

const KILL_AFTER_MS_MIN = 20;
const KILL_AFTER_MS_MAX = 500;
const TURN_MS = 20;
/** All clients together: a restart reads the whole log, so a log that grows as fast as it can would slow the kills. */
const REQUESTS_A_SECOND = 80;

export interface KillReport {
  readonly kills: number;
  readonly acknowledged: number;
  /** Acknowledged and not in the logs. */
  readonly lost: number;
  /** Requests that changed something twice. */
  readonly doubled: number;
  /** Answers that said that both trackers held the change. */
  readonly heldByBoth: number;
  /** From the last answer until both trackers said the same of what they hold. */
  readonly healedMs: number;
  /** Of what both trackers hold, as they say, and of what their logs add up to when they are read again. */
  readonly digests: readonly string[];
}

/** Throws when a client is refused what it should have had. */
export async function killRun(options: { clients: number; kills: number }): Promise<KillReport> {
  const cluster = await Cluster.of(2);
  try {
    const run = new KillRun(cluster, options.kills);
    return await run.run(options.clients);
  } finally {
    await cluster.dispose();
  }
}

class KillRun {
  readonly cluster: Cluster;
  readonly #kills: number;
  isOver = false;

  constructor(cluster: Cluster, kills: number) {
    this.cluster = cluster;
    this.#kills = kills;
  }

  async run(clients: number): Promise<KillReport> {
    const processes = [await this.cluster.start(0), await this.cluster.start(1)];
    const pauseMs = (clients * 1000) / REQUESTS_A_SECOND;
    const people = Array.from({ length: clients }, (_, at) => new Person(`user${at}`, this, pauseMs));
    const lives = Promise.all(people.map((person) => person.live()));
    await Promise.race([lives, this.#killInTurn(processes)]);
    this.isOver = true;
    await lives;
    for (const person of people) person.close();
    const { healedMs, said } = await healed(processes);
    for (const running of processes) running.kill('SIGTERM');
    await Promise.all(processes.map((running) => running.ended));
    const judged = this.#judge(people);
    return { ...judged, kills: this.#kills, healedMs, digests: [...said, ...judged.digests] };
  }

  async #killInTurn(processes: Program[]): Promise<void> {
    for (let kill = 0; kill < this.#kills; kill += 1) {
      await delay(KILL_AFTER_MS_MIN + Math.random() * (KILL_AFTER_MS_MAX - KILL_AFTER_MS_MIN));
      const at = Math.random() < 0.5 ? 0 : 1;
      processes[at]?.kill('SIGKILL');
      await processes[at]?.ended;
      processes[at] = await this.cluster.start(at);
    }
  }

  #judge(people: readonly Person[]): Omit<KillReport, 'kills' | 'healedMs'> {
    const logs = [0, 1].map((at) => replayed(this.cluster.dataDir(at)));
    const acknowledged = people.flatMap((person) => [...person.acknowledged.keys()]);
    const lost = acknowledged.filter((id) => logs.some(({ effects }) => !effects.has(id)));
    const doubled = logs.flatMap(({ effects }) => [...effects.values()]).filter((times) => times > 1);
    return {
      acknowledged: acknowledged.length,
      lost: lost.length,
      doubled: doubled.length,
      heldByBoth: people.flatMap((person) => [...person.acknowledged.values()]).filter((held) => held > 1).length,
      digests: logs.map(({ digest }) => digest),
    };
  }
}

/** What a log adds up to, and how often each request changed something. */
function replayed(directory: string): { effects: Map<RequestId, number>; digest: string } {
  const store = new SqliteLogStore(directory);
  const registry = new Registry();
  const effects = new Map<RequestId, number>();
  for (const { signed } of store.entries()) {
    const { transaction } = readEntry(signed);
    const times = effects.get(transaction.requestId) ?? 0;
    if (registry.execute(transaction)) effects.set(transaction.requestId, times + 1);
  }
  void store.close();
  return { effects, digest: toHex(registryDigest(registry)) };
}

/** Waits until trackers say the same of themselves: what they hold of each log, and the digest of it. */
async function healed(trackers: readonly Program[]): Promise<{ healedMs: number; said: readonly string[] }> {
  const startedMs = performance.now();
  for (;;) {
    const all = await Promise.all(trackers.map(standing));
    if (new Set(all.map(({ held }) => held)).size === 1) {
      return { healedMs: Math.round(performance.now() - startedMs), said: all.map(({ digest }) => digest) };
    }
    await delay(TURN_MS);
  }
}

/** What a tracker says when it is asked for its status. */
async function standing(tracker: Program): Promise<{ held: string; digest: string }> {
  const from = tracker.stdout.length;
  tracker.type('status');
  await tracker.printed('\ntrackers:', from);
  const text = tracker.stdout.slice(from);
  const held = [...text.matchAll(/^ {2}([0-9a-f]{16} {2}\d+) entries/gm)].map(([, log]) => log).sort();
  return { held: held.join(), digest: /^digest: (\S+)/m.exec(text)?.[1] ?? 'none' };
}

/** One person at a client: never gives up on a request, never asks for the same twice under another id. */
class Person {
  /** By request, how many trackers held it when it was acknowledged. */
  readonly acknowledged = new Map<RequestId, number>();
  readonly #name: string;
  readonly #pauseMs: number;
  readonly #run: KillRun;
  readonly #identity: Promise<Identity> = newIdentity();
  #client: WireClient | undefined;
  #token: Signed | undefined;

  constructor(name: string, run: KillRun, pauseMs: number) {
    this.#name = name;
    this.#pauseMs = pauseMs;
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
    }
  }

  close(): void {
    this.#client?.close();
  }

  /** Does a request, over as many connections and trackers as it takes. */
  async #do<M extends Method>(
    method: M,
    fields: Omit<Params<M>, 'requestId'>,
  ): Promise<Result<M> & { trackers: number }> {
    await delay(this.#pauseMs * Math.random() * 2);
    const requestId = newRequestId();
    const params = { ...fields, requestId } as Params<M> & { requestId: RequestId };
    for (;;) {
      try {
        const client = await this.#connected();
        const answer = (await client.call(method, params)) as Result<M> & { trackers: number };
        this.acknowledged.set(requestId, answer.trackers);
        return answer;
      } catch (error) {
        if (error instanceof ConnectionLost) continue;
        if (!(error instanceof RequestError) || !isPassing(error)) {
          throw new Error(`${this.#name}: ${method}`, { cause: error });
        }
        // This tracker has not heard yet of what the other one answered: its time comes.
        this.#client?.close();
        await delay(TURN_MS);
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
        if (error instanceof RequestError && !isPassing(error)) throw error;
        await delay(TURN_MS);
      }
    }
  }
}

/** What a tracker says that has not caught up with the other. */
const isPassing = ({ code }: RequestError) =>
  code === 'tracker-behind' || code === 'no-such-group' || code === 'tracker-unreachable' || code === 'wrong-password';
