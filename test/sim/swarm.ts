/**
 * A virtual swarm: the picker, download and upload-queue code of the product over links with rates and latencies, on a
 * virtual clock. Deterministic: equal scenarios and seeds give equal runs, event by event.
 *
 * The network: a piece occupies its sender's uplink for bytes/up, then travels for the latency. At the receiver it takes
 * bytes/down of a downlink that it shares with all other senders, from the moment its first byte came. A sender has only so
 * many bytes under way to one receiver, as a socket has. HAVE, request, cancel and rejection take the latency alone.
 */
import { Download, type Effect } from '../../src/main/swarm/download.ts';
import type { UploadRequest } from '../../src/main/swarm/upload-queue.ts';
import { Bitfield } from '../../src/protocol/bitfield.ts';
import { invariant } from '../../src/protocol/errors.ts';
import { REQUESTS_PER_CHANNEL_MAX } from '../../src/protocol/limits.ts';
import { PieceTree } from '../../src/protocol/piece-tree.ts';
import { Host, type Link } from './host.ts';
import { boundMs, type Scenario } from './scenario.ts';
import { Timeline } from './timeline.ts';

const TICK_MS = 100;
/** Connecting takes so many ways: TCP, TLS, ticket and open, and the answer. */
const DIAL_WAYS = 6;
/** As the download task does: a link that leaves requests unanswered for so long is closed. */
export const SILENT_MS = 30_000;
const CHANNEL = 1;

export class Swarm {
  readonly tree: PieceTree;
  readonly hosts: readonly Host[];
  readonly timeline = new Timeline();
  readonly #scenario: Scenario;
  readonly #random: () => number;
  #events = 0;
  #fetching = 0;
  #wrongPieces = 0;
  #uselessPieces = 0;

