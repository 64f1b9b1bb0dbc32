/**
 * Answers every request: judges it (requests.ts, listings.ts), writes what changes state to the ledger, and tells
 * those whom it concerns. It owns the requests that are being worked on, so that one that is repeated meanwhile is not
 * done twice. Answers and pushes may be made before the disk has what they depend on; the seats hold them back.
 */

import { derivedId } from '../../protocol/derived-id.ts';
import { RequestError } from '../../protocol/errors.ts';
import type { DeviceId, RequestId, SessionId } from '../../protocol/ids.ts';
import { SESSION_LIFETIME_MS, TICKET_LIFETIME_MS } from '../../protocol/limits.ts';
import type { Call, Method, Params, Result } from '../../protocol/messages.ts';
import { issueSessionToken, issueTicket, openSessionToken } from '../../protocol/ticket.ts';
import { formatAddress, parseAddress } from '../../protocol/tracker-info.ts';
import type { Operation, Transaction } from '../../protocol/transaction.ts';
import type { Identity } from '../net/identity.ts';
import { type Clock, random } from '../support/clock.ts';
import type { Accounts } from './accounts.ts';
import { groupWithId, loggedIn, requireMember } from './asker.ts';
import type { Insertion } from './history.ts';
import type { KnownTrackers } from './known-trackers.ts';
import type { Draft, Ledger, Done as Performed } from './ledger.ts';
import { findFile, listFiles, listGroups, listMembers, listRequests } from './listings.ts';
import { departureOf, memberGone, noticesOf } from './notices.ts';
import { Online } from './online.ts';
import { Presence } from './presence.ts';
import { PresenceRelay } from './presence-relay.ts';
import type { Group, Outcome, User } from './registry.ts';
import {
  answerTo,
  type Change,
  type ChangeAnswer,
  checkLogin,
  checkNewUser,
  checkRepeat,
  type FreshIds,
  isChange,
  judge,
  type Verdict,
} from './requests.ts';
import type { Answer, Seat } from './seat.ts';
import { shown } from './wording.ts';

/** How long an answer waits for a second tracker to hold its transaction, if one is reachable. */
const SECOND_HOLDER_MS_MAX = 200;

/** What other trackers hold. */
export interface Replicas {
  /** Whether there is one that may come to hold something. */
  readonly reachable: boolean;
  /** How many trackers hold it, this one included. */
  holders(transaction: Transaction): number;
  /** Resolves when a second one does, or none can be reached. */
  secondHolder(transaction: Transaction): Promise<void>;
}

export interface ServiceOptions {
  readonly ledger: Ledger;
  readonly accounts: Accounts;
  readonly identity: Identity;
  readonly clock: Clock;
  readonly known: Pick<KnownTrackers, 'trusts' | 'pins'>;
  readonly replicas: Replicas;
}

type Done = { readonly transaction: Transaction } | { readonly answer: ChangeAnswer };

/** A request that changes nothing. */
type Look = Exclude<Call, Change | { method: 'trackers' }>;

interface Running {
  readonly seat: Seat;
  readonly method: Method;
  readonly done: Promise<Done>;
}

/** A request that is repeated at another tracker makes the same things there. */
const idsOf = (requestId: RequestId, device: DeviceId): FreshIds => ({
  group: () => derivedId('group', requestId, device),
  file: () => derivedId('file', requestId, device),
});

export class Service {
  readonly #ledger: Ledger;
  readonly #accounts: Accounts;
  readonly #identity: Identity;
  readonly #clock: Clock;
  readonly #known: ServiceOptions['known'];
  readonly #replicas: Replicas;
  readonly #online = new Online<Seat>();
  readonly #presence = new Presence(random);
  /** Who is online at other trackers. */
  readonly relay: PresenceRelay;
  /** Until the ledger has them, where a repeat finds them. */
  readonly #running = new Map<RequestId, Running>();

