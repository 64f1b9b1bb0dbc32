/**
 * Trackers in this process and clients of them over real TLS, for tests. A client here is the bare wire: calls go out,
 * answers come back, pushes are kept until somebody waits for them. What a bench started, its dispose() ends.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Calls } from '../../src/main/net/calls.ts';
import type { Connection } from '../../src/main/net/connection.ts';
import { type Identity, newIdentity } from '../../src/main/net/identity.ts';
import { dial } from '../../src/main/net/tls.ts';
import { newId } from '../../src/main/support/clock.ts';
import { Tracker, type TrackerOptions } from '../../src/main/tracker/node.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import type { RequestId } from '../../src/protocol/ids.ts';
import type { Method, Params, Push, Result } from '../../src/protocol/messages.ts';
import type { Signed } from '../../src/protocol/signed.ts';
import type { Address } from '../../src/protocol/tracker-info.ts';

export const PASSWORD = 'correct horse';

/** Params of a method, with or without the request id. */
type Given<M extends Method> = Omit<Params<M>, 'requestId'> & { readonly requestId?: RequestId };

export const newRequestId = () => newId<RequestId>();

export class WireClient {
  readonly identity: Identity;
  readonly connection: Connection;
  readonly #calls: Calls;
  readonly #pushes: Push[];
  readonly #waiting: (() => void)[];
  /** Resolves, with why, when the connection has ended. */
  readonly closed: Promise<Error | undefined>;

  private constructor(parts: {
    identity: Identity;
    connection: Connection;
    calls: Calls;
    pushes: Push[];
    waiting: (() => void)[];
    closed: Promise<Error | undefined>;
  }) {
    this.identity = parts.identity;
    this.connection = parts.connection;
    this.#calls = parts.calls;
    this.#pushes = parts.pushes;
    this.#waiting = parts.waiting;
    this.closed = parts.closed;
  }

  static async connect(address: Address, identity?: Identity): Promise<WireClient> {
    const own = identity ?? (await newIdentity());
    const pushes: Push[] = [];
    const waiting: (() => void)[] = [];
    const end = Promise.withResolvers<Error | undefined>();
    let calls: Calls | undefined;
    const connection = await dial({
      address,
      identity: own,
      protocol: 'p2pfs-tracker/1',
      trusts: () => true,
      timeoutMs: 10_000,
      handler: {
        frame: (frame) => calls?.frame(frame),
        closed: (error) => {
          calls?.end();
          end.resolve(error);
        },
      },
    });
    calls = new Calls(connection, (push) => {
      pushes.push(push);
      for (const wake of waiting.splice(0)) wake();
    });
    return new WireClient({ identity: own, connection, calls, pushes, waiting, closed: end.promise });
  }

  call<M extends Method>(method: M, params: Given<M>): Promise<Result<M>> {
    return this.#calls.call(method, { requestId: newRequestId(), ...params } as Params<M>);
  }

  /** The refusal that a call ends with; fails the test when it succeeds. */
  async refusal<M extends Method>(method: M, params: Given<M>): Promise<RequestError> {
    const outcome = await this.call(method, params).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (outcome instanceof RequestError) return outcome;
    throw new Error(`${method} was not refused: ${String(outcome)}`);
  }

  /** Takes the next push of a type, waiting for it; those before it of other types stay. */
  async push<T extends Push['type']>(type: T): Promise<Extract<Push, { type: T }>> {
    for (;;) {
      const at = this.#pushes.findIndex((push) => push.type === type);
      const [push] = at < 0 ? [] : this.#pushes.splice(at, 1);
      if (push) return push as Extract<Push, { type: T }>;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** Types of the pushes that came and that nobody took, once the tracker has answered all that was asked before. */
  async pushesSoFar(): Promise<readonly Push['type'][]> {
    await this.call('list_groups', {}).catch((error: unknown) => {
      if (!(error instanceof RequestError)) throw error;
    });
    return this.#pushes.map((push) => push.type);
  }

  /** A new user of this name, logged in; gives the session token. */
  async signUp(user: string): Promise<Signed> {
    await this.call('create_user', { user, password: PASSWORD });
    return (await this.call('login', { user, password: PASSWORD })).token;
  }

  close(): void {
    this.connection.close();
  }
}

/** A tracker in a directory of its own, and what connects to it; `dispose` removes all of it. */
export class TrackerBench {
  readonly dataDir = mkdtempSync(join(tmpdir(), 'p2pfs-tracker-'));
  readonly #options: Partial<TrackerOptions>;
  readonly #clients: WireClient[] = [];
  #tracker: Tracker | undefined;

  constructor(options: Partial<TrackerOptions> = {}) {
    this.#options = { accountLimits: { perAddressMax: 10_000, perAccountMax: 10_000, windowMs: 60_000 }, ...options };
  }

  get tracker(): Tracker {
    if (!this.#tracker) throw new Error('the tracker is not running');
    return this.#tracker;
  }

  async start(): Promise<Tracker> {
    this.#tracker = await Tracker.start({
      address: { host: '127.0.0.1', port: 0 },
      dataDir: this.dataDir,
      ...this.#options,
    });
    return this.#tracker;
  }

  async restart(): Promise<Tracker> {
    await this.tracker.close();
    return this.start();
  }

  async client(identity?: Identity): Promise<WireClient> {
    const client = await WireClient.connect(this.tracker.address, identity);
    this.#clients.push(client);
    return client;
  }

  /** A client of its own device, logged in as a new user of this name. */
  async user(name: string): Promise<WireClient> {
    const client = await this.client();
    await client.signUp(name);
    return client;
  }

  /** Makes a group whose owner is the first, and the others its members, in this order. */
  async group(group: string, owner: WireClient, members: Readonly<Record<string, WireClient>> = {}): Promise<string> {
    const created = await owner.call('create_group', { group });
    for (const [user, client] of Object.entries(members)) {
      await client.call('join_group', { group });
      await owner.call('accept_request', { group, user });
      await client.push('join-accepted');
    }
    return created.group;
  }

  async dispose(): Promise<void> {
    for (const client of this.#clients) client.close();
    await this.#tracker?.close();
    rmSync(this.dataDir, { recursive: true, force: true });
  }
}