  constructor(scenario: Scenario, random: () => number) {
    this.#scenario = scenario;
    this.#random = random;
    this.tree = new PieceTree(scenario.sizeBytes, scenario.pieceSizeBytes);
    const slotsMax = Math.max(1, Math.floor(scenario.slotBytes / scenario.pieceSizeBytes));
    const { pipeline } = scenario;
    this.hosts = scenario.hosts.map((spec, id) => {
      const fetches = !spec.isSeeder && spec.lies === 0;
      const download = fetches ? new Download<number>({ tree: this.tree, pipeline, random }) : undefined;
      return new Host(id, spec, slotsMax, download, this.tree.pieceCount);
    });
    // All who are there from the start know of each other before the first of them dials.
    for (const host of this.hosts) if (host.spec.joinMs === 0) this.#join(host);
    for (const host of this.hosts) {
      if (host.isOnline) this.#dialMany(host);
      else this.timeline.at(host.spec.joinMs, () => this.#comeLate(host));
      const { leave } = host.spec;
      if (leave) this.timeline.at(leave.atMs, () => this.#leave(host, leave.quietly));
    }
    this.#fetching = this.hosts.filter(({ download, spec }) => download && !spec.leave).length;
    this.timeline.after(TICK_MS, () => this.#tick());
  }

  /** Hosts that will stay and are not done yet. */
  get fetching(): number {
    return this.#fetching;
  }

  get events(): number {
    return this.#events;
  }

  /** Pieces that were wrong, and right ones that came a second time. */
  get waste(): { readonly wrong: number; readonly useless: number } {
    return { wrong: this.#wrongPieces, useless: this.#uselessPieces };
  }

  /** Lets one thing happen. */
  step(): void {
    invariant(this.timeline.step(), 'something is always to come');
    this.#events += 1;
  }

  /** Until all who stay are done, or it has taken so many times the bound. */
  run(bounds: number): void {
    const untilMs = bounds * boundMs(this.#scenario);
    while (this.#fetching > 0 && this.timeline.nowMs < untilMs) this.step();
  }

  #join(host: Host): void {
    host.isOnline = true;
    host.gainedMs = this.timeline.nowMs;
  }

  #comeLate(host: Host): void {
    this.#join(host);
    this.#dialMany(host);
    for (const other of this.hosts) {
      if (other.isFetching && other.sources.size < this.#scenario.peersMax) this.#dial(other, host);
    }
  }

  /** Connects to random others until it has as many as it may. */
  #dialMany(host: Host): void {
    if (!host.isFetching) return;
    const candidates = this.hosts.filter((other) => this.#mayDial(host, other));
    while (host.sources.size < this.#scenario.peersMax && candidates.length > 0) {
      const at = Math.floor(this.#random() * candidates.length);
      const [other] = candidates.splice(at, 1, candidates.at(-1) ?? host);
      candidates.pop();
      if (other) this.#dial(host, other);
    }
  }

  #mayDial(host: Host, other: Host): boolean {
    return other.isOnline && other !== host && !host.banned.has(other.id) && !host.sources.has(other.id);
  }

  #dial(client: Host, server: Host): void {
    if (!this.#mayDial(client, server)) return;
    const link: Link = { client, server, wire: new Set(), moving: 0, isOpen: false, isClosed: false };
    client.sources.set(server.id, link);
    this.timeline.after(DIAL_WAYS * server.spec.latencyMs, () => {
      if (link.isClosed) return;
      if (!server.isOnline) {
        this.#close(link);
        this.#dialMany(client);
        return;
      }
      link.isOpen = true;
      server.queue.addPeer(link);
      server.clients.add(link);
      const have = Bitfield.fromBytes(server.have.toBytes(), this.tree.pieceCount);
      client.download?.addPeer(server.id, have, this.timeline.nowMs);
      this.#ask(link);
    });
  }

  /** Either end hangs up; what is on the wire comes to nothing. */
  #close(link: Link): void {
    if (link.isClosed) return;
    link.isClosed = true;
    const { client, server } = link;
    client.slotsUsed -= link.wire.size;
    link.wire.clear();
    client.sources.delete(server.id);
    if (!link.isOpen) return;
    server.queue.removePeer(link);
    server.clients.delete(link);
    client.download?.removePeer(server.id);
  }

  #leave(host: Host, quietly: boolean): void {
    host.isOnline = false;
    for (const link of [...host.sources.values()]) this.#close(link);
    const drop = () => {
      for (const link of [...host.clients]) {
        this.#close(link);
        this.#dialMany(link.client);
        this.#askAll(link.client);
      }
    };
    if (quietly) this.timeline.after(SILENT_MS, drop);
    else drop();
  }

  /** Asks every peer for as much as it should have on its way, in turns, as long as there are slots. */
  #askAll(host: Host): void {
    let busy = [...host.sources.values()].filter(({ isOpen }) => isOpen);
    while (busy.length > 0) busy = busy.filter((link) => this.#askOne(link));
  }

  #ask(link: Link): void {
    while (this.#askOne(link));
  }

  #askOne(link: Link): boolean {
    const { client, server } = link;
    const { download } = client;
    if (!download || !client.isFetching || link.isClosed || client.slotsUsed >= client.slotsMax) return false;
    const index = download.next(server.id, this.timeline.nowMs);
    if (index === undefined) return false;
    if (link.wire.has(index)) {
      download.unsent(server.id, index);
      return false;
    }
    invariant(server.have.has(index), `host ${client.id} asks ${server.id} for piece ${index}, which it lacks`);
    link.wire.add(index);
    client.slotsUsed += 1;
    invariant(link.wire.size <= REQUESTS_PER_CHANNEL_MAX, `host ${client.id} asks too much of ${server.id} at once`);
    this.timeline.after(server.spec.latencyMs, () => this.#requested(link, index));
    return true;
  }

  #requested(link: Link, index: number): void {
    const { server } = link;
    if (link.isClosed || !server.isOnline) return;
    const bytes = this.tree.place(index).lengthBytes;
    server.queue.add(link, { channel: CHANNEL, index, bytes, copies: server.copies });
    this.#serve(server);
  }

  /** Sends the next piece when the uplink is free. */
  #serve(host: Host): void {
    if (host.uplinkBusy || !host.isOnline) return;
    const next = host.queue.take();
    if (!next) return;
    const { peer: link, request } = next;
    const startMs = this.timeline.nowMs;
    host.uplinkBusy = true;
    link.moving += 1;
    this.timeline.after(request.bytes / host.spec.upBytesPerMs, () => {
      host.uplinkBusy = false;
      host.sentBytes += request.bytes;
      this.#travel(link, request, startMs);
      this.#serve(host);
    });
  }

  #travel(link: Link, request: UploadRequest, startMs: number): void {
    const { client, server } = link;
    const { latencyMs } = server.spec;
    const receivingMs = request.bytes / client.spec.downBytesPerMs;
    client.downlinkFreeMs = Math.max(client.downlinkFreeMs, startMs + latencyMs) + receivingMs;
    this.timeline.at(Math.max(this.timeline.nowMs + latencyMs, client.downlinkFreeMs), () => {
      link.moving -= 1;
      server.queue.finished(link, request);
      this.#serve(server);
      if (server.isOnline) this.#arrived(link, request);
    });
  }

