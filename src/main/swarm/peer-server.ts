/**
 * The serving end: accepts peers, checks their tickets, and answers their requests in the order that the upload queue
 * decides. It asks a ShareSource what we share, and reads pieces through the engine.
 *
 * A piece leaves only for a device that shows a valid ticket of the group in which the file is shared. Tickets are
 * looked at again with every request, so a ticket's end or a membership's end stops a running transfer.
 */

import type { Bitfield } from '../../protocol/bitfield.ts';
import { decodeCbor, encodeCbor } from '../../protocol/cbor.ts';
import { ProtocolViolation, RequestError } from '../../protocol/errors.ts';
import { encodeFrame, type Frame, FrameType, writeHeader } from '../../protocol/frame.ts';
import type { FileId, GroupId, TrackerId, UserId } from '../../protocol/ids.ts';
import {
  CHANNELS_PER_LINK_MAX,
  CLOCK_AHEAD_MS_MAX,
  HEARTBEAT_MS,
  MIB,
  REQUESTS_PER_CHANNEL_MAX,
  SILENCE_MS_MAX,
  TICKET_LIFETIME_MS,
} from '../../protocol/limits.ts';
import { OPENED_COMPLETE, openSchema } from '../../protocol/messages.ts';
import { signedSchema } from '../../protocol/signed.ts';
import { openTicket, type Ticket } from '../../protocol/ticket.ts';
import type { Address } from '../../protocol/tracker-info.ts';
import type { Content } from '../engine/content.ts';
import type { Slot, Slots } from '../engine/slots.ts';
import type { Connection, ConnectionHandler } from '../net/connection.ts';
import type { Identity } from '../net/identity.ts';
import { type Listener, listen } from '../net/tls.ts';
import type { Clock } from '../support/clock.ts';
import type { Logger } from '../support/logger.ts';
import { TokenBucket } from './token-bucket.ts';
import { Copies, UploadQueue, type UploadRequest } from './upload-queue.ts';

/** A file that we serve, open; whole or as far as it has come. */
export interface Served {
  readonly content: Content;
  readonly have: Bitfield;
  /** Calls back for each further piece; returns how to stop listening. */
  onHave(listener: (index: number) => void): () => void;
  /** The disk no longer holds a piece as it was verified. */
  damaged(index: number): void;
  /** The file could not be read at all. */
  failed(error: Error): void;
  /** Said once, when the last request is done. */
  release(): void;
}

export interface ShareSource {
  /** Throws RequestError('not-shared') with the reason. */
  open(group: GroupId, file: FileId): Promise<Served>;
}

interface ServedChannel {
  readonly id: number;
  readonly group: GroupId;
  readonly file: FileId;
  readonly served: Served;
  /** In common to all channels of the file. */
  readonly copies: Copies;
  readonly stopHaves: () => void;
  inProcess: number;
  closed: boolean;
}

interface Visitor {
  readonly connection: Connection;
  readonly tickets: Map<GroupId, Ticket>;
  readonly channels: Map<number, ServedChannel>;
  /** Channels whose file is being opened, by which Open; those closed meanwhile are taken out again. */
  readonly opening: Map<number, symbol>;
  /** Files being opened for it, wanted still or not. */
  openings: number;
  /** Bytes of the pieces in its socket, oldest first, and when the last one had left or the first one came. */
  readonly sending: number[];
  sendingSinceMs: number;
  readonly arrivedMs: number;
}

const VISITORS_MAX = 1024;
/** A piece that leaves slower than this, after a silence's time, is not read at all: its slots are needed elsewhere. */
const SENDING_BYTES_PER_MS_MIN = 64;
/** Bytes that one peer may hold in slots: enough for its socket and the disk to work at once. */
const IN_PROCESS_BYTES_MAX = 4 * MIB;

