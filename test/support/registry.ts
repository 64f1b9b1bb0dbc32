/** Transactions without a log, and readable ids, for tests of what transactions add up to. */
import type { Asker } from '../../src/main/tracker/asker.ts';
import { type Outcome, Registry } from '../../src/main/tracker/registry.ts';
import { type FreshIds, judge, type PlainChange } from '../../src/main/tracker/requests.ts';
import type {
  DeviceId,
  FileId,
  GroupId,
  RequestId,
  Root,
  SessionId,
  TrackerId,
  UserId,
} from '../../src/protocol/ids.ts';
import type { Operation, Transaction } from '../../src/protocol/transaction.ts';

/** A random-looking id that is the same for the same number. */
const hex = (number: number, digits: number) => number.toString(16).padStart(digits, '0');
export const userId = (number: number) => hex(number, 32) as UserId;
export const groupId = (number: number) => hex(number, 32) as GroupId;
export const fileId = (number: number) => hex(number, 32) as FileId;
export const sessionId = (number: number) => hex(number, 32) as SessionId;
export const requestId = (number: number) => hex(number, 32) as RequestId;
export const deviceId = (number: number) => hex(number, 64) as DeviceId;
export const root = (number: number) => hex(number, 64) as Root;

export function transactionOf(op: Operation, seq: number): Transaction {
  return {
    version: 1,
    origin: hex(1, 64) as TrackerId,
    epoch: 1,
    seq,
    hlc: { ms: seq, counter: 0 },
    versionVector: {},
    requestId: requestId(seq),
    actor: { device: deviceId(1) },
    op,
  };
}

/** A registry with people who ask things of it, by name. Times do not pass. */
export class Town {
  readonly registry = new Registry();
  readonly transactions: Transaction[] = [];
  #lastId = 0;
  readonly #ids: FreshIds = {
    group: () => groupId(this.#nextId()),
    file: () => fileId(this.#nextId()),
  };

  execute(op: Operation): Outcome | undefined {
    const transaction = transactionOf(op, this.transactions.length + 1);
    this.transactions.push(transaction);
    return this.registry.execute(transaction);
  }

  /** New users, each logged in on a device of their own. */
  users(...names: string[]): Asker[] {
    return names.map((name) => {
      const number = this.#nextId();
      const asker = { device: deviceId(number), session: sessionId(number) };
      this.execute({ type: 'user-created', user: userId(number), name, passwordHash: '' });
      this.execute({ type: 'session-opened', ...asker, user: userId(number), expiresMs: 1000 });
      return asker;
    });
  }

  /** Judges a request and executes it. Throws its refusal. */
  ask(asker: Asker, change: WithoutRequestId<PlainChange>): Outcome | undefined {
    const full = { ...change, params: { ...change.params, requestId: requestId(0) } } as PlainChange;
    const verdict = judge(full, asker, this.registry, 0, this.#ids);
    return 'op' in verdict ? this.execute(verdict.op) : undefined;
  }

  /** A group of the first with the others as members, in this order. */
  group(name: string, owner: Asker, ...others: readonly [string, Asker][]): void {
    this.ask(owner, { method: 'create_group', params: { group: name } });
    for (const [user, asker] of others) {
      this.ask(asker, { method: 'join_group', params: { group: name } });
      this.ask(owner, { method: 'accept_request', params: { group: name, user } });
    }
  }

  members(group: string): string[] {
    return [...(this.registry.groupNamed(group)?.members ?? [])].map((user) => this.registry.userName(user));
  }

  owner(group: string): string | undefined {
    const owner = this.registry.groupNamed(group)?.owner;
    return owner && this.registry.userName(owner);
  }

  #nextId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }
}

type WithoutRequestId<C> = C extends { method: infer M; params: infer P }
  ? { method: M; params: Omit<P, 'requestId'> }
  : never;
