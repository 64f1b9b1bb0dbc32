/**
 * A tracker: the library's face of this wing. Owns the data directory, the listener and the seats, and the order in
 * which all of it starts and stops. Nothing is acknowledged that is not on the disk: when the log can't be written, or
 * a fault of ours shows, every connection is cut without an answer and `ended` tells why.
 */
import { RequestError } from '../../protocol/errors.ts';
import { type TrackerId, toHex } from '../../protocol/ids.ts';
import { HEARTBEAT_MS } from '../../protocol/limits.ts';
import type { Address, TrackerLine } from '../../protocol/tracker-info.ts';
import { formatAddress } from '../../protocol/tracker-info.ts';
import type { ChainedTransaction } from '../../protocol/transaction.ts';
import type { Connection, ConnectionHandler } from '../net/connection.ts';
import { type Identity, loadIdentity } from '../net/identity.ts';
import { type MetricsServer, serveMetrics } from '../net/metrics-server.ts';
import { type Listener, listen } from '../net/tls.ts';
import { type Clock, systemClock } from '../support/clock.ts';
import { type DataDir, openDataDir } from '../support/data-dir.ts';
import { type Logger, silentLogger } from '../support/logger.ts';
import { ACCOUNT_LIMITS, type AccountLimits, Accounts } from './accounts.ts';
import { Exchange, type JoinProgress, type ReplicatedLog } from './exchange.ts';
import type { ReplicaLink } from './feed.ts';
import { KnownTrackers } from './known-trackers.ts';
import type { Ledger, Verification } from './ledger.ts';
import { Links } from './links.ts';
import type { LogStore } from './log-store.ts';
import { METRICS_CONTENT_TYPE, metricsText } from './metrics.ts';
import { openOwn, openShared } from './open-ledger.ts';
import { Rota } from './rota.ts';
import { Seat, type SeatDuties } from './seat.ts';
import { Service } from './service.ts';
import type { SharedLedger } from './shared-ledger.ts';
import type { SharedLog } from './shared-log.ts';
import { peerStates, type TrackerStatus } from './status.ts';
import { lag, type Vector } from './vectors.ts';

/** Each takes some 65 KiB, most of it OpenSSL's. */
const CONNECTIONS_MAX = 16_384;
/** Heartbeats to all of them at once would hold up everyone else for a quarter of a second. */
const BEATS = 60;
/** How long a client may take to read its last answers when the tracker closes. */
const FAREWELL_MS = 2_000;
/** Over which transactions a second are counted. */
const RATE_MS = 10_000;

export interface TrackerOptions {
  /** Where to listen; port 0 takes a free one. */
  readonly address: Address;
  /** Keys and log. One process at a time. */
  readonly dataDir: string;
  /** The pin that others expect of this tracker; it does not start with another key. */
  readonly pin?: TrackerId | undefined;
  readonly logger?: Logger;
  readonly clock?: Clock;
  readonly accountLimits?: AccountLimits;
  /** The other trackers of tracker_info.txt, to exchange logs with. */
  readonly others?: readonly TrackerLine[];
  /** Hears, until the tracker serves, how much has come of what it lacks. */
  readonly onJoining?: (progress: JoinProgress) => void;
  /** Where the log goes; SQLite in the data directory unless told otherwise. */
  readonly openLog?: (dataDir: string) => LogStore;
  /** Opens the log that all trackers of the network share (etcd-settings.ts), in place of one of its own. */
  readonly sharedLog?: (() => Promise<SharedLog>) | undefined;
}

interface Parts {
  readonly identity: Identity;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly dataDir: DataDir;
  readonly known: KnownTrackers;
  readonly ledger: Ledger & ReplicatedLog;
  /** Present when it is shared. */
  readonly shared?: SharedLedger;
  readonly accounts: Accounts;
  readonly lines: readonly TrackerLine[];
  readonly onJoining: TrackerOptions['onJoining'];
}

export class Tracker {
  /** SHA-256 of its public key: what tracker_info.txt gives as the pin. */
  readonly id: TrackerId;
  /** Resolves when the tracker has closed; rejects when it had to stop. */
  readonly ended: Promise<void>;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #dataDir: DataDir;
  readonly #ledger: Ledger;
  readonly #shared: SharedLedger | undefined;
  readonly #service: Service;
  readonly #known: KnownTrackers;
  readonly #exchange: Exchange;
  readonly #links: Links;
  readonly #seats = new Rota<Seat>(BEATS);
  readonly #duties: SeatDuties;
  readonly #end = Promise.withResolvers<void>();
  #listener: Listener | undefined;
  #stopHeartbeat: (() => void) | undefined;
  #closing: Promise<void> | undefined;
  #failure: unknown;
  #metrics: MetricsServer | undefined;
  #received = { all: 0, own: 0 };
  #writtenBefore = 0;
  #writeRate = 0;
  /** In step with every tracker that could be reached at the start: clients are served from then on. */
  #ready = false;