  #arrived(link: Link, { index, bytes }: UploadRequest): void {
    const { client, server } = link;
    const { download } = client;
    if (!download || !client.isOnline || !link.wire.delete(index)) return;
    client.receivedBytes += bytes;
    if (!download.arrived(server.id, index, this.timeline.nowMs)) {
      this.#uselessPieces += 1;
      client.slotsUsed -= 1;
      this.#askAll(client);
      return;
    }
    const right = server.spec.lies === 0 || this.#random() >= server.spec.lies;
    this.timeline.after(this.#scenario.verifyMs, () => this.#checked(client, server, index, right));
    this.#ask(link);
  }

  #checked(client: Host, server: Host, index: number, right: boolean): void {
    const { download } = client;
    client.slotsUsed -= 1;
    if (!download || !client.isOnline) return;
    if (right) {
      client.rightPieces += 1;
      client.gainedMs = this.timeline.nowMs;
      this.#apply(client, download.kept(server.id, index));
      this.timeline.after(client.spec.latencyMs, () => this.#announce(client, index));
    } else {
      this.#wrongPieces += 1;
      this.#apply(client, download.wrong(server.id, index));
    }
    if (client.isFetching) this.#askAll(client);
  }

  #announce(host: Host, index: number): void {
    for (const link of host.clients) {
      if (!link.client.isFetching) continue;
      link.client.download?.peerGained(host.id, index);
      this.#ask(link);
    }
  }

  #apply(host: Host, effects: readonly Effect<number>[]): void {
    for (const effect of effects) {
      if (effect.type === 'complete') this.#complete(host);
      else if (effect.type === 'cancel') this.#cancel(host.sources.get(effect.peer), effect.index);
      else {
        host.banned.add(effect.peer);
        const link = host.sources.get(effect.peer);
        if (link) this.#close(link);
        this.#dialMany(host);
      }
    }
  }

  #cancel(link: Link | undefined, index: number): void {
    if (!link) return;
    const { client, server } = link;
    this.timeline.after(server.spec.latencyMs, () => {
      if (link.isClosed || !server.isOnline || !server.queue.cancel(link, CHANNEL, index)) return;
      this.timeline.after(server.spec.latencyMs, () => {
        if (!link.wire.delete(index)) return;
        client.slotsUsed -= 1;
        this.#askAll(client);
      });
    });
  }

  #complete(host: Host): void {
    host.doneMs = this.timeline.nowMs;
    if (!host.spec.leave) this.#fetching -= 1;
    for (const link of [...host.sources.values()]) this.#close(link);
  }

  #tick(): void {
    const { nowMs } = this.timeline;
    for (const host of this.hosts) {
      const { download } = host;
      if (!download || !host.isFetching) continue;
      for (const link of host.sources.values()) {
        if (link.moving > 0 && link.server.isOnline) download.heard(link.server.id, nowMs);
      }
      this.#apply(host, download.tick(nowMs));
      this.#askAll(host);
    }
    this.timeline.after(TICK_MS, () => this.#tick());
  }
}
