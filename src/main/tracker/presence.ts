/**
 * Owns who serves which file now, and who wants to know. Soft state: it lives with the connections and is never in the
 * log. A device is one peer of a file, whichever of its connections announced last; nobody is told of their own
 * device. Which files exist and who may serve them is asked before, of the registry.
 */
import type { DeviceId, FileId, GroupId } from '../../protocol/ids.ts';
import { PAGE_ITEMS_MAX } from '../../protocol/limits.ts';
import type { Peer, Push } from '../../protocol/messages.ts';

/** A logged-in connection, as presence sees it. */
export interface Attendee {
  readonly device: DeviceId;
  push(push: Push): void;
}

/** Where to reach the serving side of a connection. */
export type Whereabouts = Omit<Peer, 'device'>;

interface FilePresence {
  readonly file: FileId;
  readonly group: GroupId;
  readonly peers: Map<DeviceId, { readonly by: Attendee; readonly peer: Peer }>;
  readonly watchers: Set<Attendee>;
}

interface Attendance {
  /** Where it can be reached, once it announced anything. */
  peer: Peer | undefined;
  /** The files for which this attendee stands for its device. */
  readonly serves: Set<FilePresence>;
  readonly watches: Set<FilePresence>;
}

export class Presence {
  readonly #random: () => number;
  readonly #files = new Map<FileId, FilePresence>();
  readonly #attendances = new Map<Attendee, Attendance>();

  /** `random` gives numbers from 0 up to 1, to choose peers by where there are too many to name. */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** Devices that serve a file. */
  seedersOnline(file: FileId): number {
    return this.#files.get(file)?.peers.size ?? 0;
  }

  /** Says that an attendee serves these files; those it announced before stay, at the new address if that changed. */
  announce(attendee: Attendee, whereabouts: Whereabouts, shares: readonly { group: GroupId; file: FileId }[]): void {
    const peer: Peer = { device: attendee.device, ...whereabouts };
    const attendance = this.#attendance(attendee);
    if (attendance.peer && !samePlace(attendance.peer, peer)) {
      for (const presence of attendance.serves) this.#serve(presence, attendee, peer);
    }
    attendance.peer = peer;
    for (const { group, file } of shares) {
      const presence = this.#presence(group, file);
      attendance.serves.add(presence);
      this.#serve(presence, attendee, peer);
    }
  }

  withdraw(attendee: Attendee, files: readonly FileId[]): void {
    for (const file of files) {
      const presence = this.#files.get(file);
      if (presence) this.#withdrawOne(attendee, presence);
    }
  }

  /** The peers of a file now, at random where there are too many; from now on the attendee is told of changes. */
  watch(attendee: Attendee, group: GroupId, file: FileId): Peer[] {
    const presence = this.#presence(group, file);
    presence.watchers.add(attendee);
    this.#attendance(attendee).watches.add(presence);
    const peers = [...presence.peers.values()]
      .map(({ peer }) => peer)
      .filter(({ device }) => device !== attendee.device);
    return this.#some(peers);
  }

  unwatch(attendee: Attendee, file: FileId): void {
    const presence = this.#files.get(file);
    if (presence) this.#unwatchOne(attendee, presence);
  }

  /** The attendee is no member of a group any more. */
  leaveGroup(attendee: Attendee, group: GroupId): void {
    const attendance = this.#attendances.get(attendee);
    if (attendance) this.#end(attendee, attendance, (presence) => presence.group === group);
  }

  /** The attendee has gone, or is logged in no more. */
  leave(attendee: Attendee): void {
    const attendance = this.#attendances.get(attendee);
    if (!attendance) return;
    this.#end(attendee, attendance, () => true);
    this.#attendances.delete(attendee);
  }

  /** Watches end first: who leaves is not told of others that leave with them. */
  #end(attendee: Attendee, attendance: Attendance, concerns: (presence: FilePresence) => boolean): void {
    for (const presence of [...attendance.watches].filter(concerns)) this.#unwatchOne(attendee, presence);
    for (const presence of [...attendance.serves].filter(concerns)) this.#withdrawOne(attendee, presence);
  }

  #serve(presence: FilePresence, attendee: Attendee, peer: Peer): void {
    const known = presence.peers.get(peer.device);
    presence.peers.set(peer.device, { by: attendee, peer });
    // A newer connection of the same device takes over.
    if (known && known.by !== attendee) this.#attendances.get(known.by)?.serves.delete(presence);
    if (known && samePlace(known.peer, peer)) return;
    this.#tell(presence, peer.device, { type: 'peer-online', file: presence.file, peer });
  }

  #withdrawOne(attendee: Attendee, presence: FilePresence): void {
    if (!this.#attendances.get(attendee)?.serves.delete(presence)) return;
    presence.peers.delete(attendee.device);
    this.#tell(presence, attendee.device, { type: 'peer-offline', file: presence.file, device: attendee.device });
    this.#forgetUnused(presence);
  }

  #unwatchOne(attendee: Attendee, presence: FilePresence): void {
    this.#attendances.get(attendee)?.watches.delete(presence);
    presence.watchers.delete(attendee);
    this.#forgetUnused(presence);
  }

  #tell(presence: FilePresence, about: DeviceId, push: Push): void {
    for (const watcher of presence.watchers) if (watcher.device !== about) watcher.push(push);
  }

  #presence(group: GroupId, file: FileId): FilePresence {
    const known = this.#files.get(file);
    if (known) return known;
    const presence: FilePresence = { file, group, peers: new Map(), watchers: new Set() };
    this.#files.set(file, presence);
    return presence;
  }

  #attendance(attendee: Attendee): Attendance {
    const known = this.#attendances.get(attendee);
    if (known) return known;
    const attendance: Attendance = { peer: undefined, serves: new Set(), watches: new Set() };
    this.#attendances.set(attendee, attendance);
    return attendance;
  }

  #forgetUnused(presence: FilePresence): void {
    if (presence.peers.size === 0 && presence.watchers.size === 0) this.#files.delete(presence.file);
  }

  /** At most PAGE_ITEMS_MAX of the peers, each as likely as any other (the first steps of a Fisher-Yates shuffle). */
  #some(peers: Peer[]): Peer[] {
    if (peers.length <= PAGE_ITEMS_MAX) return peers;
    for (let at = 0; at < PAGE_ITEMS_MAX; at += 1) {
      const from = at + Math.floor(this.#random() * (peers.length - at));
      const [chosen, other] = [peers[from], peers[at]];
      if (chosen && other) [peers[at], peers[from]] = [chosen, other];
    }
    return peers.slice(0, PAGE_ITEMS_MAX);
  }
}

function samePlace(one: Peer, other: Peer): boolean {
  return one.user === other.user && one.address.host === other.address.host && one.address.port === other.address.port;
}
