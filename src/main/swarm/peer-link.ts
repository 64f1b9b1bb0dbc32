/**
 * The downloading end of a connection to one peer: channels (a file of a group each), requests, and the slots that
 * their answers are read into. A slot given to request() is this link's until the piece comes, the peer rejects it, or
 * the channel ends; then it is handed on or released, exactly once.
 *
 * The socket reads a piece straight into its slot. A peer that sends what was not asked for, or of the wrong length,
 * breaks the protocol.
 */
import { Bitfield } from '../../protocol/bitfield.ts';
import { decodeCbor, encodeCbor } from '../../protocol/cbor.ts';
import { invariant, knownErrorCode, ProtocolViolation, RequestError } from '../../protocol/errors.ts';
import { type BodyPlace, encodeFrame, type Frame, type FrameHeader, FrameType } from '../../protocol/frame.ts';
import type { DeviceId, FileId, GroupId } from '../../protocol/ids.ts';
import { FRAME_HEADER_BYTES } from '../../protocol/limits.ts';
import { failureSchema, OPENED_COMPLETE, type Peer } from '../../protocol/messages.ts';
import type { PieceTree } from '../../protocol/piece-tree.ts';
import type { Signed } from '../../protocol/signed.ts';
import type { Slot, Slots } from '../engine/slots.ts';
import type { Connection } from '../net/connection.ts';
import type { Identity } from '../net/identity.ts';
import { dial } from '../net/tls.ts';

const DIAL_MS_MAX = 10_000;

export interface ChannelHandler {
  /** The peer serves the file, and has these pieces. */
  opened(have: Bitfield): void;
  have(index: number): void;
  /** A piece fills the slot, which is the handler's from now on. */
  piece(index: number, slot: Slot): void;
  /** The peer won't send a piece; its slot is released. */
  rejected(index: number): void;
  /** Called once, unless close() was: the peer refuses the file, or the connection has ended. */
  closed(error: Error): void;
}

export class Channel {
  readonly #link: PeerLink;
  readonly id: number;
  readonly tree: PieceTree;
  readonly handler: ChannelHandler;
  /** Requests open on the wire, and the slots their pieces are read into. */
  readonly slots = new Map<number, Slot>();

  constructor(link: PeerLink, id: number, tree: PieceTree, handler: ChannelHandler) {
    this.#link = link;
    this.id = id;
    this.tree = tree;
    this.handler = handler;
  }

  /** Whether a piece is open on the wire, asked or cancelled but not answered. */
  awaits(index: number): boolean {
    return this.slots.has(index);
  }

  request(index: number, slot: Slot): void {
    invariant(!this.slots.has(index), 'a piece is asked for once');
    this.slots.set(index, slot);
    this.#link.send(encodeFrame(FrameType.Request, { id: this.id, aux: index }));
  }

  /** The peer still answers, with the piece or a rejection. */
  cancel(index: number): void {
    if (this.slots.has(index)) this.#link.send(encodeFrame(FrameType.Cancel, { id: this.id, aux: index }));
  }

  close(): void {
    this.#link.closeChannel(this);
  }
}

export class PeerLink {
  readonly device: DeviceId;
  readonly #connection: Connection;
  readonly #slots: Slots;
  readonly #channels = new Map<number, Channel>();
  #lastChannel = 0;
  /** The piece whose body is being read right now: its memory must stay, whatever happens to its channel. */
  #reading: { readonly channel: Channel; readonly index: number; readonly slot: Slot } | undefined;
  #onEnd: (() => void) | undefined;
  #ended = false;
  /** Bytes of answers that are whole, and how many had come over the connection when the piece being read began. */
  #answeredBytes = 0;
  #readingFromBytes = 0;

  private constructor(connection: Connection, slots: Slots) {
    this.#connection = connection;
    this.device = connection.peerId;
    this.#slots = slots;
  }

  /** Rejects when the peer does not answer or is not who the tracker says. */
  static async dial(options: {
    peer: Peer;
    identity: Identity;
    slots: Slots;
    signal: AbortSignal;
    onEnd: () => void;
  }): Promise<PeerLink> {
    const { peer, identity, slots, signal, onEnd } = options;
    let link: PeerLink | undefined;
    const connection = await dial({
      address: peer.address,
      identity,
      protocol: 'p2pfs-peer/1',
      trusts: (id) => id === peer.device,
      timeoutMs: DIAL_MS_MAX,
      signal,
      handler: {
        place: (header) => link?.place(header) ?? 'buffer',
        frame: (frame) => link?.frame(frame),
        closed: (error) => link?.ended(error ?? new Error('closed')),
      },
    });
    link = new PeerLink(connection, slots);
    link.#onEnd = onEnd;
    if (connection.isClosed) throw new Error('the peer closed the connection');
    return link;
  }

  /**
   * Bytes of answers to requests, also of a piece that is not whole yet: to tell a slow peer from a silent one. Pongs and
   * news of pieces don't count: a peer that sends only those serves nobody.
   */
  get receivedBytes(): number {
    const readingBytes = this.#reading ? this.#connection.receivedBytes - this.#readingFromBytes : 0;
    return this.#answeredBytes + readingBytes;
  }

  get isIdle(): boolean {
    return this.#channels.size === 0;
  }

