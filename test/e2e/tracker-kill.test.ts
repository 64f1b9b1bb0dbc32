/**
 * Nothing acknowledged is lost: a real tracker is killed (SIGKILL) 50 times, at random counts of requests sent or
 * acknowledged, under 8 clients that issue commands and repeat what was cut off under the same request id. Every name
 * is used once, so that a request that was done twice would be refused, and any refusal fails the test.
 */
import { afterEach, expect, test } from 'vitest';
import { ConnectionLost } from '../../src/main/net/calls.ts';
import { loadIdentity, newIdentity } from '../../src/main/net/identity.ts';
import { systemClock } from '../../src/main/support/clock.ts';
import { Journal } from '../../src/main/tracker/journal.ts';
import { SqliteLogStore } from '../../src/main/tracker/log-store.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import type { RequestId, Root } from '../../src/protocol/ids.ts';
import type { Method, Params, Result } from '../../src/protocol/messages.ts';
import type { Signed } from '../../src/protocol/signed.ts';
import type { Program } from '../support/program.ts';
import { newRequestId, PASSWORD, WireClient } from '../support/tracker.ts';
import { TrackerHome } from '../support/tracker-process.ts';

const CLIENTS = 8;
const KILLS = 50;
/** Events (requests sent, answers received) between a start and its kill. */
const EVENTS_MAX = 150;

let home: TrackerHome | undefined;
afterEach(() => home?.dispose());

/** Keeps a tracker running until it is told to kill it, and says when there is one. */
class Supervisor {
  up: Promise<Program>;
  kills = 0;
  readonly #home: TrackerHome;
  #eventsLeft = 0;

  constructor(home: TrackerHome) {
    this.#home = home;
    this.up = this.#start();
  }

  /** Something happened; when enough did, the tracker dies. */
  event(): void {
    this.#eventsLeft -= 1;
    if (this.#eventsLeft !== 0 || this.kills === KILLS) return;
    this.kills += 1;
    this.up = this.up.then(async (run) => {
      run.kill('SIGKILL');
      await run.ended;
      return this.#start();
    });
  }

  async #start(): Promise<Program> {
    const run = await this.#home.start();
    this.#eventsLeft = 1 + Math.floor(Math.random() * EVENTS_MAX);
    return run;
  }
}

interface Acknowledged {
  readonly method: Method;
  readonly params: Params<Method>;
  readonly answer: unknown;
}

/** One person at a client: never gives up on a request, never asks for the same twice under another id. */
class Person {
  readonly name: string;
  readonly acknowledged = new Map<RequestId, Acknowledged>();
  readonly #home: TrackerHome;
  readonly #supervisor: Supervisor;
  readonly #identity = newIdentity();
  #client: WireClient | undefined;
  #token: Signed | undefined;

  constructor(name: string, home: TrackerHome, supervisor: Supervisor) {
    this.name = name;
    this.#home = home;
    this.#supervisor = supervisor;
  }

  async live(): Promise<void> {
    await this.do('create_user', { user: this.name, password: PASSWORD });
    this.#token = (await this.do('login', { user: this.name, password: PASSWORD })).token;
    for (let round = 0; this.#supervisor.kills < KILLS; round += 1) {
      const group = `${this.name}-${round}`;
      await this.do('create_group', { group });
      // Several in flight at once, so that a kill meets some before, some in, and some after their commit.
      await Promise.all(
        ['a', 'b', 'c', 'd'].map((name) =>
          this.do('add_file', { group, name, sizeBytes: 9, pieceSizeBytes: 16_384, root: '0'.repeat(64) as Root }),
        ),
      );
      await this.do('leave_group', { group });
    }
  }

  /** Does a request, over as many connections as it takes. */
  async do<M extends Method>(method: M, fields: Omit<Params<M>, 'requestId'>): Promise<Result<M>> {
    const requestId = newRequestId();
    const params = { ...fields, requestId } as Params<M> & { requestId: RequestId };
    const answer = await this.ask(method, params);
    this.acknowledged.set(requestId, { method, params, answer });
    return answer;
  }

  async ask<M extends Method>(method: M, params: Params<M>): Promise<Result<M>> {
    for (;;) {
      try {
        const client = await this.#connected();
        this.#supervisor.event();
        const answer = await client.call(method, params);
        this.#supervisor.event();
        return answer;
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw new Error(`${this.name}: ${method}`, { cause: error });
      }
    }
  }

  close(): void {
    this.#client?.close();
  }

  #connecting: Promise<WireClient> | undefined;

  async #connected(): Promise<WireClient> {
    if (this.#client && !this.#client.connection.isClosed) return this.#client;
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined;
    });
    return this.#connecting;
  }

  async #connect(): Promise<WireClient> {
    for (;;) {
      await this.#supervisor.up;
      try {
        const client = await WireClient.connect(this.#home.address, await this.#identity);
        if (this.#token) await client.call('resume', { token: this.#token });
        this.#client = client;
        return client;
      } catch (error) {
        // Killed meanwhile: the next one is on its way. A refusal, though, is none of the kill's doing.
        if (error instanceof RequestError) throw error;
      }
    }
  }
}

test(`every acknowledged request outlives ${KILLS} kills, exactly once`, { timeout: 240_000 }, async () => {
  home = await TrackerHome.create();
  const supervisor = new Supervisor(home);
  const ours = home;
  const people = Array.from({ length: CLIENTS }, (_, at) => new Person(`user${at}`, ours, supervisor));
  await Promise.all(people.map((person) => person.live()));

  // Repeated now, each request has the answer that it had: none is done again.
  for (const person of people) {
    for (const { method, params, answer } of [...person.acknowledged.values()].slice(-20)) {
      expect(await person.ask(method, params)).toEqual(answer);
    }
    person.close();
  }
  const last = await supervisor.up;
  last.kill('SIGTERM');
  expect(await last.ended).toMatchObject({ exitCode: 0, stderr: '' });

  const store = new SqliteLogStore(home.dataDir);
  const written: string[] = [];
  for (const { requestId } of store.entries()) written.push(requestId);
  const journal = await Journal.open(store, await loadIdentity(home.dataDir), systemClock);
  expect(journal.entryCount).toBe(written.length);
  await journal.close();
  const acknowledged = people.flatMap((person) => [...person.acknowledged.keys()]);
  // Everybody repeated until there was an answer, so the log holds what was acknowledged and nothing else.
  expect(written.toSorted()).toEqual(acknowledged.toSorted());
  expect(supervisor.kills).toBe(KILLS);
  console.log(`${KILLS} kills, ${acknowledged.length} acknowledged requests, each in the log once`);
});
