/**
 * Owns the work on passwords: argon2id, at most two at once, behind a queue of bounded length. Guessing is slowed by
 * limits per address (every attempt) and per account (those that fail). A user who does not exist costs the same time
 * and gives the same answer as a wrong password, so that nobody learns here who has an account.
 * Never stores anything: hashes go into the log, counts are forgotten with the process.
 */
import { hash, verify } from '@node-rs/argon2';
import { RequestError } from '../../protocol/errors.ts';
import type { Clock } from '../support/clock.ts';
import { Attempts, addressKey } from './attempts.ts';
import type { User } from './registry.ts';

const HASHES_AT_ONCE = 2;
/** At some 30 ms each, the last in the queue waits two seconds. */
const QUEUE_MAX = 128;
/** OWASP's first recommendation for argon2id: 19 MiB, 2 passes, 1 lane. */
const ARGON2 = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;

export interface AccountLimits {
  /** Passwords checked or set from one address in a window. */
  readonly perAddressMax: number;
  /** Wrong passwords for one account in a window. */
  readonly perAccountMax: number;
  readonly windowMs: number;
}
export const ACCOUNT_LIMITS: AccountLimits = { perAddressMax: 120, perAccountMax: 10, windowMs: 60_000 };

export class Accounts {
  readonly #clock: Clock;
  readonly #perAddress: Attempts;
  readonly #perAccount: Attempts;
  /** Verified against when there is no such user. */
  readonly #decoyHash: string;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  private constructor(clock: Clock, limits: AccountLimits, decoyHash: string) {
    this.#clock = clock;
    this.#perAddress = new Attempts({ max: limits.perAddressMax, windowMs: limits.windowMs });
    this.#perAccount = new Attempts({ max: limits.perAccountMax, windowMs: limits.windowMs });
    this.#decoyHash = decoyHash;
  }

  static async create(clock: Clock, limits: AccountLimits): Promise<Accounts> {
    return new Accounts(clock, limits, await hash('nobody has this password', ARGON2));
  }

  /** The hash that the log keeps. Throws RequestError('busy' | 'too-many-attempts'). */
  async hash(password: string, remoteAddress: string): Promise<string> {
    this.#countAddress(remoteAddress);
    return this.#inTurn(() => hash(comparable(password), ARGON2));
  }

  /**
   * Checks a password; `user` is undefined when nobody has that name. Returns the user, or throws
   * RequestError('wrong-password' | 'busy' | 'too-many-attempts').
   */
  async check(name: string, user: User | undefined, password: string, remoteAddress: string): Promise<User> {
    const nowMs = this.#clock.nowMs();
    refuseFor(this.#perAccount.waitMs(name, nowMs), 'too many wrong passwords for this user');
    this.#countAddress(remoteAddress);
    // Counted before the answer is known, so that guesses sent at once count too.
    this.#perAccount.count(name, nowMs);
    const right = await this.#inTurn(() => verify(user?.passwordHash ?? this.#decoyHash, comparable(password)));
    if (!user || !right) {
      throw new RequestError('wrong-password', 'unknown user or wrong password', 'create_user makes a new user');
    }
    this.#perAccount.refund(name, this.#clock.nowMs());
    return user;
  }

  #countAddress(remoteAddress: string): void {
    const key = addressKey(remoteAddress);
    const nowMs = this.#clock.nowMs();
    refuseFor(this.#perAddress.waitMs(key, nowMs), 'too many passwords from this address');
    this.#perAddress.count(key, nowMs);
  }

  async #inTurn<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running >= HASHES_AT_ONCE) {
      if (this.#waiting.length >= QUEUE_MAX) {
        throw new RequestError('busy', 'the tracker is checking many passwords just now', 'try again in a few seconds');
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else {
      this.#running += 1;
    }
    try {
      return await task();
    } finally {
      // The place goes to the next in the queue, or back.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }
}

/** The same password typed on another system may come in other code points (RFC 8265, 4.2). */
const comparable = (password: string) => password.normalize('NFC');

function refuseFor(waitMs: number, why: string): void {
  if (waitMs <= 0) return;
  const seconds = Math.ceil(waitMs / 1000);
  const wait = seconds === 1 ? '1 second' : `${seconds} seconds`;
  throw new RequestError('too-many-attempts', why, `try again in ${wait}`);
}
