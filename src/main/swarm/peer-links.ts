/**
 * The connections to serving peers, one for each device, whatever number of downloads uses it. It dials, shows the
 * tickets, renews them on the open connection, keeps idle links alive for a while and closes what nobody uses.
 */
import { invariant } from '../../protocol/errors.ts';
import type { DeviceId, GroupId } from '../../protocol/ids.ts';
import { HEARTBEAT_MS } from '../../protocol/limits.ts';
import type { Peer } from '../../protocol/messages.ts';
import type { Signed } from '../../protocol/signed.ts';
import type { Slots } from '../engine/slots.ts';
import type { Identity } from '../net/identity.ts';
import type { Clock } from '../support/clock.ts';
import { PeerLink } from './peer-link.ts';

/** Where tickets come from; it renews them in good time and hands out the newest. */
export interface TicketSource {
  /** Rejects with RequestError when the tracker refuses or can't be reached and no ticket is left. */
  get(group: GroupId): Promise<Signed>;
  /** A peer refused the ticket: ask for a new one next time. */
  drop(group: GroupId): void;
}

interface Linked {
  readonly link: PeerLink;
  readonly presented: Map<GroupId, Signed>;
}

export class PeerLinks {
  readonly #identity: Identity;
  readonly #slots: Slots;
  readonly #tickets: TicketSource;
  readonly #links = new Map<DeviceId, Promise<Linked>>();
  readonly #stopHeartbeat: () => void;
  readonly #abort = new AbortController();

  constructor(options: { identity: Identity; slots: Slots; tickets: TicketSource; clock: Clock }) {
    this.#identity = options.identity;
    this.#slots = options.slots;
    this.#tickets = options.tickets;
    this.#stopHeartbeat = options.clock.every(HEARTBEAT_MS, () => void this.#heartbeat());
  }

  /** A link to a peer on which the group's ticket was shown. Rejects when the peer can't be reached. */
  async acquire(peer: Peer, group: GroupId): Promise<PeerLink> {
    const ticket = await this.#tickets.get(group);
    const { link, presented } = await this.#linked(peer);
    if (presented.get(group) !== ticket) {
      presented.set(group, ticket);
      link.present(ticket);
    }
    return link;
  }

  /** A channel was closed: a link that carries none is closed too. */
  released(link: PeerLink): void {
    if (link.isIdle) link.close();
  }

  /** A peer would not take the group's ticket: the next one to be shown is a new one. */
  ticketRefused(group: GroupId): void {
    this.#tickets.drop(group);
  }

  async close(): Promise<void> {
    this.#stopHeartbeat();
    this.#abort.abort();
    for (const linked of [...this.#links.values()]) {
      await linked.then(({ link }) => link.close()).catch(() => {});
    }
  }

  #linked(peer: Peer): Promise<Linked> {
    const known = this.#links.get(peer.device);
    if (known) return known;
    invariant(!this.#abort.signal.aborted, 'links are open');
    const forget = () => {
      if (this.#links.get(peer.device) === linked) this.#links.delete(peer.device);
    };
    const linked = PeerLink.dial({
      peer,
      identity: this.#identity,
      slots: this.#slots,
      signal: this.#abort.signal,
      onEnd: forget,
    }).then((link) => ({ link, presented: new Map<GroupId, Signed>() }));
    this.#links.set(peer.device, linked);
    linked.catch(forget);
    return linked;
  }

  /** Keeps connections from falling silent, and shows renewed tickets before the old ones end. */
  async #heartbeat(): Promise<void> {
    for (const linked of [...this.#links.values()]) {
      const { link, presented } = await linked.catch(() => ({ link: undefined, presented: new Map() }));
      if (!link) continue;
      link.ping();
      for (const group of presented.keys()) {
        const ticket = await this.#tickets.get(group).catch(() => undefined);
        if (!ticket || ticket === presented.get(group)) continue;
        presented.set(group, ticket);
        link.present(ticket);
      }
    }
  }
}
