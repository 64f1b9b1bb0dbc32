/**
 * Who is online at which tracker, as far as trackers tell each other. Tells those that follow us who is online here, as it
 * changes; and puts who is online elsewhere into our presence, so that peers find each other whichever tracker they
 * are connected to. When a link ends, those behind it stay for PRESENCE_KEPT_MS: the tracker may only be restarting.
 */
import type { DeviceId, FileId, GroupId, TrackerId, UserId } from '../../protocol/ids.ts';
import { ANNOUNCE_ITEMS_MAX, SILENCE_MS_MAX } from '../../protocol/limits.ts';
import type { Peer } from '../../protocol/messages.ts';
import type { Clock } from '../support/clock.ts';
import type { PresenceMessage } from './exchange.ts';
import type { ReplicaLink } from './feed.ts';
import type { Attendee, Presence } from './presence.ts';

const PRESENCE_KEPT_MS = SILENCE_MS_MAX;

type Share = { readonly group: GroupId; readonly file: FileId };

interface Local {
  peer: Peer;
  readonly shares: Map<FileId, GroupId>;
}

/** A device that is online at another tracker. */
class Distant implements Attendee {
  readonly device: DeviceId;
  user: UserId;
  /** The link over which it was named last. */
  link: ReplicaLink;

  constructor(peer: Peer, link: ReplicaLink) {
    this.device = peer.device;
    this.user = peer.user;
    this.link = link;
  }

  push(): void {
    // It watches nothing here: its own tracker tells it.
  }
}

export class PresenceRelay {
  readonly #presence: Presence;
  readonly #clock: Clock;
  readonly #local = new Map<Attendee, Local>();
  readonly #distant = new Map<TrackerId, Map<DeviceId, Distant>>();
  readonly #followers = new Set<ReplicaLink>();
  readonly #timers = new Set<() => void>();

  constructor(presence: Presence, clock: Clock) {
    this.#presence = presence;
    this.#clock = clock;
  }

  /** A client of ours says that it serves these. */
  announced(attendee: Attendee, peer: Peer, shares: readonly Share[]): void {
    const local = this.#local.get(attendee) ?? { peer, shares: new Map() };
    local.peer = peer;
    for (const { file, group } of shares) local.shares.set(file, group);
    this.#local.set(attendee, local);
    this.#tell({ type: 'serves', peer, shares: [...shares] });
  }

  withdrew(attendee: Attendee, files: readonly FileId[]): void {
    const local = this.#local.get(attendee);
    if (!local) return;
    for (const file of files) local.shares.delete(file);
    this.#tell({ type: 'withdraws', device: attendee.device, files: [...files] });
  }

  left(attendee: Attendee): void {
    if (!this.#local.delete(attendee)) return;
    const elsewhere = [...this.#local.keys()].some(({ device }) => device === attendee.device);
    if (!elsewhere) this.#tell({ type: 'left', device: attendee.device });
  }

  /** Somebody is no member of a group any more, wherever they are online. */
  departed(user: UserId, group: GroupId): void {
    for (const local of this.#local.values()) {
      if (local.peer.user !== user) continue;
      for (const [file, of] of local.shares) if (of === group) local.shares.delete(file);
    }
    for (const devices of this.#distant.values()) {
      for (const distant of devices.values()) if (distant.user === user) this.#presence.leaveGroup(distant, group);
    }
  }

  /** A tracker follows us: it is told of everybody. */
  followed(link: ReplicaLink): void {
    this.#followers.add(link);
    for (const { peer, shares } of this.#local.values()) {
      const all = [...shares].map(([file, group]) => ({ file, group }));
      for (let at = 0; at === 0 || at < all.length; at += ANNOUNCE_ITEMS_MAX) {
        link.send({ type: 'serves', peer, shares: all.slice(at, at + ANNOUNCE_ITEMS_MAX) });
      }
    }
    link.send({ type: 'all-named' });
  }

  received(link: ReplicaLink, message: PresenceMessage): void {
    const devices = this.#distant.get(link.peer) ?? new Map<DeviceId, Distant>();
    this.#distant.set(link.peer, devices);
    switch (message.type) {
      case 'serves': {
        const { device, ...whereabouts } = message.peer;
        const distant = devices.get(device) ?? new Distant(message.peer, link);
        distant.link = link;
        distant.user = message.peer.user;
        devices.set(device, distant);
        this.#presence.announce(distant, whereabouts, message.shares);
        break;
      }
      case 'withdraws': {
        const distant = devices.get(message.device);
        if (distant) this.#presence.withdraw(distant, message.files);
        break;
      }
      case 'left':
        this.#forget(devices, message.device);
        break;
      case 'all-named':
        // Who was there before and was not named again has gone meanwhile.
        for (const { device, link: named } of [...devices.values()]) if (named !== link) this.#forget(devices, device);
        break;
      default:
        message satisfies never;
    }
  }

  ended(link: ReplicaLink): void {
    this.#followers.delete(link);
    const devices = this.#distant.get(link.peer);
    if (!devices || devices.size === 0) return;
    const stop = this.#clock.after(PRESENCE_KEPT_MS, () => {
      this.#timers.delete(stop);
      for (const distant of [...devices.values()]) if (distant.link === link) this.#forget(devices, distant.device);
    });
    this.#timers.add(stop);
  }

  close(): void {
    for (const stop of this.#timers) stop();
  }

  #forget(devices: Map<DeviceId, Distant>, device: DeviceId): void {
    const distant = devices.get(device);
    if (!distant) return;
    devices.delete(device);
    this.#presence.leave(distant);
  }

  #tell(message: PresenceMessage): void {
    for (const link of this.#followers) link.send(message);
  }
}
