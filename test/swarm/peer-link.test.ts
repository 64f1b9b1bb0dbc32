/**
 * The downloading end of a peer connection, over real TLS, against serving peers made by hand: what a good one says, and
 * everything a bad one can. Whatever happens, each slot comes back exactly once.
 */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Slot, Slots } from '../../src/main/engine/slots.ts';
import { newIdentity } from '../../src/main/net/identity.ts';
import { type Channel, PeerLink } from '../../src/main/swarm/peer-link.ts';
import type { Bitfield } from '../../src/protocol/bitfield.ts';
import { decodeCbor, encodeCbor } from '../../src/protocol/cbor.ts';
import { encodeFrame, FrameType, writeHeader } from '../../src/protocol/frame.ts';
import type { FileId } from '../../src/protocol/ids.ts';
import { KIB, MIB } from '../../src/protocol/limits.ts';
import { OPENED_COMPLETE, openSchema } from '../../src/protocol/messages.ts';
import { PieceTree } from '../../src/protocol/piece-tree.ts';
import { GROUP, USER } from '../support/keys.ts';
import { type RawEnd, RawServer } from '../support/raw-end.ts';
import { until } from '../support/until.ts';

const PIECE = 16 * KIB;
const FILE = '6'.repeat(32) as FileId;
/** 8 pieces and the level above them. */
const TREE = new PieceTree(8 * PIECE - 100, PIECE);
const LAST = 7;

type Happening =
  | { readonly type: 'opened'; readonly have: Bitfield }
  | { readonly type: 'have'; readonly index: number }
  | { readonly type: 'rejected'; readonly index: number }
  | { readonly type: 'piece'; readonly index: number; readonly slot: Slot }
  | { readonly type: 'closed'; readonly error: Error };

/** A channel, and what it tells, to be waited for. */
class Watched {
  readonly channel: Channel;
  readonly happenings: Happening[] = [];
  #wake = Promise.withResolvers<void>();

  constructor(link: PeerLink, file = FILE) {
    const tell = (happening: Happening) => {
      this.happenings.push(happening);
      this.#wake.resolve();
      this.#wake = Promise.withResolvers();
    };
    this.channel = link.open(GROUP, file, TREE, {
      opened: (have) => tell({ type: 'opened', have }),
      have: (index) => tell({ type: 'have', index }),
      piece: (index, slot) => tell({ type: 'piece', index, slot }),
      rejected: (index) => tell({ type: 'rejected', index }),
      closed: (error) => tell({ type: 'closed', error }),
    });
  }

  async next<T extends Happening['type']>(type: T): Promise<Extract<Happening, { type: T }>> {
    for (;;) {
      const at = this.happenings.findIndex((happening) => happening.type === type);
      const [found] = at < 0 ? [] : this.happenings.splice(at, 1);
      if (found) return found as Extract<Happening, { type: T }>;
      await this.#wake.promise;
    }
  }
}

vi.setConfig({ testTimeout: 10_000 });

let server: RawServer;
let slots: Slots;
let link: PeerLink;
let peer: RawEnd;
let linkEnded: Promise<void>;

beforeEach(async () => {
  server = await RawServer.start();
  slots = new Slots(4 * MIB);
  const ended = Promise.withResolvers<void>();
  linkEnded = ended.promise;
  const accepted = server.accepted();
  link = await PeerLink.dial({
    peer: { device: server.identity.id, user: USER, userName: 'swas', address: server.address },
    identity: await newIdentity(),
    slots,
    signal: new AbortController().signal,
    onEnd: () => ended.resolve(),
  });
  peer = await accepted;
});
afterEach(async () => {
  link.close();
  await server.close();
});

const takeSlot = () => {
  const slot = slots.tryTake('download', PIECE);
  if (!slot) throw new Error('a slot is free');
  return slot;
};
const held = () => slots.heldBytes('download');

function ask(watched: Watched, index: number): void {
  watched.channel.request(index, takeSlot());
}

function pieceFrame(channel: number, index: number, lengthBytes = TREE.place(index).lengthBytes, fill = index + 1) {
  return encodeFrame(FrameType.Piece, { id: channel, aux: index, body: new Uint8Array(lengthBytes).fill(fill) });
}

const opened = (id: number) => encodeFrame(FrameType.Opened, { id, aux: TREE.pieceCount, flags: OPENED_COMPLETE });

