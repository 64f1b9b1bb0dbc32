/**
 * What trackers are told of us and tell us of others, beside requests: which files we serve (announce), and who else
 * serves the files that we fetch (watch). Soft state: said anew on every new connection.
 */
import type { DeviceId, FileId, GroupId } from '../../protocol/ids.ts';
import { ANNOUNCE_ITEMS_MAX } from '../../protocol/limits.ts';
import type { Peer, Push } from '../../protocol/messages.ts';
import type { Address } from '../../protocol/tracker-info.ts';
import type { Logger } from '../support/logger.ts';
import type { PeerListener, PeerSource } from '../swarm/download-task.ts';
import type { TrackerSession } from './tracker-session.ts';

interface SharedFile {
  readonly group: GroupId;
  readonly file: FileId;
}

interface Watch {
  readonly group: GroupId;
  readonly listeners: Set<PeerListener>;
  readonly online: Map<DeviceId, Peer>;
}

export class Presence implements PeerSource {
  readonly #session: TrackerSession;
  readonly #address: Address;
  readonly #sharedFiles: () => readonly SharedFile[];
  readonly #logger: Logger;
  readonly #watches = new Map<FileId, Watch>();

  constructor(session: TrackerSession, address: Address, sharedFiles: () => readonly SharedFile[], logger: Logger) {
    this.#session = session;
    this.#address = address;
    this.#sharedFiles = sharedFiles;
    this.#logger = logger;
  }

  /** A connection stands and somebody is logged in: says everything again. */
  async renew(): Promise<void> {
    await this.announce(this.#sharedFiles());
    await Promise.all([...this.#watches.keys()].map((file) => this.#ask(file)));
  }

  /** Says that we serve these files; more than before is fine. Failing is no harm: renew says it again. */
  async announce(files: readonly SharedFile[]): Promise<void> {
    for (let at = 0; at === 0 || at < files.length; at += ANNOUNCE_ITEMS_MAX) {
      const shares = files.slice(at, at + ANNOUNCE_ITEMS_MAX).map(({ group, file }) => ({ group, file }));
      await this.#quietly(this.#session.call('announce', { address: this.#address, shares }));
    }
  }

  async withdraw(files: readonly FileId[]): Promise<void> {
    if (files.length > 0 && this.#session.isConnected)
      await this.#quietly(this.#session.call('withdraw', { files: [...files] }));
  }

  watch(group: GroupId, file: FileId, listener: PeerListener): { stop: () => void; ready: Promise<void> } {
    const watch = this.#watches.get(file) ?? { group, listeners: new Set(), online: new Map() };
    const isNew = !this.#watches.has(file);
    this.#watches.set(file, watch);
    watch.listeners.add(listener);
    for (const peer of watch.online.values()) listener.online(peer);
    const stop = () => {
      watch.listeners.delete(listener);
      if (watch.listeners.size > 0 || !this.#watches.delete(file) || !this.#session.isConnected) return;
      void this.#quietly(this.#session.call('unwatch_file', { file }));
    };
    return { stop, ready: isNew && this.#session.isConnected ? this.#ask(file) : Promise.resolve() };
  }

  /** Takes a push if it is about a watched file. */
  take(push: Push): void {
    if (push.type === 'peer-online') this.#online(push.file, push.peer);
    else if (push.type === 'peer-offline') this.#offline(push.file, push.device);
  }

  async #ask(file: FileId): Promise<void> {
    const watch = this.#watches.get(file);
    if (!watch) return;
    const answer = await this.#quietly(this.#session.call('watch_file', { group: watch.group, file }));
    if (!answer) return;
    const devices = new Set(answer.peers.map((peer) => peer.device));
    for (const device of [...watch.online.keys()]) if (!devices.has(device)) this.#offline(file, device);
    for (const peer of answer.peers) this.#online(file, peer);
  }

  #online(file: FileId, peer: Peer): void {
    const watch = this.#watches.get(file);
    watch?.online.set(peer.device, peer);
    for (const listener of watch?.listeners ?? []) listener.online(peer);
  }

  #offline(file: FileId, device: DeviceId): void {
    const watch = this.#watches.get(file);
    watch?.online.delete(device);
    for (const listener of watch?.listeners ?? []) listener.offline(device);
  }

  /** Undefined when it failed: with the next connection it is tried again. */
  async #quietly<T>(answer: Promise<T>): Promise<T | undefined> {
    try {
      return await answer;
    } catch (error) {
      this.#logger.debug({ reason: (error as Error).message }, 'presence not told');
      return undefined;
    }
  }
}
