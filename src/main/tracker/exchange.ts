/**
 * The exchange of logs between trackers: what goes to those that follow this one, and what comes from those that it
 * follows. Knows links and messages, no sockets: in a test they are a simulated network. Entries that come are verified
 * and stored (journal.ts) before they are executed, and answered when they are. Where two trackers hold the same, their
 * registries must add up to the same; a difference is a fault of ours and is said loudly.
 */
import { ProtocolViolation } from '../../protocol/errors.ts';
import { toHex } from '../../protocol/ids.ts';
import type { Pin } from '../../protocol/messages.ts';
import type { ReplicaMessage } from '../../protocol/replica.ts';
import type { Signed } from '../../protocol/signed.ts';
import { readEntry, type Transaction } from '../../protocol/transaction.ts';
import type { Logger } from '../support/logger.ts';
import { Feed, type ReplicaLink } from './feed.ts';
import type { Insertion } from './history.ts';
import type { Journal } from './journal.ts';
import { registryDigest } from './registry-digest.ts';
import { lag, sameVector, type Vector } from './vectors.ts';

export interface ExchangeDuties {
  readonly logger: Logger;
  /** The keys and pins that this tracker knows, to tell others. */
  introduction(): { readonly keys: Uint8Array[]; readonly pins: Pin[] };
  /** What a tracker that we trust told of others. */
  introduced(keys: readonly Uint8Array[], pins: readonly Pin[]): void;
  /** Entries of other trackers were executed. */
  executed(insertion: Insertion): void;
  /** The journal can't go on, or our own log was written twice. */
  failed(error: unknown): void;
  /** What came over a link is not genuine. */
  violated(link: ReplicaLink, violation: ProtocolViolation): void;
  /** A message about who is online at the other side. */
  presence(link: ReplicaLink, message: PresenceMessage): void;
  /** How much has come of what a tracker that we follow had when the link came to stand, and was not here. */
  progress(progress: JoinProgress): void;
  /** A follower is there: it wants to hear who is online here. */
  followed(link: ReplicaLink): void;
}

/** Transactions. */
export interface JoinProgress {
  readonly received: number;
  readonly of: number;
}

type Introduction = Extract<ReplicaMessage, { type: 'introduce' }>;

export type PresenceMessage = Extract<ReplicaMessage, { type: 'serves' | 'withdraws' | 'left' | 'all-named' }>;

interface Followed {
  readonly link: ReplicaLink;
  /** What it had when it introduced itself. */
  target: Vector | undefined;
  /** What it said last. */
  theirs: Vector;
  /** How many of its entries were not here then. */
  lackedAtFirst: number;
  /** Something that it sent could not be taken yet. */
  stalled: boolean;
  readonly inStep: PromiseWithResolvers<boolean>;
}

/** The log of all trackers, as it is exchanged. */
export interface ReplicatedLog
  extends Pick<
    Journal,
    'id' | 'registry' | 'settled' | 'held' | 'missing' | 'accept' | 'whenSafe' | 'lastOf' | 'compare'
  > {
  /** All trackers have the same one: there is nothing to exchange but who is online. */
  readonly isShared: boolean;
}

export class Exchange {
  readonly #journal: ReplicatedLog;
  readonly #duties: ExchangeDuties;
  readonly #feeds = new Map<ReplicaLink, Feed>();
  readonly #followed = new Map<ReplicaLink, Followed>();
  readonly #waiting = new Set<() => void>();
  #told: Vector = {};
  #digest: { readonly held: Vector; readonly digest: Uint8Array; told: boolean } | undefined;
  #differs = false;
  /** Trackers that keep their logs in another way, and were told of. */
  readonly #otherKinds = new Set<string>();