export class PeerServer {
  readonly #options: PeerServerOptions;
  readonly #visitors = new Set<Visitor>();
  readonly #queue = new UploadQueue<Visitor>({
    waitingMax: REQUESTS_PER_CHANNEL_MAX * CHANNELS_PER_LINK_MAX,
    inProcessBytesMax: IN_PROCESS_BYTES_MAX,
  });
  readonly #limit: TokenBucket;
  #listener: Listener | undefined;
  #stopWaiting: (() => void) | undefined;
  #sentBytes = 0;
  /** When members were removed, by group and user: tickets from before count no more, however long they say. */
  readonly #revokedMs = new Map<string, number>();
  #withdrawals = 0;
  readonly #underWay = new Set<Promise<void>>();
  readonly #stopLooking: () => void;
  #closed = false;

  private constructor(options: PeerServerOptions) {
    this.#options = options;
    this.#limit = new TokenBucket(options.bytesPerSecondMax, options.clock.monotonicMs());
    this.#stopLooking = options.clock.every(HEARTBEAT_MS, () => this.#lookAround());
  }

  /** Throws RequestError('port-taken'). */
  static async start(options: PeerServerOptions): Promise<PeerServer> {
    const server = new PeerServer(options);
    try {
      server.#listener = await listen({
        address: options.address,
        identity: options.identity,
        protocol: 'p2pfs-peer/1',
        connectionsMax: VISITORS_MAX,
        accept: (connection) => server.#enter(connection),
      });
    } catch (error) {
      server.#stopLooking();
      throw error;
    }
    return server;
  }

  get address(): Address {
    return this.#listener?.address ?? this.#options.address;
  }

  /** Bytes of pieces sent since the start. */
  get sentBytes(): number {
    return this.#sentBytes;
  }

  /** Peers that have files of ours open. */
  get servedPeers(): number {
    return [...this.#visitors].filter(({ channels }) => channels.size > 0).length;
  }

  /** Somebody is no member of a group any more: what runs for them in it ends now. */
  revoke(group: GroupId, user: UserId): void {
    this.#revokedMs.set(`${group}/${user}`, this.#options.clock.nowMs());
    for (const visitor of this.#visitors) {
      if (visitor.tickets.get(group)?.user !== user) continue;
      visitor.tickets.delete(group);
      this.#closeGroup(visitor, group, new RequestError('no-ticket', 'you are not a member of the group any more'));
    }
  }

  /** We stop serving a file, or a whole group. */
  withdraw(matches: (group: GroupId, content: Content) => boolean): void {
    this.#withdrawals += 1;
    for (const visitor of this.#visitors) {
      for (const channel of [...visitor.channels.values()]) {
        if (!matches(channel.group, channel.served.content)) continue;
        this.#refuse(visitor, channel.id, new RequestError('not-shared', 'the file is not shared any more'));
        this.#closeChannel(visitor, channel);
      }
    }
  }

  /** Hangs up on everybody; resolves when nothing is read or sent any more. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopLooking();
    this.#stopWaiting?.();
    await this.#listener?.close();
    await Promise.all(this.#underWay);
  }

  #enter(connection: Connection): ConnectionHandler {
    // A device has one connection: an older one is dead, or was left behind, or seeks more than its share.
    for (const other of this.#visitors) if (other.connection.peerId === connection.peerId) other.connection.close();
    const nowMs = this.#options.clock.monotonicMs();
    const visitor: Visitor = {
      connection,
      tickets: new Map(),
      channels: new Map(),
      opening: new Map(),
      openings: 0,
      sending: [],
      sendingSinceMs: nowMs,
      arrivedMs: nowMs,
    };
    this.#visitors.add(visitor);
    this.#queue.addPeer(visitor);
    return {
      frame: (frame) => this.#frame(visitor, frame),
      closed: (error) => this.#leave(visitor, error),
    };
  }

  /** Time has passed: strangers and those who don't read what they asked for are hung up on. */
  #lookAround(): void {
    const nowMs = this.#options.clock.monotonicMs();
    for (const { connection, tickets, sending, sendingSinceMs, arrivedMs } of this.#visitors) {
      const [bytes] = sending;
      if (bytes !== undefined && nowMs - sendingSinceMs > SILENCE_MS_MAX + bytes / SENDING_BYTES_PER_MS_MIN) {
        connection.close();
      } else if (tickets.size === 0 && nowMs - arrivedMs >= SILENCE_MS_MAX) {
        connection.close(new RequestError('no-ticket', 'no ticket was shown'));
      }
    }
    const forgetMs = this.#options.clock.nowMs() - TICKET_LIFETIME_MS - CLOCK_AHEAD_MS_MAX;
    for (const [who, revokedMs] of this.#revokedMs) if (revokedMs < forgetMs) this.#revokedMs.delete(who);
  }

  /** Work that close() waits for. Should it fail, that is a fault of ours, and stops the process. */
  #follow(work: Promise<void>): void {
    this.#underWay.add(work);
    void work.finally(() => this.#underWay.delete(work));
  }

  #frame(visitor: Visitor, frame: Frame): void {
    switch (frame.type) {
      case FrameType.Ticket:
        this.#takeTicket(visitor, frame);
        return;
      case FrameType.Open:
        this.#open(visitor, frame);
        return;
      case FrameType.Request:
        this.#request(visitor, frame);
        return;
      case FrameType.Cancel:
        if (this.#queue.cancel(visitor, frame.id, frame.aux)) this.#reject(visitor, frame.id, frame.aux);
        return;
      case FrameType.Close: {
        visitor.opening.delete(frame.id);
        const channel = visitor.channels.get(frame.id);
        if (channel) this.#closeChannel(visitor, channel);
        return;
      }
      default:
        throw new ProtocolViolation(`frame type ${frame.type} from a downloading peer`);
    }
  }

  #takeTicket(visitor: Visitor, frame: Frame): void {
    const signed = decodeCbor(signedSchema, frame.body, 'ticket');
    const { clock, trusts } = this.#options;
    try {
      const ticket = openTicket(signed, trusts, clock.nowMs());
      if (ticket.device !== visitor.connection.peerId) {
        throw new RequestError('no-ticket', 'the ticket is for another device');
      }
      if (!ticket.rights.includes('read')) throw new RequestError('no-ticket', 'the ticket does not let you read');
      if (ticket.issuedMs <= (this.#revokedMs.get(`${ticket.group}/${ticket.user}`) ?? Number.NEGATIVE_INFINITY)) {
        throw new RequestError('no-ticket', 'you are not a member of the group any more');
      }
      visitor.tickets.set(ticket.group, ticket);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.#options.logger.warn({ device: visitor.connection.peerId, reason: error.message }, 'ticket refused');
      visitor.connection.close(error);
    }
  }

  #open(visitor: Visitor, frame: Frame): void {
    const { group, file } = decodeCbor(openSchema, frame.body, 'open');
    const { id } = frame;
    if (visitor.channels.has(id) || visitor.opening.has(id)) throw new ProtocolViolation('a channel is open already');
    if (visitor.channels.size + visitor.openings >= CHANNELS_PER_LINK_MAX) {
      throw new ProtocolViolation('too many channels');
    }
    const attempt = Symbol('open');
    visitor.opening.set(id, attempt);
    this.#follow(this.#openShare(visitor, id, attempt, group, file));
  }

  async #openShare(visitor: Visitor, id: number, attempt: symbol, group: GroupId, file: FileId): Promise<void> {
    /** False when the channel was closed meanwhile, or opened anew. */
    const isWanted = () => visitor.opening.get(id) === attempt && visitor.opening.delete(id);
    const withdrawals = this.#withdrawals;
    let served: Served | undefined;
    visitor.openings += 1;
    try {
      this.#checkTicket(visitor, group);
      served = await this.#options.shares.open(group, file);
      this.#checkTicket(visitor, group);
      if (withdrawals !== this.#withdrawals) throw new RequestError('not-shared', 'what is shared here has changed');
    } catch (error) {
      served?.release();
      if (!(error instanceof RequestError)) throw error;
      if (isWanted()) this.#refuse(visitor, id, error);
      return;
    } finally {
      visitor.openings -= 1;
    }
    if (!isWanted() || visitor.connection.isClosed) {
      served.release();
      return;
    }
    const stopHaves = served.onHave((index) => {
      visitor.connection.send(encodeFrame(FrameType.Have, { id, aux: index }));
    });
    const { have } = served;
    const copies = this.#copiesOf(group, file) ?? new Copies(have.length);
    visitor.channels.set(id, { id, group, file, served, copies, stopHaves, inProcess: 0, closed: false });
    const fields = { id, aux: have.length };
    visitor.connection.send(
      have.complete
        ? encodeFrame(FrameType.Opened, { ...fields, flags: OPENED_COMPLETE })
        : encodeFrame(FrameType.Opened, { ...fields, body: have.toBytes() }),
    );
  }

  /** What was sent of a file to those that have it open now. */
  #copiesOf(group: GroupId, file: FileId): Copies | undefined {
    for (const visitor of this.#visitors)
      for (const channel of visitor.channels.values())
        if (channel.group === group && channel.file === file) return channel.copies;
    return undefined;
  }

  #request(visitor: Visitor, { id, aux: index }: Frame): void {
    const channel = visitor.channels.get(id);
    // The channel was refused or withdrawn while the request was on its way: the peer has heard, or will.
    if (!channel) return;
    if (!channel.served.have.has(index)) {
      channel.served.content.tree.place(index);
      this.#reject(visitor, id, index);
      return;
    }
    try {
      this.#checkTicket(visitor, channel.group);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.#closeGroup(visitor, channel.group, error);
      return;
    }
    const bytes = channel.served.content.tree.place(index).lengthBytes;
    this.#queue.add(visitor, { channel: id, index, bytes, copies: channel.copies });
    this.#pump();
  }

  #checkTicket(visitor: Visitor, group: GroupId): void {
    const ticket = visitor.tickets.get(group);
    if (!ticket) throw new RequestError('no-ticket', 'no ticket for this group was shown');
    if (ticket.expiresMs <= this.#options.clock.nowMs()) throw new RequestError('no-ticket', 'the ticket has expired');
  }

  /** Serves as long as there is a request and a slot; where there is none, goes on when one comes free. */
  #pump(): void {
    if (this.#stopWaiting || this.#closed) return;
    for (let next = this.#queue.peek(); next; next = this.#queue.peek()) {
      const { slots } = this.#options;
      const channel = next.peer.channels.get(next.request.channel);
      if (!channel) {
        this.#queue.cancel(next.peer, next.request.channel, next.request.index);
        continue;
      }
      const pieceBytes = channel.served.content.tree.pieceSizeBytes;
      const waitMs = this.#limit.waitMs(this.#options.clock.monotonicMs());
      if (waitMs > 0) {
        this.#pumpLater((go) => this.#options.clock.after(waitMs, go));
        return;
      }
      const slot = slots.tryTake('upload', pieceBytes);
      if (!slot) {
        this.#pumpLater((go) =>
          slots.wait('upload', pieceBytes, (free) => {
            slots.release(free);
            go();
          }),
        );
        return;
      }
      this.#queue.take();
      this.#limit.spend(next.request.bytes, this.#options.clock.monotonicMs());
      this.#follow(this.#serve(next.peer, channel, next.request, slot));
    }
  }

  /** One reason to wait at a time; `begin` starts waiting and returns how to stop. */
  #pumpLater(begin: (go: () => void) => () => void): void {
    this.#stopWaiting = begin(() => {
      this.#stopWaiting = undefined;
      this.#pump();
    });
  }

  async #serve(visitor: Visitor, channel: ServedChannel, request: UploadRequest, slot: Slot): Promise<void> {
    channel.inProcess += 1;
    const { served } = channel;
    let right = false;
    try {
      right = await served.content.read(request.index, slot);
      if (!right) served.damaged(request.index);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      served.failed(error);
    }
    if (right && !channel.closed) await this.#send(visitor, request, slot);
    else if (!channel.closed) this.#reject(visitor, channel.id, request.index);
    this.#options.slots.release(slot);
    this.#queue.finished(visitor, request);
    channel.inProcess -= 1;
    this.#releaseWhenDone(channel);
    this.#pump();
  }

  /** Resolves when the piece has left, or never will: the slot is the caller's again. */
  async #send(visitor: Visitor, { channel: id, index: aux, bytes }: UploadRequest, slot: Slot): Promise<void> {
    const { clock } = this.#options;
    const memory = slot.frame(bytes);
    writeHeader(memory, 0, { lengthBytes: bytes, type: FrameType.Piece, flags: 0, id, aux });
    this.#sentBytes += bytes;
    if (visitor.sending.length === 0) visitor.sendingSinceMs = clock.monotonicMs();
    visitor.sending.push(bytes);
    await new Promise<void>((resolve) => visitor.connection.sendSlot(memory, resolve));
    visitor.sending.shift();
    visitor.sendingSinceMs = clock.monotonicMs();
  }

  #reject(visitor: Visitor, channel: number, index: number): void {
    visitor.connection.send(encodeFrame(FrameType.Reject, { id: channel, aux: index }));
  }

  #refuse(visitor: Visitor, channel: number, error: RequestError): void {
    const body = encodeCbor({ code: error.code, message: error.message });
    visitor.connection.send(encodeFrame(FrameType.Refused, { id: channel, body }));
  }

  #closeGroup(visitor: Visitor, group: GroupId, error: RequestError): void {
    for (const channel of [...visitor.channels.values()]) {
      if (channel.group !== group) continue;
      this.#refuse(visitor, channel.id, error);
      this.#closeChannel(visitor, channel);
    }
  }

  #closeChannel(visitor: Visitor, channel: ServedChannel): void {
    // What is sent before may have ended the connection, and with it every channel.
    if (channel.closed) return;
    visitor.channels.delete(channel.id);
    this.#queue.cancelChannel(visitor, channel.id);
    channel.closed = true;
    channel.stopHaves();
    this.#releaseWhenDone(channel);
  }

  #releaseWhenDone(channel: ServedChannel): void {
    if (channel.closed && channel.inProcess === 0) channel.served.release();
  }

  #leave(visitor: Visitor, error: Error | undefined): void {
    this.#visitors.delete(visitor);
    this.#queue.removePeer(visitor);
    visitor.opening.clear();
    for (const channel of [...visitor.channels.values()]) this.#closeChannel(visitor, channel);
    if (error instanceof ProtocolViolation) {
      this.#options.logger.warn(
        { device: visitor.connection.peerId, reason: error.message },
        'peer broke the protocol',
      );
    }
    this.#pump();
  }
}

export interface PeerServerOptions {
  readonly address: Address;
  readonly identity: Identity;
  readonly slots: Slots;
  readonly shares: ShareSource;
  /** Undefined: as fast as it goes. */
  readonly bytesPerSecondMax?: number | undefined;
  /** Whether a tracker's signature counts. */
  trusts(tracker: TrackerId): boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}