function header(fields: { lengthBytes?: number; type: number; flags?: number; id?: number; aux?: number }): Buffer {
  const bytes = Buffer.alloc(16);
  writeHeader(bytes, 0, { lengthBytes: 0, flags: 0, id: 0, aux: 0, ...fields });
  return bytes;
}

/** A channel with requests for these pieces open, and the peer has heard of them. */
async function openWith(...indexes: number[]): Promise<{ watched: Watched; id: number }> {
  const watched = new Watched(link);
  const { id } = await peer.next(FrameType.Open);
  peer.send(opened(id));
  await watched.next('opened');
  for (const index of indexes) ask(watched, index);
  for (const index of indexes) expect((await peer.next(FrameType.Request)).aux).toBe(index);
  return { watched, id };
}

describe('a serving peer', () => {
  it('is asked for a file of a group, says what it has, and sends pieces into the slots given', async () => {
    const watched = new Watched(link);
    const open = await peer.next(FrameType.Open);
    expect(decodeCbor(openSchema, open.body, 'open')).toEqual({ group: GROUP, file: FILE });
    peer.send(encodeFrame(FrameType.Opened, { id: open.id, aux: 9, body: Uint8Array.of(0b1000_0001, 0b1000_0000) }));
    const { have } = await watched.next('opened');
    expect([have.count, have.has(0), have.has(7), have.has(8)]).toEqual([3, true, true, true]);
    const slot = takeSlot();
    watched.channel.request(LAST, slot);
    expect(await peer.next(FrameType.Request)).toMatchObject({ id: open.id, aux: LAST });
    expect(watched.channel.awaits(LAST)).toBe(true);
    peer.send(pieceFrame(open.id, LAST));
    const piece = await watched.next('piece');
    expect(piece.slot).toBe(slot);
    expect(watched.channel.awaits(LAST)).toBe(false);
    const { lengthBytes } = TREE.place(LAST);
    expect(slot.body(lengthBytes).every((byte) => byte === LAST + 1)).toBe(true);
    slots.release(piece.slot);
    expect(held()).toBe(0);
  });

  it('tells of further pieces, and rejects what it will not send', async () => {
    const { watched, id } = await openWith(3);
    peer.send(encodeFrame(FrameType.Have, { id, aux: 5 }), encodeFrame(FrameType.Reject, { id, aux: 3 }));
    expect((await watched.next('have')).index).toBe(5);
    expect((await watched.next('rejected')).index).toBe(3);
    expect(held()).toBe(0);
  });

  it('may refuse the file, with a reason; slots come back and other channels live on', async () => {
    const first = await openWith(1, 2);
    const second = new Watched(link);
    const { id } = await peer.next(FrameType.Open);
    const reason = encodeCbor({ code: 'not-shared', message: 'it is gone' });
    peer.send(encodeFrame(FrameType.Refused, { id: first.id, body: reason }));
    expect((await first.watched.next('closed')).error).toMatchObject({ code: 'not-shared', message: 'it is gone' });
    expect(held()).toBe(0);
    peer.send(opened(id));
    await second.next('opened');
    expect(link.isIdle).toBe(false);
    second.channel.close();
    expect(link.isIdle).toBe(true);
  });

  it('answers a cancel with a rejection or the piece, and only then is the slot free', async () => {
    const { watched, id } = await openWith(1, 2);
    watched.channel.cancel(1);
    watched.channel.cancel(2);
    expect((await peer.next(FrameType.Cancel)).aux).toBe(1);
    expect(held()).toBeGreaterThan(0);
    peer.send(pieceFrame(id, 1), encodeFrame(FrameType.Reject, { id, aux: 2 }));
    slots.release((await watched.next('piece')).slot);
    expect((await watched.next('rejected')).index).toBe(2);
    expect(held()).toBe(0);
    // Nothing is cancelled that is not open.
    watched.channel.cancel(1);
    watched.channel.close();
    await peer.next(FrameType.Close);
    expect(peer.count(FrameType.Cancel)).toBe(1);
  });

  it('that is another device than the tracker said is not spoken to', async () => {
    const dialled = PeerLink.dial({
      peer: { device: (await newIdentity()).id, user: USER, userName: 'swas', address: server.address },
      identity: await newIdentity(),
      slots,
      signal: new AbortController().signal,
      onEnd: () => {},
    });
    await expect(dialled).rejects.toMatchObject({ code: 'pin-mismatch' });
  });
});

