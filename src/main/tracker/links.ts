/**
 * Owns the connections between trackers: dials every other line of the file and keeps on dialling, takes those that dial
 * us, checks both by pin, and gives the exchange whole messages. A link that breaks the protocol is closed and dialled
 * again later. What messages mean is not asked here.
 */
import type { ProtocolViolation } from '../../protocol/errors.ts';
import type { TrackerId } from '../../protocol/ids.ts';
import { HEARTBEAT_MS, SILENCE_MS_MAX } from '../../protocol/limits.ts';
import { decodeReplica, encodeReplica } from '../../protocol/replica.ts';
import { formatAddress, type TrackerLine } from '../../protocol/tracker-info.ts';
import type { Connection, ConnectionHandler } from '../net/connection.ts';
import type { Identity } from '../net/identity.ts';
import { dial } from '../net/tls.ts';
import type { Clock } from '../support/clock.ts';
import type { Logger } from '../support/logger.ts';
import type { Exchange } from './exchange.ts';
import type { ReplicaLink } from './feed.ts';
import type { KnownTrackers } from './known-trackers.ts';

const DIAL_MS_MAX = 3_000;
const REDIAL_MS = 300;
/** How long a tracker that answers, but does not know us yet, is asked again before we go on without it. */
const STRANGER_MS_MAX = 5_000;
const STRANGER_REDIAL_MS = 50;
const TICK_MS = 500;
const REFUSED_MAX = 1_000;

const NOT_TAKEN =
  'another tracker does not take this one, and nothing came from it: it knows another key for this line of the file. ' +
  'Compare the pins; is this the right data directory?';

class Link implements ReplicaLink {
  readonly peer: TrackerId;
  readonly connection: Connection;
  #heardBytes = 0;
  #silentBeats = 0;

  constructor(connection: Connection) {
    this.connection = connection;
    this.peer = connection.peerId;
  }

  send(message: Parameters<typeof encodeReplica>[0]): void {
    this.connection.send(encodeReplica(message));
  }

  heartbeat(): void {
    const { receivedBytes } = this.connection;
    this.#silentBeats = receivedBytes === this.#heardBytes ? this.#silentBeats + 1 : 0;
    this.#heardBytes = receivedBytes;
    if (this.#silentBeats * HEARTBEAT_MS >= SILENCE_MS_MAX) this.connection.close();
    else this.connection.ping();
  }
}

export interface LinksOptions {
  readonly identity: Identity;
  /** The other trackers of the file. */
  readonly lines: readonly TrackerLine[];
  readonly known: KnownTrackers;
  readonly exchange: Exchange;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A link to or from a tracker has ended. */
  ended(link: ReplicaLink): void;
}

export class Links {
  readonly #options: LinksOptions;
  readonly #links = new Set<Link>();
  readonly #abort = new AbortController();
  readonly #stops: (() => void)[] = [];
  readonly #sleeping = new Set<() => void>();
  readonly #refused = new Set<TrackerId>();
  #dialling: Promise<unknown> = Promise.resolve();

  constructor(options: LinksOptions) {
    this.#options = options;
  }

  /** Dials everyone. Resolves when all that can be reached at once have given us what they had. */
  async start(): Promise<void> {
    const { clock, lines, exchange } = this.#options;
    this.#stops.push(clock.every(TICK_MS, () => exchange.tick()));
    this.#stops.push(clock.every(HEARTBEAT_MS, () => this.#beat()));
    const first = lines.map(() => Promise.withResolvers<void>());
    this.#dialling = Promise.all(lines.map((line, at) => this.#keepFollowing(line, () => first[at]?.resolve())));
    await Promise.all(first.map(({ promise }) => promise));
  }

