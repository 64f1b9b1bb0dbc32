/**
 * Answers every request: judges it (requests.ts, listings.ts), writes what changes state to the journal, and tells
 * those whom it concerns. It owns the requests that are being worked on, so that one that is repeated meanwhile is not
 * done twice. Answers and pushes may be made before the disk has what they depend on; the seats hold them back.
 */
import { RequestError } from '../../protocol/errors.ts';
import type { RequestId } from '../../protocol/ids.ts';
import { SESSION_LIFETIME_MS, TICKET_LIFETIME_MS } from '../../protocol/limits.ts';
import type { Call, Method, Params, Result } from '../../protocol/messages.ts';
import { issueSessionToken, issueTicket, openSessionToken } from '../../protocol/ticket.ts';
import { formatAddress, parseAddress } from '../../protocol/tracker-info.ts';
import type { Operation, Transaction } from '../../protocol/transaction.ts';
import type { Identity } from '../net/identity.ts';
import { type Clock, newId, random } from '../support/clock.ts';
import type { Accounts } from './accounts.ts';
import { groupWithId, loggedIn, requireMember } from './asker.ts';
import type { Journal } from './journal.ts';
import { findFile, listFiles, listGroups, listMembers, listRequests } from './listings.ts';
import { departureOf, noticesOf } from './notices.ts';
import { Online } from './online.ts';
import { Presence } from './presence.ts';
import type { Outcome, User } from './registry.ts';
import {
  answerTo,
  type Change,
  type ChangeAnswer,
  checkLogin,
  checkNewUser,
  checkRepeat,
  isChange,
  judge,
  type Verdict,
} from './requests.ts';
import type { Seat } from './seat.ts';
import { shown } from './wording.ts';

/** Trackers that hold a transaction when it is acknowledged: this one. */
const TRACKERS = 1;

type Done = { readonly transaction: Transaction } | { readonly answer: ChangeAnswer };

interface Running {
  readonly seat: Seat;
  readonly method: Method;
  readonly done: Promise<Done>;
}

const FRESH_IDS = { group: newId, file: newId } as const;

export class Service {
  readonly #journal: Journal;
  readonly #accounts: Accounts;
  readonly #identity: Identity;
  readonly #clock: Clock;
  readonly #online = new Online<Seat>();
  readonly #presence = new Presence(random);
  /** Until they are safe in the log, where a repeat finds them. */
  readonly #running = new Map<RequestId, Running>();

  constructor(options: { journal: Journal; accounts: Accounts; identity: Identity; clock: Clock }) {
    this.#journal = options.journal;
    this.#accounts = options.accounts;
    this.#identity = options.identity;
    this.#clock = options.clock;
  }

  answer(seat: Seat, call: Call): Promise<unknown> {
    return isChange(call) ? this.#change(seat, call) : this.#look(seat, call);
  }

  /** A connection has ended. */
  left(seat: Seat): void {
    this.#online.leave(seat);
    this.#presence.leave(seat);
  }