describe('a channel that is closed while its pieces are on their way', () => {
  it('gives back the slots at once, but for the one that the socket is filling', async () => {
    const { watched, id } = await openWith(1, 2, 3);
    const whole = pieceFrame(id, 1);
    const other = new Watched(link, '7'.repeat(32) as FileId);
    const { id: otherId } = await peer.next(FrameType.Open);
    peer.send(opened(otherId), whole.subarray(0, 8000));
    await until(() => link.receivedBytes > 0);
    const ofThree = held();
    watched.channel.close();
    expect(held()).toBe(ofThree / 3);
    // The rest, and pieces that crossed with the close, fall on the floor.
    peer.send(whole.subarray(8000), pieceFrame(id, 2), encodeFrame(FrameType.Have, { id, aux: 4 }));
    peer.send(encodeFrame(FrameType.Have, { id: otherId, aux: 6 }));
    expect((await other.next('have')).index).toBe(6);
    expect(held()).toBe(0);
    expect(watched.happenings).toEqual([]);
  });

  it('gives back the one the socket is filling when the connection ends instead', async () => {
    const { watched, id } = await openWith(1, 2, 3);
    peer.send(pieceFrame(id, 1).subarray(0, 8000));
    await until(() => link.receivedBytes > 0);
    watched.channel.close();
    await peer.next(FrameType.Close);
    peer.connection.close();
    await linkEnded;
    expect(held()).toBe(0);
    expect(watched.happenings.filter(({ type }) => type === 'closed')).toEqual([]);
  });

  it('hears that the peer is gone, once, and its slots come back', async () => {
    const { watched, id } = await openWith(1, 2, 3);
    peer.send(pieceFrame(id, 1).subarray(0, 8000));
    peer.connection.close();
    const { error } = await watched.next('closed');
    expect(error).toBeInstanceOf(Error);
    expect(held()).toBe(0);
    await linkEnded;
    watched.channel.close();
    link.close();
    expect(watched.happenings).toEqual([]);
  });

  it('on a link that has ended hears so', async () => {
    link.close();
    await linkEnded;
    const watched = new Watched(link);
    expect((await watched.next('closed')).error).toBeInstanceOf(Error);
  });

  it('may be asked for more while its slots come back one by one, and those come back too', async () => {
    const { watched } = await openWith(1, 2, 3);
    const rest: Slot[] = [];
    for (let slot = slots.tryTake('download', PIECE); slot; slot = slots.tryTake('download', PIECE)) rest.push(slot);
    // Somebody waits for slots and, not knowing yet that the channel ends, asks it for more.
    for (const index of [4, 5]) {
      slots.wait('download', PIECE, (slot) => watched.channel.request(index, slot));
    }
    peer.connection.close();
    await watched.next('closed');
    for (const slot of rest) slots.release(slot);
    expect(held()).toBe(0);
  });
});