  constructor(options: ServiceOptions) {
    this.#ledger = options.ledger;
    this.#accounts = options.accounts;
    this.#identity = options.identity;
    this.#clock = options.clock;
    this.#known = options.known;
    this.#replicas = options.replicas;
    this.relay = new PresenceRelay(this.#presence, options.clock);
  }

  answer(seat: Seat, call: Call): Answer | Promise<Answer> {
    if (isChange(call)) return this.#change(seat, call);
    if (call.method === 'trackers') return { result: { pins: this.#known.pins() } };
    const current = this.#ledger.current();
    return current ? current.then(() => this.#look(seat, call)) : this.#look(seat, call);
  }

  /** A connection has ended. */
  left(seat: Seat): void {
    this.#online.leave(seat);
    this.#presence.leave(seat);
    this.relay.left(seat);
  }

  /** Other trackers' entries were executed: whom they concern here is told, as if they had been asked for here. */
  executed({ executed, voided, replayed }: Insertion): void {
    for (const { transaction, outcome } of executed) if (outcome) this.#spread(undefined, transaction, outcome);
    for (const { op } of voided) {
      // A removal elsewhere came first: who was let in here is out again.
      const group = op.type === 'join-accepted' ? this.#ledger.registry.group(op.group) : undefined;
      if (group && op.type === 'join-accepted') this.#spreadDeparture(op.user, group);
    }
    if (replayed > 0) this.endExpiredSessions();
  }

  /** Called now and then: logs out sessions whose time is over. */
  endExpiredSessions(): void {
    const nowMs = this.#clock.nowMs();
    for (const id of this.#online.sessions()) {
      const session = this.#ledger.registry.session(id);
      if (session && session.expiresMs > nowMs) continue;
      for (const seat of this.#online.in(id)) this.#logOut(seat);
    }
  }

  #look(seat: Seat, call: Look): Answer {
    return { result: call.method === 'resume' ? this.#resumeSession(seat, call.params) : this.#seen(seat, call) };
  }

  #seen(seat: Seat, call: Exclude<Look, { method: 'resume' }>): unknown {
    const { registry } = this.#ledger;
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
        this.relay.withdrew(seat, call.params.files);
        return {};
      case 'unwatch_file':
        this.#presence.unwatch(seat, call.params.file);
        return {};
      default:
        return call satisfies never;
    }
  }

  #change(seat: Seat, call: Change): Answer | Promise<Answer> {
    const { requestId } = call.params;
    const running = this.#running.get(requestId);
    if (running) {
      if (running.seat.device !== seat.device || running.method !== call.method) {
        throw new RequestError('bad-request', 'this request id is in use for another request');
      }
      return running.done.then((done) => this.#answered(seat, done));
    }
    const done = this.#perform(seat, call);
    if (!(done instanceof Promise)) return this.#answered(seat, done);
    this.#running.set(requestId, { seat, method: call.method, done });
    const forget = () => this.#running.delete(requestId);
    done.then(forget, forget);
    return done.then((late) => this.#answered(seat, late));
  }

  #answered(seat: Seat, done: Done): Answer {
    if ('answer' in done) return { result: { ...done.answer, trackers: 1 } };
    const { transaction } = done;
    const answer = this.#report(seat, transaction);
    if (!this.#replicas.reachable) return { result: { ...answer, trackers: this.#replicas.holders(transaction) } };
    return { result: this.#holders(transaction).then((trackers) => ({ ...answer, trackers })) };
  }

  /** Waits a while for a second tracker; the answer leaves in any case once the entry is safe here. */
  async #holders(transaction: Transaction): Promise<number> {
    await this.#ledger.settled();
    if (this.#replicas.holders(transaction) < 2) {
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const cancel = this.#clock.after(SECOND_HOLDER_MS_MAX, resolve);
      await Promise.race([this.#replicas.secondHolder(transaction), late]);
      cancel();
    }
    return this.#replicas.holders(transaction);
  }

  #perform(seat: Seat, call: Change): Done | Promise<Done> {
    const earlier = this.#ledger.find(call.params.requestId, seat.device);
    if (earlier) {
      checkRepeat(earlier, call.method, seat);
      return { transaction: earlier };
    }
    const verdict = this.#prepare(seat, call);
    return verdict instanceof Promise
      ? verdict.then((late) => this.#order(seat, call, late))
      : this.#order(seat, call, verdict);
  }

  #order(seat: Seat, call: Change, verdict: () => Verdict): Done | Promise<Done> {
    const judge = () => this.#draft(seat, verdict());
    const done = this.#ledger.perform({ requestId: call.params.requestId, device: seat.device, judge });
    return done instanceof Promise
      ? done.then((late) => this.#performed(seat, call, late))
      : this.#performed(seat, call, done);
  }

  #performed(seat: Seat, call: Change, done: Performed): Done {
    if ('answer' in done) return done;
    const { transaction, outcome } = done;
    // Another tracker may have been asked the same meanwhile.
    checkRepeat(transaction, call.method, seat);
    if (outcome) this.#spread(seat, transaction, outcome);
    return { transaction };
  }

  /** Does what takes time. What it gives tells the verdict on the registry as it is when it is asked. */
  #prepare(seat: Seat, call: Change): (() => Verdict) | Promise<() => Verdict> {
    switch (call.method) {
      case 'create_user':
        return this.#newUser(seat, call.params);
      case 'login':
        return this.#login(seat, call.params);
      default: {
        const { registry } = this.#ledger;
        return () => judge(call, seat, registry, this.#clock.nowMs(), idsOf(call.params.requestId, seat.device));
      }
    }
  }

  async #newUser(seat: Seat, params: Params<'create_user'>): Promise<() => Verdict> {
    const ledger = this.#ledger;
    await ledger.current();
    checkNewUser(params, ledger.registry);
    const passwordHash = await this.#accounts.hash(params.password, seat.remoteAddress);
    const user: User['id'] = derivedId('user', params.requestId, seat.device);
    return () => {
      // Somebody else may have taken the name meanwhile.
      checkNewUser(params, ledger.registry);
      return { op: { type: 'user-created', user, name: params.user, passwordHash } };
    };
  }

  async #login(seat: Seat, { requestId, user: name, password }: Params<'login'>): Promise<() => Verdict> {
    const ledger = this.#ledger;
    await ledger.current();
    checkLogin(name, seat, ledger.registry, this.#clock.nowMs());
    const user = await this.#accounts.check(name, ledger.registry.userNamed(name), password, seat.remoteAddress);
    const expiresMs = this.#clock.nowMs() + SESSION_LIFETIME_MS;
    const session: SessionId = derivedId('session', requestId, seat.device);
    return () => ({ op: { type: 'session-opened', session, user: user.id, device: seat.device, expiresMs } });
  }

  #draft(seat: Seat, verdict: Verdict): Draft {
    if ('answer' in verdict) return verdict;
    const user = this.#userOf(seat, verdict.op);
    return { op: verdict.op, actor: user ? { device: seat.device, user } : { device: seat.device } };
  }

  #userOf(seat: Seat, op: Operation): User['id'] | undefined {
    return op.type === 'session-opened' || op.type === 'user-created' ? op.user : seat.login?.user;
  }

  /** What a transaction changes for those who are online. */
  #spread(asker: Seat | undefined, transaction: Transaction, outcome: Outcome): void {
    for (const session of outcome.ended ?? []) {
      // The asker's own connection goes on with its new session, or has asked to be logged out.
      for (const seat of this.#online.in(session)) if (seat !== asker) this.#logOut(seat);
    }
    const departure = departureOf(transaction);
    if (departure) this.#leaveGroup(departure.user, departure.group);
    for (const { to, push, exceptAsker } of noticesOf(transaction, outcome, this.#ledger.registry)) {
      this.#online.tell(to, push, exceptAsker ? asker : undefined);
    }
  }

  #spreadDeparture(user: User['id'], group: Group): void {
    this.#leaveGroup(user, group.id);
    this.#online.tell([...group.members, user], memberGone(user, group, this.#ledger.registry), undefined);
  }

  #leaveGroup(user: User['id'], group: Group['id']): void {
    for (const seat of this.#online.of(user)) this.#presence.leaveGroup(seat, group);
    this.relay.departed(user, group);
  }

  /** The answer to the request that a transaction came from, also when it is a repeat on another connection. */
  #report(seat: Seat, transaction: Transaction): ChangeAnswer {
    const { registry } = this.#ledger;
    const answer = answerTo(transaction, registry);
    const { op, hlc, origin, seq } = transaction;
    if (op.type === 'session-closed' && seat.session === op.session) this.left(seat);
    if (op.type !== 'session-opened') return answer;
    const session = registry.session(op.session);
    if (!session) throw new RequestError('session-ended', 'the session of this login has ended since', 'log in again');
    this.#enter(seat, session.id, session.user);
    const { device, expiresMs } = session;
    const opened = { origin, seq };
    const token = { session: session.id, opened, user: session.user, device, issuedMs: hlc.ms, expiresMs };
    return { ...answer, token: issueSessionToken(token, this.#identity) };
  }

  #resumeSession(seat: Seat, { token: signed }: Params<'resume'>): Result<'resume'> {
    const token = openSessionToken(signed, this.#known.trusts, this.#clock.nowMs());
    const session = this.#ledger.registry.session(token.session);
    const hint = 'log in again: login <user_id> <passwd>';
    if (token.device !== seat.device) {
      throw new RequestError('session-ended', 'the session belongs to another device', hint);
    }
    if (!session && token.opened && !this.#ledger.has(token.opened.origin, token.opened.seq)) {
      throw new RequestError('tracker-behind', 'this tracker has not heard of your login yet', 'try another tracker');
    }
    if (!session) throw new RequestError('session-ended', 'your session has ended', hint);
    this.#enter(seat, session.id, session.user);
    return { user: session.user, userName: this.#ledger.registry.userName(session.user) };
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
    const group = groupWithId(id, this.#ledger.registry);
    requireMember(group, user, this.#ledger.registry);
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
    const { registry } = this.#ledger;
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
    const served = shares.filter(allowed);
    this.#presence.announce(seat, whereabouts, served);
    this.relay.announced(seat, { device: seat.device, ...whereabouts }, served);
    return { refused: shares.filter((share) => !allowed(share)).map(({ file }) => file) };
  }

  #watch(seat: Seat, { group: id, file }: Params<'watch_file'>, user: User): Result<'watch_file'> {
    const group = groupWithId(id, this.#ledger.registry);
    requireMember(group, user, this.#ledger.registry);
    if (!group.files.has(file)) throw new RequestError('no-such-file', 'the group does not have this file any more');
    return { peers: this.#presence.watch(seat, group.id, file) };
  }
}