  /** Called now and then: logs out sessions whose time is over. */
  endExpiredSessions(): void {
    const nowMs = this.#clock.nowMs();
    for (const id of this.#online.sessions()) {
      const session = this.#journal.registry.session(id);
      if (session && session.expiresMs > nowMs) continue;
      for (const seat of this.#online.in(id)) this.#logOut(seat);
    }
  }

  async #look(seat: Seat, call: Exclude<Call, Change>): Promise<unknown> {
    if (call.method === 'resume') return this.#resumeSession(seat, call.params);
    const { registry } = this.#journal;
    const user = loggedIn(seat, registry, this.#clock.nowMs());
    switch (call.method) {
      case 'list_groups':
        return listGroups(call.params, user, registry);
      case 'list_members':
        return listMembers(call.params, user, registry);
      case 'list_requests':
        return listRequests(call.params, user, registry);
      case 'list_files':
        return listFiles(call.params, user, registry, (file) => this.#presence.seedersOnline(file));
      case 'find_file':
        return findFile(call.params, user, registry);
      case 'ticket':
        return this.#ticket(seat, call.params, user);
      case 'announce':
        return this.#announce(seat, call.params, user);
      case 'watch_file':
        return this.#watch(seat, call.params, user);
      case 'withdraw':
        this.#presence.withdraw(seat, call.params.files);
        return {};
      case 'unwatch_file':
        this.#presence.unwatch(seat, call.params.file);
        return {};
      default:
        return call satisfies never;
    }
  }

  async #change(seat: Seat, call: Change): Promise<unknown> {
    const { requestId } = call.params;
    const running = this.#running.get(requestId) ?? this.#start(seat, call);
    if (running.seat.device !== seat.device || running.method !== call.method) {
      throw new RequestError('bad-request', 'this request id is in use for another request');
    }
    const done = await running.done;
    const answer = 'answer' in done ? done.answer : this.#report(seat, done.transaction);
    return { ...answer, trackers: TRACKERS };
  }

  #start(seat: Seat, call: Change): Running {
    const { requestId } = call.params;
    const running: Running = { seat, method: call.method, done: this.#perform(seat, call) };
    this.#running.set(requestId, running);
    const forget = () => this.#running.delete(requestId);
    running.done.then(() => this.#journal.settled()).then(forget, forget);
    return running;
  }

  async #perform(seat: Seat, call: Change): Promise<Done> {
    const { requestId } = call.params;
    const earlier = await this.#journal.find(requestId);
    if (earlier) {
      checkRepeat(earlier, call.method, seat);
      return { transaction: earlier };
    }
    const verdict = await this.#verdict(seat, call);
    if ('answer' in verdict) return verdict;
    const user = this.#userOf(seat, verdict.op);
    const actor = user ? { device: seat.device, user } : { device: seat.device };
    const { transaction, outcome } = this.#journal.write(verdict.op, actor, requestId);
    if (outcome) this.#spread(seat, transaction, outcome);
    return { transaction };
  }

  async #verdict(seat: Seat, call: Change): Promise<Verdict> {
    const { registry } = this.#journal;
    switch (call.method) {
      case 'create_user': {
        const { user: name, password } = call.params;
        checkNewUser(call.params, registry);
        const passwordHash = await this.#accounts.hash(password, seat.remoteAddress);
        // Somebody else may have taken the name meanwhile.
        checkNewUser(call.params, registry);
        return { op: { type: 'user-created', user: newId(), name, passwordHash } };
      }
      case 'login': {
        const { user: name, password } = call.params;
        checkLogin(name, seat, registry, this.#clock.nowMs());
        const user = await this.#accounts.check(name, registry.userNamed(name), password, seat.remoteAddress);
        const expiresMs = this.#clock.nowMs() + SESSION_LIFETIME_MS;
        return { op: { type: 'session-opened', session: newId(), user: user.id, device: seat.device, expiresMs } };
      }
      default:
        return judge(call, seat, registry, this.#clock.nowMs(), FRESH_IDS);
    }
  }

  #userOf(seat: Seat, op: Operation): User['id'] | undefined {
    return op.type === 'session-opened' || op.type === 'user-created' ? op.user : seat.login?.user;
  }

  /** What a transaction changes for those who are online. */
  #spread(asker: Seat, transaction: Transaction, outcome: Outcome): void {
    for (const session of outcome.ended ?? []) {
      // The asker's own connection goes on with its new session, or has asked to be logged out.
      for (const seat of this.#online.in(session)) if (seat !== asker) this.#logOut(seat);
    }
    const departure = departureOf(transaction);
    if (departure) {
      for (const seat of this.#online.of(departure.user)) this.#presence.leaveGroup(seat, departure.group);
    }
    for (const { to, push, exceptAsker } of noticesOf(transaction, outcome, this.#journal.registry)) {
      this.#online.tell(to, push, exceptAsker ? asker : undefined);
    }
  }

  /** The answer to the request that a transaction came from, also when it is a repeat on another connection. */
  #report(seat: Seat, transaction: Transaction): ChangeAnswer {
    const { registry } = this.#journal;
    const answer = answerTo(transaction, registry);
    const { op, hlc } = transaction;
    if (op.type === 'session-closed' && seat.session === op.session) this.left(seat);
    if (op.type !== 'session-opened') return answer;
    const session = registry.session(op.session);
    if (!session) throw new RequestError('session-ended', 'the session of this login has ended since', 'log in again');
    this.#enter(seat, session.id, session.user);
    const { device, expiresMs } = session;
    const token = { session: session.id, user: session.user, device, issuedMs: hlc.ms, expiresMs };
    return { ...answer, token: issueSessionToken(token, this.#identity) };
  }

  #resumeSession(seat: Seat, { token: signed }: Params<'resume'>): Result<'resume'> {
    const token = openSessionToken(signed, (tracker) => tracker === this.#identity.id, this.#clock.nowMs());
    const session = this.#journal.registry.session(token.session);
    const hint = 'log in again: login <user_id> <passwd>';
    if (token.device !== seat.device) {
      throw new RequestError('session-ended', 'the session belongs to another device', hint);
    }
    if (!session) throw new RequestError('session-ended', 'your session has ended', hint);
    this.#enter(seat, session.id, session.user);
    return { user: session.user, userName: this.#journal.registry.userName(session.user) };
  }

  #enter(seat: Seat, session: NonNullable<Seat['session']>, user: User['id']): void {
    if (seat.isClosed) return;
    if (seat.login && seat.login.user !== user) this.left(seat);
    this.#online.enter(seat, session, user);
  }

  #logOut(seat: Seat): void {
    this.left(seat);
    seat.push({ type: 'session-ended' });
  }

  #ticket(seat: Seat, { group: id }: Params<'ticket'>, user: User): Result<'ticket'> {
    const group = groupWithId(id, this.#journal.registry);
    requireMember(group, user, this.#journal.registry);
    const issuedMs = this.#clock.nowMs();
    const ticket = issueTicket(
      {
        user: user.id,
        userName: user.name,
        group: group.id,
        device: seat.device,
        rights: ['read', 'serve'],
        issuedMs,
        expiresMs: issuedMs + TICKET_LIFETIME_MS,
      },
      this.#identity,
    );
    return { ticket };
  }

  #announce(seat: Seat, { address, shares }: Params<'announce'>, user: User): Result<'announce'> {
    const { registry } = this.#journal;
    const allowed = ({ group, file }: (typeof shares)[number]) => {
      const known = registry.group(group);
      return known?.members.has(user.id) && known.files.has(file);
    };
    if (!parseAddress(formatAddress(address))) {
      throw new RequestError('bad-request', `"${shown(address.host)}" is not an address that peers could reach`);
    }
    // A client that listens on every address is reached at the one we see.
    const host = address.host === '0.0.0.0' || address.host === '::' ? seat.remoteAddress : address.host;
    const whereabouts = { user: user.id, userName: user.name, address: { host, port: address.port } };
    this.#presence.announce(seat, whereabouts, shares.filter(allowed));
    return { refused: shares.filter((share) => !allowed(share)).map(({ file }) => file) };
  }

  #watch(seat: Seat, { group: id, file }: Params<'watch_file'>, user: User): Result<'watch_file'> {
    const group = groupWithId(id, this.#journal.registry);
    requireMember(group, user, this.#journal.registry);
    if (!group.files.has(file)) throw new RequestError('no-such-file', 'the group does not have this file any more');
    return { peers: this.#presence.watch(seat, group.id, file) };
  }
}