describe('a peer that breaks the protocol', () => {
  type Misdeed = (id: number) => Uint8Array;
  const bitfield = (count: number, bytes: Uint8Array): Misdeed => {
    return (id) => encodeFrame(FrameType.Opened, { id, aux: count, body: bytes });
  };
  const misdeeds: readonly (readonly [string, Misdeed])[] = [
    ['a piece that was not asked for', (id) => pieceFrame(id, 5)],
    ['a piece a second time', (id) => Buffer.concat([pieceFrame(id, 1), pieceFrame(id, 1)])],
    ['a piece that is too short', (id) => pieceFrame(id, 1, PIECE - 1)],
    ['a piece that is too long', (id) => pieceFrame(id, 1, PIECE + 1)],
    ['a piece of no bytes', (id) => header({ type: FrameType.Piece, id, aux: 1 })],
    ['a piece past the end', (id) => pieceFrame(id, TREE.pieceCount, PIECE)],
    ['a piece on a channel that was never opened', (id) => pieceFrame(id + 1, 1)],
    ['the largest piece there can be', (id) => header({ type: FrameType.Piece, lengthBytes: 16 * MIB, id, aux: 1 })],
    ['a piece larger than any', (id) => header({ type: FrameType.Piece, lengthBytes: 0xffff_ffff, id, aux: 1 })],
    ['a rejection of what was not asked for', (id) => encodeFrame(FrameType.Reject, { id, aux: 5 })],
    ['news of a piece past the end', (id) => encodeFrame(FrameType.Have, { id, aux: TREE.pieceCount })],
    ['news on a channel that was never opened', (id) => encodeFrame(FrameType.Have, { id: id + 1, aux: 1 })],
    ['another count of pieces', bitfield(8, Uint8Array.of(0xff))],
    ['a complete file of another count', (id) => encodeFrame(FrameType.Opened, { id, aux: 8, flags: OPENED_COMPLETE })],
    ['a bitfield that is too short', bitfield(9, Uint8Array.of(0xff))],
    ['a bitfield that is too long', bitfield(9, Uint8Array.of(0xff, 0x80, 0))],
    ['a bitfield with bits past the end', bitfield(9, Uint8Array.of(0xff, 0xc0))],
    [
      'the largest bitfield there can be',
      (id) => header({ type: FrameType.Opened, lengthBytes: 32 * MIB, id, aux: 9 }),
    ],
    ['a refusal that is not CBOR', (id) => encodeFrame(FrameType.Refused, { id, body: Uint8Array.of(0xff, 1, 2) })],
    ['a request to us', (id) => encodeFrame(FrameType.Request, { id, aux: 1 })],
    ['an answer of a tracker', (id) => encodeFrame(FrameType.Result, { id, body: encodeCbor({}) })],
    [
      'a second hello',
      () => encodeFrame(FrameType.Hello, { body: encodeCbor({ version: 1, features: [], agent: '' }) }),
    ],
    ['an unknown frame that may not be skipped', () => header({ type: 200 })],
    ['a header that is not zero where it must be', () => Buffer.from(header({ type: 1 })).fill(1, 6, 8)],
    ['garbage', () => Buffer.alloc(1000, 0xa7)],
    ['a bye that is not CBOR', () => encodeFrame(FrameType.Bye, { body: Uint8Array.of(0xff) })],
  ];

  it.each(misdeeds)('with %s is cut off, told so, and every slot comes back', async (what, misdeed) => {
    const { watched, id } = await openWith(1, 2, 3);
    const other = new Watched(link, '7'.repeat(32) as FileId);
    const { id: otherId } = await peer.next(FrameType.Open);
    expect(otherId).toBe(id + 1);
    // The channel that was never opened is one further.
    peer.send(misdeed(/never opened/.test(what) ? otherId : id));
    for (const one of [watched, other]) expect((await one.next('closed')).error.name).toBe('ProtocolViolation');
    await linkEnded;
    for (const happening of watched.happenings) if (happening.type === 'piece') slots.release(happening.slot);
    expect(held()).toBe(0);
    expect(await peer.ended).toMatchObject({ name: 'RequestError', code: 'bad-request' });
  });

  it('with frames after its channel was closed does no harm, whatever they hold', async () => {
    const { watched, id } = await openWith(1, 2);
    watched.channel.close();
    await peer.next(FrameType.Close);
    peer.send(
      pieceFrame(id, 1),
      pieceFrame(id, 5, 123),
      encodeFrame(FrameType.Reject, { id, aux: 7 }),
      encodeFrame(FrameType.Have, { id, aux: 1 }),
      encodeFrame(FrameType.Refused, { id, body: encodeCbor({ code: 'x', message: 'y' }) }),
      opened(id),
    );
    const next = await openWith(4);
    peer.send(pieceFrame(next.id, 4));
    slots.release((await next.watched.next('piece')).slot);
    expect(held()).toBe(0);
    expect(watched.happenings).toEqual([]);
  });

  it('says goodbye with a reason that is passed on', async () => {
    const { watched } = await openWith(1);
    const body = encodeCbor({ code: 'busy', message: 'come back later', hint: 'tomorrow' });
    peer.send(encodeFrame(FrameType.Bye, { body }));
    expect((await watched.next('closed')).error).toMatchObject({ code: 'busy', hint: 'tomorrow' });
    expect(held()).toBe(0);
  });

  it('is told what it did', async () => {
    const { id } = await openWith(1);
    peer.send(pieceFrame(id, 5));
    expect((await peer.ended)?.message).toBe('a piece that was not asked for');
  });
});

describe('bytes that count as a sign of work', () => {
  it('are those of pieces and rejections, not of pongs and news', async () => {
    const { watched, id } = await openWith(1, 2);
    const before = link.receivedBytes;
    link.ping();
    peer.send(encodeFrame(FrameType.Have, { id, aux: 1 }), encodeFrame(FrameType.Pong));
    await watched.next('have');
    expect(link.receivedBytes).toBe(before);
    peer.send(encodeFrame(FrameType.Reject, { id, aux: 2 }));
    await watched.next('rejected');
    const rejected = link.receivedBytes;
    expect(rejected).toBeGreaterThan(before);
    peer.send(pieceFrame(id, 1));
    slots.release((await watched.next('piece')).slot);
    expect(link.receivedBytes - rejected).toBe(PIECE);
  });
});