  constructor(journal: ReplicatedLog, duties: ExchangeDuties) {
    this.#journal = journal;
    this.#duties = duties;
    journal.whenSafe(() => this.#pump());
  }

  /**
   * A link to a tracker that we dialled. True when we have what it had, or can't take it yet; false when the link ended
   * before.
   */
  follow(link: ReplicaLink): Promise<boolean> {
    const followed: Followed = {
      link,
      target: undefined,
      theirs: {},
      lackedAtFirst: 0,
      stalled: false,
      inStep: Promise.withResolvers(),
    };
    this.#followed.set(link, followed);
    this.#introduce(link);
    return followed.inStep.promise;
  }

  /** A link from a tracker that dialled us. */
  feed(link: ReplicaLink): void {
    this.#feeds.set(link, new Feed(link, (vector, limit) => this.#journal.missing(vector, limit)));
    this.#introduce(link);
  }

  /** The link has ended. */
  ended(link: ReplicaLink): void {
    this.#feeds.delete(link);
    this.#followed.get(link)?.inStep.resolve(false);
    this.#followed.delete(link);
    this.#wake();
  }

  /** Takes a message of a link. Throws ProtocolViolation for one that is out of place. */
  received(link: ReplicaLink, message: ReplicaMessage): void {
    const feed = this.#feeds.get(link);
    if (feed) this.#fromFollower(feed, message);
    const followed = this.#followed.get(link);
    if (followed) this.#fromFeeder(followed, message);
  }

  /** Called every second or so: passes on what came from others, asks again for what could not be taken. */
  tick(): void {
    this.#pump();
    const held = this.#journal.held();
    for (const followed of this.#followed.values()) {
      if (!followed.stalled) continue;
      followed.stalled = false;
      followed.link.send({ type: 'held', held, again: true });
    }
    this.#tellState(held);
  }

  /** Whether another tracker follows this one, and so may come to hold what is written here. */
  get reachable(): boolean {
    return this.#feeds.size > 0;
  }

  /** How many trackers hold an entry, this one included. */
  holders({ origin, seq }: Transaction): number {
    const peers = new Set([this.#journal.id]);
    for (const { held, link } of this.#feeds.values()) if ((held?.[origin] ?? 0) >= seq) peers.add(link.peer);
    return peers.size;
  }

  /** Resolves when a second tracker holds an entry, or none can be reached any more. */
  async secondHolder(transaction: Transaction): Promise<void> {
    while (this.#feeds.size > 0 && this.holders(transaction) < 2) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** What the trackers that we follow, and those that follow us, said last that they hold. */
  others(): readonly { readonly peer: string; readonly held: Vector; readonly follows: boolean }[] {
    const feeds = [...this.#feeds.values()].map(({ link, held = {} }) => ({ peer: link.peer, held, follows: true }));
    const followed = [...this.#followed.values()].map(({ link, theirs }) => ({
      peer: link.peer,
      held: theirs,
      follows: false,
    }));
    return [...feeds, ...followed];
  }

  /** Of the registry as it is now. */
  digest(): Uint8Array {
    const held = this.#journal.held();
    if (this.#digest && !this.#journal.settled() && sameVector(this.#digest.held, held)) return this.#digest.digest;
    const digest = registryDigest(this.#journal.registry);
    if (!this.#journal.settled()) this.#digest = { held, digest, told: false };
    return digest;
  }

  /** Whether registries were ever found to differ. */
  get differs(): boolean {
    return this.#differs;
  }

  #pump(): void {
    for (const feed of this.#feeds.values()) feed.pump();
  }

  #introduce(link: ReplicaLink): void {
    const shared = this.#journal.isShared ? { shared: true } : {};
    const last = this.#journal.lastOf(link.peer);
    const yours = last ? { yours: last } : {};
    link.send({ type: 'introduce', ...this.#duties.introduction(), held: this.#journal.held(), ...shared, ...yours });
  }

  /** Trackers of which only some share a log would not hear of all transactions. */
  #requireSameKind(link: ReplicaLink, shared: boolean): void {
    if (shared === this.#journal.isShared) return;
    const violation = new ProtocolViolation(
      `one tracker keeps its log in etcd (--log), the other does not: all of a network keep it the same way`,
    );
    if (this.#otherKinds.has(link.peer)) throw violation;
    this.#otherKinds.add(link.peer);
    this.#duties.violated(link, violation);
  }

  #fromFollower(feed: Feed, message: ReplicaMessage): void {
    switch (message.type) {
      case 'introduce':
        this.#introduced(feed.link, message);
        feed.has(message.held);
        this.#duties.followed(feed.link);
        break;
      case 'held':
        feed.answered(message.held, message.again ?? false);
        break;
      case 'state':
        feed.has(message.held);
        this.#compare(feed.link, message.held, message.digest);
        break;
      default:
        throw new ProtocolViolation(`${message.type} from a tracker that follows`);
    }
    this.#wake();
  }

  #fromFeeder(followed: Followed, message: ReplicaMessage): void {
    switch (message.type) {
      case 'introduce':
        this.#introduced(followed.link, message);
        followed.target = message.held;
        followed.theirs = message.held;
        followed.lackedAtFirst = lag(this.#journal.held(), message.held);
        this.#checkStep(followed);
        break;
      case 'entries':
        void this.#accept(followed, message.entries);
        break;
      case 'state':
        followed.theirs = message.held;
        this.#compare(followed.link, message.held, message.digest);
        break;
      case 'held':
        throw new ProtocolViolation('held from a tracker that is followed');
      default:
        this.#duties.presence(followed.link, message);
    }
  }

  /** The next batch is looked at while this one is on its way to the disk. They are stored and executed in order. */
  async #accept(followed: Followed, signed: readonly Signed[]): Promise<void> {
    try {
      const { ahead, gap, ...insertion } = await this.#journal.accept(signed.map(readEntry));
      followed.stalled ||= gap || ahead !== undefined;
      if (ahead) this.#duties.logger.warn(aheadFields(ahead), 'an entry is too far in the future; compare the clocks');
      this.#duties.executed(insertion);
    } catch (error) {
      this.#refused(followed.link, error);
      return;
    }
    followed.link.send({ type: 'held', held: this.#journal.held() });
    this.#checkStep(followed);
  }

  #introduced(link: ReplicaLink, { keys, pins, shared, yours }: Introduction): void {
    this.#requireSameKind(link, shared ?? false);
    this.#duties.introduced(keys, pins);
    if (!yours) return;
    try {
      this.#journal.compare(yours);
    } catch (error) {
      this.#refused(link, error);
    }
  }

  #refused(link: ReplicaLink, error: unknown): void {
    if (!(error instanceof ProtocolViolation)) {
      this.#duties.failed(error);
      return;
    }
    this.#duties.violated(link, error);
  }

  #checkStep(followed: Followed): void {
    const { stalled, target, lackedAtFirst, inStep } = followed;
    if (!target) return;
    const lacking = lag(this.#journal.held(), target);
    if (lackedAtFirst > 0) this.#duties.progress({ received: lackedAtFirst - lacking, of: lackedAtFirst });
    if (stalled || lacking === 0 || this.#journal.isShared) inStep.resolve(true);
  }

  /** The digest costs a walk through everything, so it is told when nothing has changed for a while. */
  #tellState(held: Vector): void {
    const links = [...this.#feeds.keys(), ...this.#followed.keys()];
    if (links.length === 0) return;
    const changed = !sameVector(held, this.#told);
    this.#told = held;
    if (!changed && (this.#journal.settled() || (this.#digest?.told && sameVector(this.#digest.held, held)))) return;
    const digest = changed ? undefined : this.digest();
    if (this.#digest && !changed) this.#digest.told = true;
    for (const link of links) link.send({ type: 'state', held, ...(digest ? { digest } : {}) });
  }

  #compare(link: ReplicaLink, held: Vector, digest: Uint8Array | undefined): void {
    if (!digest || this.#journal.settled() || !sameVector(held, this.#journal.held())) return;
    const ours = this.digest();
    if (Buffer.compare(ours, digest) === 0) return;
    this.#differs = true;
    const fields = { peer: link.peer, held, ours: toHex(ours), theirs: toHex(digest) };
    this.#duties.logger.error(fields, 'two trackers hold the same entries and do not agree on what they add up to');
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

const aheadFields = ({ origin, seq, hlc }: Transaction) => ({ origin, seq, ms: hlc.ms });