  /** A connection that another tracker made. Undefined refuses it. */
  accept(connection: Connection): ConnectionHandler | undefined {
    const { known, exchange, identity } = this.#options;
    if (this.#abort.signal.aborted || connection.peerId === identity.id || !known.trusts(connection.peerId)) {
      this.#refuse(connection);
      // It may stand in the file without a pin: dialling tells.
      for (const wake of [...this.#sleeping]) wake();
      return undefined;
    }
    const link = new Link(connection);
    this.#links.add(link);
    return this.#handler(link, () => exchange.feed(link));
  }

  /** What came over a link is not genuine. */
  violated(link: ReplicaLink, violation: ProtocolViolation): void {
    this.#options.logger.error({ tracker: link.peer, reason: violation.message }, 'a tracker sent what does not hold');
    for (const known of this.#links) if (known === link) known.connection.close(violation);
  }

  /** Idempotent. */
  async close(): Promise<void> {
    this.#abort.abort();
    for (const stop of this.#stops) stop();
    for (const wake of this.#sleeping) wake();
    for (const link of this.#links) link.connection.close();
    await this.#dialling;
  }

  async #keepFollowing(line: TrackerLine, tried: () => void): Promise<void> {
    const { clock, logger } = this.#options;
    const startedMs = clock.monotonicMs();
    for (let starting = true; !this.#abort.signal.aborted; ) {
      let wasStranger = false;
      try {
        wasStranger = await this.#follow(line, tried);
      } catch (error) {
        logger.debug({ address: formatAddress(line), reason: (error as Error).message }, 'no link to a tracker');
      }
      const isLate = clock.monotonicMs() >= startedMs + STRANGER_MS_MAX;
      if (starting && wasStranger && isLate) logger.warn({ address: formatAddress(line) }, NOT_TAKEN);
      starting &&= wasStranger && !isLate;
      if (!starting) tried();
      await this.#sleep(starting ? STRANGER_REDIAL_MS : REDIAL_MS);
    }
    tried();
  }

  /** Resolves when the link has ended; true when the other side would not have us. */
  async #follow(line: TrackerLine, inStep: () => void): Promise<boolean> {
    const { identity, known, exchange, logger } = this.#options;
    const ended = Promise.withResolvers<void>();
    const pin = known.pinOf(line);
    let handler: ConnectionHandler | undefined;
    const connection = await dial({
      address: line,
      identity,
      protocol: 'p2pfs-replica/1',
      trusts: (shown) => shown !== identity.id && (pin === undefined || shown === pin),
      timeoutMs: DIAL_MS_MAX,
      signal: this.#abort.signal,
      handler: {
        ready: (hello) => handler?.ready?.(hello),
        frame: (frame) => handler?.frame(frame),
        closed: (error) => {
          handler?.closed(error);
          ended.resolve();
        },
      },
    });
    const address = formatAddress(line);
    if (!pin) {
      known.firstContact(line, connection.peerId);
      logger.warn({ address, pin: connection.peerId }, 'first contact with a tracker: its key is believed from now on');
    }
    const link = new Link(connection);
    this.#links.add(link);
    handler = this.#handler(link, () => {});
    logger.info({ address, tracker: link.peer }, 'following');
    let introduced = false;
    void exchange.follow(link).then((was) => {
      introduced = was;
      if (was) inStep();
    });
    await ended.promise;
    logger.info({ address, tracker: link.peer }, 'no longer following');
    return !introduced;
  }

  /** Said once of each, not each time that it dials again. */
  #refuse({ peerId: tracker, remoteAddress: address }: Connection): void {
    if (this.#refused.has(tracker)) return;
    if (this.#refused.size === REFUSED_MAX) this.#refused.clear();
    this.#refused.add(tracker);
    const why = 'refused a tracker whose key is not that of any line of the file';
    this.#options.logger.warn({ tracker, address }, why);
  }

  #handler(link: Link, ready: () => void): ConnectionHandler {
    const { exchange } = this.#options;
    return {
      ready,
      frame: (frame) => exchange.received(link, decodeReplica(frame)),
      closed: () => {
        this.#links.delete(link);
        exchange.ended(link);
        this.#options.ended(link);
      },
    };
  }

  #beat(): void {
    for (const link of this.#links) link.heartbeat();
  }

  #sleep(delayMs: number): Promise<void> {
    if (this.#abort.signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        stop();
        this.#sleeping.delete(wake);
        resolve();
      };
      const stop = this.#options.clock.after(delayMs, wake);
      this.#sleeping.add(wake);
    });
  }
}