  /** Shows a ticket, first or renewed. */
  present(ticket: Signed): void {
    this.send(encodeFrame(FrameType.Ticket, { body: encodeCbor(ticket) }));
  }

  /** Opens a channel for a file of a group whose ticket was presented. */
  open(group: GroupId, file: FileId, tree: PieceTree, handler: ChannelHandler): Channel {
    this.#lastChannel += 1;
    const channel = new Channel(this, this.#lastChannel, tree, handler);
    if (this.#ended) {
      queueMicrotask(() => handler.closed(new Error('the connection is gone')));
      return channel;
    }
    this.#channels.set(channel.id, channel);
    this.send(encodeFrame(FrameType.Open, { id: channel.id, body: encodeCbor({ group, file }) }));
    return channel;
  }

  send(frame: Uint8Array): void {
    this.#connection.send(frame);
  }

  ping(): void {
    this.#connection.ping();
  }

  closeChannel(channel: Channel): void {
    if (!this.#channels.delete(channel.id)) return;
    this.send(encodeFrame(FrameType.Close, { id: channel.id }));
    this.#releaseSlots(channel);
  }

  /** Ends the connection; channels hear of it. */
  close(): void {
    this.#connection.close();
  }

  place(header: FrameHeader): BodyPlace {
    if (header.type !== FrameType.Piece && header.type !== FrameType.Opened) return 'buffer';
    const channel = this.#channels.get(header.id);
    if (!channel) {
      if (header.id > this.#lastChannel) throw new ProtocolViolation('a frame on a channel that was never opened');
      if (header.type === FrameType.Piece) this.#answeredBytes += header.lengthBytes;
      return 'skip';
    }
    if (header.type === FrameType.Opened) {
      if (header.lengthBytes !== Math.ceil(channel.tree.pieceCount / 8)) {
        throw new ProtocolViolation('bitfield of the wrong length');
      }
      return 'buffer';
    }
    const slot = channel.slots.get(header.aux);
    if (!slot) throw new ProtocolViolation('a piece that was not asked for');
    if (header.lengthBytes !== channel.tree.place(header.aux).lengthBytes) {
      throw new ProtocolViolation(`piece ${header.aux} of ${header.lengthBytes} bytes`);
    }
    this.#reading = { channel, index: header.aux, slot };
    this.#readingFromBytes = this.#connection.receivedBytes;
    return slot.body(header.lengthBytes);
  }

  frame(frame: Frame): void {
    if (frame.type === FrameType.Piece) {
      if (frame.lengthBytes === 0) throw new ProtocolViolation('a piece of no bytes');
      this.#pieceCame();
      return;
    }
    const channel = this.#channels.get(frame.id);
    if (!channel) {
      // The answer to something that was closed meanwhile.
      if (frame.id > this.#lastChannel) throw new ProtocolViolation('a frame on a channel that was never opened');
      return;
    }
    switch (frame.type) {
      case FrameType.Opened:
        channel.handler.opened(readOpened(frame, channel.tree));
        return;
      case FrameType.Have:
        channel.tree.place(frame.aux);
        channel.handler.have(frame.aux);
        return;
      case FrameType.Reject: {
        const slot = channel.slots.get(frame.aux);
        if (!slot) throw new ProtocolViolation('a rejection of what was not asked for');
        channel.slots.delete(frame.aux);
        this.#answeredBytes += FRAME_HEADER_BYTES;
        this.#slots.release(slot);
        channel.handler.rejected(frame.aux);
        return;
      }
      case FrameType.Refused: {
        const { code, message, hint } = decodeCbor(failureSchema, frame.body, 'refusal');
        this.#channels.delete(channel.id);
        this.#releaseSlots(channel);
        channel.handler.closed(new RequestError(knownErrorCode(code), message, hint));
        return;
      }
      default:
        throw new ProtocolViolation(`frame type ${frame.type} from a serving peer`);
    }
  }

  ended(error: Error): void {
    this.#ended = true;
    const reading = this.#reading;
    this.#reading = undefined;
    if (reading && !reading.channel.slots.has(reading.index)) this.#slots.release(reading.slot);
    const channels = [...this.#channels.values()];
    this.#channels.clear();
    for (const channel of channels) {
      this.#releaseSlots(channel);
      channel.handler.closed(error);
    }
    this.#onEnd?.();
  }

  #pieceCame(): void {
    const reading = this.#reading;
    this.#reading = undefined;
    if (!reading) return;
    const { channel, index, slot } = reading;
    this.#answeredBytes += channel.tree.place(index).lengthBytes;
    if (this.#channels.get(channel.id) !== channel) {
      this.#slots.release(slot);
      return;
    }
    channel.slots.delete(index);
    channel.handler.piece(index, slot);
  }

  /** All but the one that the socket is writing into: that one ends with its piece or with the connection. */
  #releaseSlots(channel: Channel): void {
    for (const slot of channel.slots.values()) if (slot !== this.#reading?.slot) this.#slots.release(slot);
    channel.slots.clear();
  }
}

function readOpened(frame: Frame, tree: PieceTree): Bitfield {
  if (frame.aux !== tree.pieceCount) throw new ProtocolViolation(`${frame.aux} pieces, expected ${tree.pieceCount}`);
  if ((frame.flags & OPENED_COMPLETE) !== 0) return Bitfield.full(tree.pieceCount);
  return Bitfield.fromBytes(frame.body, tree.pieceCount);
}