  private constructor(parts: Parts) {
    const { identity, clock, logger, ledger, known, lines } = parts;
    this.id = identity.id;
    this.#logger = logger;
    this.#clock = clock;
    this.#dataDir = parts.dataDir;
    this.#ledger = ledger;
    this.#known = known;
    this.#exchange = new Exchange(ledger, {
      logger,
      introduction: () => known.introduction(),
      introduced: (keys, pins) => known.introduced(keys, pins),
      executed: (insertion) => this.#service.executed(insertion),
      failed: (error) => this.#fail(error),
      violated: (link, violation) => this.#links.violated(link, violation),
      presence: (link, message) => this.#service.relay.received(link, message),
      followed: (link) => this.#service.relay.followed(link),
      progress: (progress) => {
        if (!this.#ready) parts.onJoining?.(progress);
      },
    });
    this.#service = new Service({ ...parts, replicas: parts.shared ?? this.#exchange });
    this.#shared = parts.shared;
    const ended = (link: ReplicaLink) => this.#service.relay.ended(link);
    this.#links = new Links({ identity, lines, known, exchange: this.#exchange, clock, logger, ended });
    this.#duties = {
      answer: (seat, call) => this.#service.answer(seat, call),
      settled: () => this.#ledger.settled(),
      failed: (error) => this.#fail(error),
    };
    this.ended = this.#end.promise;
    // Who does not ask is not told; the failure is in the log either way.
    this.ended.catch(() => {});
  }

  /** Throws RequestError: 'port-taken', 'data-dir-in-use', 'pin-mismatch', 'log-damaged', 'disk-error'. */
  static async start(options: TrackerOptions): Promise<Tracker> {
    const { address, dataDir: path, others = [], logger = silentLogger, clock = systemClock } = options;
    const dataDir = openDataDir(path);
    const undo: (() => unknown)[] = [() => dataDir.close()];
    try {
      const identity = await loadIdentity(dataDir.path);
      checkPin(identity, options);
      const known = new KnownTrackers(dataDir.path, identity, address, others);
      undo.unshift(() => known.close());
      const parts = { dataDir, identity, known, clock, logger, address, hasOthers: others.length > 0 };
      const log = options.sharedLog
        ? await openShared(parts, options.sharedLog)
        : await openOwn(parts, options.openLog);
      undo.unshift(() => log.ledger.close());
      const accounts = await Accounts.create(clock, options.accountLimits ?? ACCOUNT_LIMITS);
      const { onJoining } = options;
      const wiring = { identity, clock, logger, dataDir, known, ...log, accounts, lines: others, onJoining };
      const tracker = new Tracker(wiring);
      undo.splice(0, undo.length, () => tracker.close());
      await tracker.#open(address, identity);
      return tracker;
    } catch (error) {
      for (const step of undo) await step();
      throw error;
    }
  }

  get address(): Address {
    return this.#listener?.address ?? { host: '', port: 0 };
  }

  /** Pins of the trackers to which links stand, both ways. */
  get others(): readonly string[] {
    const links = this.#exchange.others();
    const followers = new Set(links.filter(({ follows }) => follows).map(({ peer }) => peer));
    return links.filter(({ peer, follows }) => !follows && followers.has(peer)).map(({ peer }) => peer);
  }

  /** Transactions that came from other trackers before this one served; `own` of them it had written itself once. */
  get received(): { readonly all: number; readonly own: number } {
    return this.#received;
  }

  /** What it holds of each tracker's log, and what its registry adds up to: equal where the former is. */
  state(): { readonly held: Vector; readonly digest: string; readonly differs: boolean } {
    return {
      held: this.#ledger.held(),
      digest: toHex(this.#exchange.digest()),
      differs: this.#exchange.differs,
    };
  }

  status(): TrackerStatus {
    const { held, digest, differs } = this.state();
    return {
      id: this.id,
      held,
      digest,
      differs,
      entries: this.#ledger.entryCount,
      connections: this.#seats.size,
      perSecond: this.#writeRate,
      replayed: this.#ledger.replayedTotal,
      damaged: this.#ledger.damage.length,
      peers: peerStates(this.#exchange.others(), held),
      shared: this.#shared?.standing,
    };
  }

  /** The last so many transactions, in the order of execution. */
  log(tail: number): readonly ChainedTransaction[] {
    return this.#ledger.tail(tail);
  }

  /** Verifies the log on the disk. */
  async verifyLog(): Promise<Verification> {
    while (this.#ledger.settled()) await this.#ledger.settled();
    return this.#ledger.verify(this.state().digest);
  }

  /** Serves figures for Prometheus until the tracker closes. Throws RequestError('port-taken'). */
  async serveMetrics(address: Address): Promise<Address> {
    this.#metrics = await serveMetrics(address, METRICS_CONTENT_TYPE, () => metricsText(this.status()));
    return this.#metrics.address;
  }

  /** Takes no more requests, answers those it has, and closes everything. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #open(address: Address, identity: Identity): Promise<void> {
    this.#listener = await listen({
      address,
      identity,
      protocol: ['p2pfs-tracker/1', 'p2pfs-replica/1'],
      connectionsMax: CONNECTIONS_MAX,
      accept: (connection, protocol) =>
        protocol === 'p2pfs-replica/1' ? this.#links.accept(connection) : this.#accept(connection),
    });
    // Our own log may have been longer once than it is here: others are asked before anything is written to it.
    const before = this.#ledger.held();
    await this.#links.start();
    if (this.#failure !== undefined) throw this.#failure;
    const now = this.#ledger.held();
    this.#received = { all: lag(before, now), own: (now[this.id] ?? 0) - (before[this.id] ?? 0) };
    this.#ledger.start({
      executed: (insertion) => this.#service.executed(insertion),
      failed: (error) => this.#fail(error),
    });
    this.#ready = true;
    const beats = [
      this.#clock.every(HEARTBEAT_MS / BEATS, () => this.#beat()),
      this.#clock.every(HEARTBEAT_MS, () => this.#service.endExpiredSessions()),
      this.#clock.every(RATE_MS, () => this.#measure()),
    ];
    this.#stopHeartbeat = () => {
      for (const stop of beats) stop();
    };
    const entries = this.#ledger.entryCount;
    this.#logger.info({ address: formatAddress(this.address), id: this.id, entries }, 'listening');
  }

  #accept(connection: Connection): ConnectionHandler | undefined {
    if (!this.#ready || this.#closing || this.#failure !== undefined) return undefined;
    const seat = new Seat(connection, this.#duties);
    this.#seats.add(seat);
    const { device, remoteAddress } = seat;
    this.#logger.debug({ device, remoteAddress }, 'connected');
    return {
      frame: (frame) => seat.frame(frame),
      closed: (error) => {
        this.#seats.delete(seat);
        this.#service.left(seat);
        seat.closed();
        this.#logger.debug({ device, reason: error?.message }, 'disconnected');
      },
    };
  }

  #measure(): void {
    const { writtenCount } = this.#ledger;
    this.#writeRate = ((writtenCount - this.#writtenBefore) * 1000) / RATE_MS;
    this.#writtenBefore = writtenCount;
  }

  #beat(): void {
    for (const seat of this.#seats.turn()) seat.heartbeat();
  }

  /** Nothing that is not safe may be acknowledged: stops at once. */
  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#logger.fatal({ err: error }, 'stopping without acknowledging what is in flight');
    void this.close();
  }

  async #close(): Promise<void> {
    this.#stopHeartbeat?.();
    await this.#metrics?.close();
    if (this.#failure === undefined) await this.#farewell();
    this.#service.relay.close();
    await this.#links.close();
    await this.#listener?.close();
    await this.#ledger.close().catch((error) => this.#fail(error));
    this.#known.close();
    this.#dataDir.close();
    this.#logger.info('closed');
    if (this.#failure === undefined) this.#end.resolve();
    else this.#end.reject(this.#failure);
  }

  async #farewell(): Promise<void> {
    const reason = new RequestError('tracker-unreachable', 'the tracker is shutting down');
    const farewells = Promise.all([...this.#seats].map((seat) => seat.close(reason)));
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const cancel = this.#clock.after(FAREWELL_MS, resolve);
    await Promise.race([farewells, late]);
    cancel();
  }
}

function checkPin(identity: Identity, { pin, dataDir }: TrackerOptions): void {
  if (pin === undefined || pin === identity.id) return;
  throw new RequestError(
    'pin-mismatch',
    `this tracker's pin is ${identity.id}, but ${pin} is expected of it`,
    `correct the pin in tracker_info.txt, or give the data directory that holds the other key (now ${dataDir})`,
  );
}
