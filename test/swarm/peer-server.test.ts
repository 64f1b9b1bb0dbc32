/**
 * The serving end, over real TLS and from real files, visited by peers made by hand: who is served, who is refused and
 * how, and that whatever a visitor does, slots and open files come back and the others are served.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type ContentFacts, Engine, type FileStamp } from '../../src/main/engine/engine.ts';
import { type Identity, newIdentity } from '../../src/main/net/identity.ts';
import { silentLogger } from '../../src/main/support/logger.ts';
import { PeerServer, type Served, type ShareSource } from '../../src/main/swarm/peer-server.ts';
import { Bitfield } from '../../src/protocol/bitfield.ts';
import { decodeCbor, encodeCbor } from '../../src/protocol/cbor.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import { encodeFrame, type Frame, FrameType } from '../../src/protocol/frame.ts';
import type { DeviceId, FileId, GroupId, UserId } from '../../src/protocol/ids.ts';
import { CHANNELS_PER_LINK_MAX, HEARTBEAT_MS, KIB, MIB, TICKET_LIFETIME_MS } from '../../src/protocol/limits.ts';
import { encodeHello, failureSchema, OPENED_COMPLETE } from '../../src/protocol/messages.ts';
import type { Signed } from '../../src/protocol/signed.ts';
import { issueTicket, type Ticket } from '../../src/protocol/ticket.ts';
import { newKeys, USER } from '../support/keys.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { LOOPBACK, RawEnd } from '../support/raw-end.ts';
import { until } from '../support/until.ts';

vi.setConfig({ testTimeout: 10_000 });

const GROUP_A = 'a'.repeat(32) as GroupId;
const GROUP_B = 'b'.repeat(32) as GroupId;
/** Small pieces, shared in A; the same bytes under another id in B. */
const SMALL_A = '1'.repeat(32) as FileId;
const SMALL_B = '2'.repeat(32) as FileId;
/** Large pieces, shared in A. */
const LARGE_A = '3'.repeat(32) as FileId;
const SMALL_PIECES = 40;
const LARGE_PIECES = 60;

interface OnDisk {
  readonly path: string;
  readonly bytes: Buffer;
  readonly facts: ContentFacts & FileStamp;
}

/** What is shared, from real files, and how often it was opened and let go. */
class TestShares implements ShareSource {
  readonly #files: ReadonlyMap<string, OnDisk>;
  readonly #engine: Engine;
  opened = 0;
  released = 0;
  readonly damaged: number[] = [];
  /** When set, opening waits for it. */
  gate: Promise<void> | undefined;
  /** When set, only these pieces are there so far. */
  have: Bitfield | undefined;
  readonly haveListeners = new Set<(index: number) => void>();
  #wake = Promise.withResolvers<void>();

  constructor(engine: Engine, files: ReadonlyMap<string, OnDisk>) {
    this.#engine = engine;
    this.#files = files;
  }

  async open(group: GroupId, file: FileId): Promise<Served> {
    await this.gate;
    const shared = this.#files.get(`${group}/${file}`);
    if (!shared) throw new RequestError('not-shared', 'this file is not shared here');
    const content = await this.#engine.openShare(shared.facts, shared.path, shared.facts);
    this.opened += 1;
    return {
      content,
      have: this.have ?? Bitfield.full(content.tree.pieceCount),
      onHave: (listener) => {
        this.haveListeners.add(listener);
        return () => this.haveListeners.delete(listener);
      },
      damaged: (index) => this.damaged.push(index),
      failed: () => {},
      release: () => {
        // A second release violates an invariant of the content and fails the run.
        void content.release().then(() => {
          this.released += 1;
          this.#wake.resolve();
          this.#wake = Promise.withResolvers();
        });
      },
    };
  }

  /** Until everything that was opened is let go. */
  async settled(count: number): Promise<void> {
    while (this.released < count) await this.#wake.promise;
    expect([this.opened, this.released]).toEqual([count, count]);
  }
}

const tracker = newKeys();
let directory: string;
let engine: Engine;
let files: Map<string, OnDisk>;
let identity: Identity;
let clock: ManualClock;
let shares: TestShares;
let server: PeerServer;
const ends: RawEnd[] = [];
const sockets: TLSSocket[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'p2pfs-server-'));
  engine = await Engine.start({ workers: 1, memoryBytes: 16 * MIB, treeDirectory: join(directory, 'trees') });
  identity = await newIdentity();
  const make = async (name: string, bytes: Buffer, pieceSizeBytes: number): Promise<OnDisk> => {
    const path = join(directory, name);
    await writeFile(path, bytes);
    return { path, bytes, facts: await engine.hash(path, pieceSizeBytes, () => {}) };
  };
  const small = await make('small', randomBytes(SMALL_PIECES * 16 * KIB), 16 * KIB);
  const large = await make('large', randomBytes(LARGE_PIECES * 512 * KIB), 512 * KIB);
  files = new Map([
    [`${GROUP_A}/${SMALL_A}`, small],
    [`${GROUP_B}/${SMALL_B}`, small],
    [`${GROUP_A}/${LARGE_A}`, large],
  ]);
});
afterAll(async () => {
  await engine.close();
  await rm(directory, { recursive: true });
});

beforeEach(async () => {
  clock = new ManualClock();
  shares = new TestShares(engine, files);
  server = await PeerServer.start({
    address: LOOPBACK,
    identity,
    slots: engine.slots,
    shares,
    bytesPerSecondMax: undefined,
    trusts: (id) => id === tracker.id,
    clock,
    logger: silentLogger,
  });
});
afterEach(async () => {
  for (const end of ends.splice(0)) end.connection.close();
  for (const socket of sockets.splice(0)) socket.destroy();
  await server.close();
  await shares.settled(shares.opened);
  expect(held()).toBe(0);
  // Whatever happened: nothing of the server is left in the clock.
  expect(clock.timerCount).toBe(0);
});

async function visit(as?: Identity): Promise<RawEnd> {
  const end = await RawEnd.dial(server.address, as ?? (await newIdentity()));
  end.place = () => 'buffer';
  ends.push(end);
  await end.greeted;
  return end;
}

const mine = (end: RawEnd) => devices.get(end) ?? missing();
const devices = new Map<RawEnd, DeviceId>();
function missing(): never {
  throw new Error('a device that is known');
}

/** A visitor whose device is known, so that tickets can be made for it. */
async function member(as?: Identity): Promise<RawEnd> {
  const own = as ?? (await newIdentity());
  const end = await visit(own);
  devices.set(end, own.id);
  return end;
}

function ticketFor(device: DeviceId, fields: Partial<Ticket> = {}, keys = tracker): Signed {
  return issueTicket(
    {
      user: USER,
      userName: 'swas',
      group: GROUP_A,
      device,
      rights: ['read', 'serve'],
      issuedMs: clock.nowMs(),
      expiresMs: clock.nowMs() + TICKET_LIFETIME_MS,
      ...fields,
    },
    keys,
  );
}

const show = (ticket: Signed) => encodeFrame(FrameType.Ticket, { body: encodeCbor(ticket) });
const ticket = (end: RawEnd, fields: Partial<Ticket> = {}) => show(ticketFor(mine(end), fields));
const openFrame = (id: number, file = SMALL_A, group = GROUP_A) =>
  encodeFrame(FrameType.Open, { id, body: encodeCbor({ group, file }) });
const request = (id: number, index: number) => encodeFrame(FrameType.Request, { id, aux: index });
const cancel = (id: number, index: number) => encodeFrame(FrameType.Cancel, { id, aux: index });
const closeFrame = (id: number) => encodeFrame(FrameType.Close, { id });
const refusal = (frame: Frame) => decodeCbor(failureSchema, frame.body, 'refusal');

const held = () => engine.slots.heldBytes('upload');

const requests = (id: number, count: number, from = 0) =>
  Array.from({ length: count }, (_, n) => request(id, from + n));

/** A member with the file open on channel 1. */
async function reader(file = SMALL_A, as?: Identity): Promise<RawEnd> {
  const end = await member(as);
  end.send(ticket(end), openFrame(1, file));
  await end.next(FrameType.Opened);
  return end;
}

/** This visitor gets a piece, and it is right: the server is well. */
async function expectServed(end: RawEnd, id = 1, index = 7): Promise<void> {
  end.send(request(id, index));
  const piece = await end.next(FrameType.Piece);
  expect([piece.id, piece.aux]).toEqual([id, index]);
  const bytes = files.get(`${GROUP_A}/${SMALL_A}`)?.bytes.subarray(index * 16 * KIB, (index + 1) * 16 * KIB);
  expect(Buffer.compare(piece.body, bytes ?? Buffer.alloc(0))).toBe(0);
}

/** A member that asks for a whole file and never reads an answer. */
async function deafMember(as: Identity): Promise<TLSSocket> {
  const { host, port } = server.address;
  const socket = connect({
    host,
    port,
    key: as.keyPem,
    cert: as.certPem,
    ALPNProtocols: ['p2pfs-peer/1'],
    rejectUnauthorized: false,
  });
  sockets.push(socket);
  socket.on('error', () => {});
  await new Promise<void>((resolve) => socket.once('secureConnect', resolve));
  const hello = encodeFrame(FrameType.Hello, { body: encodeHello() });
  const { opened } = shares;
  socket.write(Buffer.concat([hello, show(ticketFor(as.id)), openFrame(1, LARGE_A)]));
  await until(() => shares.opened > opened);
  socket.write(Buffer.concat(requests(1, LARGE_PIECES)));
  return socket;
}

describe('a member with a ticket', () => {
  it('is served every piece of the file, the levels above it too', async () => {
    const end = await member();
    end.send(ticket(end), openFrame(1));
    const opened = await end.next(FrameType.Opened);
    expect(opened).toMatchObject({ id: 1, aux: SMALL_PIECES + 1, flags: OPENED_COMPLETE });
    end.send(...requests(1, SMALL_PIECES + 1));
    const bytes = Buffer.alloc(SMALL_PIECES * 16 * KIB);
    for (let n = 0; n <= SMALL_PIECES; n += 1) {
      const piece = await end.next(FrameType.Piece);
      if (piece.aux < SMALL_PIECES) bytes.set(piece.body, piece.aux * 16 * KIB);
      else expect(piece.lengthBytes).toBe(SMALL_PIECES * 32);
    }
    expect(Buffer.compare(bytes, files.get(`${GROUP_A}/${SMALL_A}`)?.bytes ?? Buffer.alloc(0))).toBe(0);
    expect(server.sentBytes).toBe(SMALL_PIECES * (16 * KIB + 32));
    end.send(closeFrame(1));
    await shares.settled(1);
  });

  it('may cancel what is not on its way yet, and is answered with a rejection', async () => {
    const end = await reader(LARGE_A);
    end.send(...requests(1, 30), cancel(1, 29), cancel(1, 500), cancel(9, 1), cancel(1, 29));
    expect(await end.next(FrameType.Reject)).toMatchObject({ id: 1, aux: 29 });
    for (let n = 0; n < 29; n += 1) expect((await end.next(FrameType.Piece)).aux).toBe(n);
    expect(end.count(FrameType.Reject)).toBe(0);
  });

  it('may renew it on the open connection, and is served on', async () => {
    const end = await reader();
    await expectServed(end);
    const renewed = ticket(end, { expiresMs: clock.nowMs() + 2 * TICKET_LIFETIME_MS });
    end.send(renewed);
    // The pong tells that the ticket was taken: frames are read in order.
    await expectServed(end, 1, 8);
    clock.advance(TICKET_LIFETIME_MS + 1);
    await expectServed(end, 1, 9);
    clock.advance(TICKET_LIFETIME_MS);
    end.send(request(1, 10));
    expect(refusal(await end.next(FrameType.Refused))).toMatchObject({ code: 'no-ticket' });
    await shares.settled(1);
  });

  it('gets what there is of a file that is still coming, and hears of more', async () => {
    shares.have = new Bitfield(SMALL_PIECES + 1);
    shares.have.set(3);
    const end = await member();
    end.send(ticket(end), openFrame(1), request(1, 3), request(1, 4));
    const opened = await end.next(FrameType.Opened);
    expect(Bitfield.fromBytes(opened.body, opened.aux).count).toBe(1);
    // Those before Opened were asked of nobody.
    end.send(request(1, 4), request(1, 3));
    expect((await end.next(FrameType.Reject)).aux).toBe(4);
    expect((await end.next(FrameType.Piece)).aux).toBe(3);
    for (const listener of shares.haveListeners) listener(4);
    expect((await end.next(FrameType.Have)).aux).toBe(4);
    end.send(closeFrame(1));
    await shares.settled(1);
    expect(shares.haveListeners.size).toBe(0);
  });

  it('is told when a file is not shared any more, and asked nothing further', async () => {
    const [end, other] = [await reader(), await reader(LARGE_A)];
    const { root } = files.get(`${GROUP_A}/${SMALL_A}`)?.facts ?? missing();
    server.withdraw((group, content) => group === GROUP_A && content.root === root);
    expect(refusal(await end.next(FrameType.Refused))).toMatchObject({ code: 'not-shared' });
    await shares.settled(1).catch(() => {});
    end.send(request(1, 0));
    other.send(request(1, 0));
    await other.next(FrameType.Piece);
    expect(end.count(FrameType.Piece)).toBe(0);
  });

  it('is not sent what the disk no longer holds as it was', async () => {
    const path = join(directory, 'rotten');
    const bytes = randomBytes(4 * 16 * KIB);
    await writeFile(path, bytes);
    const facts = await engine.hash(path, 16 * KIB, () => {});
    const rotten = '4'.repeat(32) as FileId;
    files.set(`${GROUP_A}/${rotten}`, { path, bytes, facts });
    const end = await reader(rotten);
    const file = await open(path, 'r+');
    await file.write(Buffer.from('rot'), 0, 3, 16 * KIB + 5);
    await file.close();
    end.send(request(1, 1), request(1, 2));
    expect((await end.next(FrameType.Reject)).aux).toBe(1);
    expect((await end.next(FrameType.Piece)).aux).toBe(2);
    expect(shares.damaged).toEqual([1]);
  });
});

describe('a ticket', () => {
  const bad: readonly (readonly [string, (device: DeviceId) => Signed])[] = [
    ['of another device', () => ticketFor('9'.repeat(64) as DeviceId)],
    ['that has expired', (device) => ticketFor(device, { expiresMs: clock.nowMs() })],
    ['from the future', (device) => ticketFor(device, { issuedMs: clock.nowMs() + 120_000 })],
    ['of an untrusted tracker', (device) => ticketFor(device, {}, newKeys())],
    ['that does not let read', (device) => ticketFor(device, { rights: ['serve'] })],
    ['with another signature', (device) => ({ ...ticketFor(device), signature: new Uint8Array(64) })],
    ['with a signature that is none', (device) => ({ ...ticketFor(device), signature: new Uint8Array(3) })],
    ['that was altered', (device) => ({ ...ticketFor(device, { group: GROUP_B }), body: ticketFor(device).body })],
  ];

  it.each(bad)('%s is refused, and so is its bearer', async (_, make) => {
    const end = await member();
    end.send(show(make(mine(end))), openFrame(1), request(1, 1));
    expect(await end.ended).toMatchObject({ name: 'RequestError', code: 'no-ticket' });
    expect(shares.opened).toBe(0);
    await expectServed(await reader());
  });

  it('that is no ticket is a violation', async () => {
    const end = await member();
    end.send(
      encodeFrame(FrameType.Ticket, { body: encodeCbor({ body: Uint8Array.of(1), signature: Uint8Array.of(2) }) }),
    );
    expect(await end.ended).toMatchObject({ code: 'bad-request' });
  });

  it('is needed to open a file; without one, the channel alone is refused', async () => {
    const end = await member();
    end.send(openFrame(1));
    expect(refusal(await end.next(FrameType.Refused))).toMatchObject({ code: 'no-ticket' });
    end.send(ticket(end), openFrame(2));
    await end.next(FrameType.Opened);
    await expectServed(end, 2);
  });

  it('of group B opens nothing of group A, not even the same bytes', async () => {
    const end = await member();
    end.send(ticket(end, { group: GROUP_B }), openFrame(1, SMALL_A, GROUP_A), openFrame(2, SMALL_A, GROUP_B));
    const refusals = [await end.next(FrameType.Refused), await end.next(FrameType.Refused)];
    const codes = refusals.map((frame) => [frame.id, refusal(frame).code]).sort();
    expect(codes).toEqual([
      [1, 'no-ticket'],
      [2, 'not-shared'],
    ]);
    end.send(openFrame(3, SMALL_B, GROUP_B));
    expect((await end.next(FrameType.Opened)).id).toBe(3);
    expect(shares.opened).toBe(1);
  });
});

describe('a member who is removed', () => {
  const other = '9'.repeat(32) as UserId;

  it('is sent no further piece in that group, while others are', async () => {
    const [end, stays] = [await reader(LARGE_A), await member()];
    stays.send(ticket(stays, { user: other }), openFrame(1));
    await stays.next(FrameType.Opened);
    end.send(ticket(end, { group: GROUP_B }), openFrame(2, SMALL_B, GROUP_B));
    await end.next(FrameType.Opened);
    end.send(...requests(1, LARGE_PIECES));
    await end.next(FrameType.Piece);
    server.revoke(GROUP_A, USER);
    const refused = await end.next(FrameType.Refused);
    expect([refused.id, refusal(refused).code]).toEqual([1, 'no-ticket']);
    // What was in the socket already has come by now; the other group's piece follows it.
    end.send(request(2, 7));
    while ((await end.next(FrameType.Piece)).id !== 2);
    expect(server.sentBytes).toBeLessThan(LARGE_PIECES * 512 * KIB);
    await expectServed(stays);
  });

  it('can not come back with the ticket it has, here or on a new connection', async () => {
    const own = await newIdentity();
    const end = await reader(SMALL_A, own);
    const old = ticket(end);
    clock.advance(1000);
    server.revoke(GROUP_A, USER);
    await end.next(FrameType.Refused);
    end.send(old, openFrame(2));
    expect(await end.ended).toMatchObject({ code: 'no-ticket' });
    const again = await member(own);
    again.send(old, openFrame(1));
    expect(await again.ended).toMatchObject({ code: 'no-ticket' });
    // Taken in again, it gets a new ticket, and is served.
    clock.advance(1000);
    await expectServed(await reader(SMALL_A, own));
  });

  it('while its file is being opened is refused when it is', async () => {
    const gate = Promise.withResolvers<void>();
    shares.gate = gate.promise;
    const end = await member();
    end.send(ticket(end), openFrame(1), encodeFrame(FrameType.Ping));
    await expectOpening();
    server.revoke(GROUP_A, USER);
    gate.resolve();
    expect(refusal(await end.next(FrameType.Refused))).toMatchObject({ code: 'no-ticket' });
    await shares.settled(1);
  });

  it('so is one whose file is withdrawn meanwhile', async () => {
    const gate = Promise.withResolvers<void>();
    shares.gate = gate.promise;
    const end = await member();
    end.send(ticket(end), openFrame(1));
    await expectOpening();
    server.withdraw(() => true);
    gate.resolve();
    expect(refusal(await end.next(FrameType.Refused))).toMatchObject({ code: 'not-shared' });
    await shares.settled(1);
  });

  /** An Open has reached the share source. */
  async function expectOpening(): Promise<void> {
    await until(() => opening.mock.calls.length > 0);
  }
  let opening: ReturnType<typeof vi.spyOn>;
  beforeEach(() => {
    opening = vi.spyOn(shares, 'open');
  });
});

describe('a visitor that breaks the protocol', () => {
  type Misdeed = (end: RawEnd) => Uint8Array[];
  const misdeeds: readonly (readonly [string, Misdeed])[] = [
    ['asks for a piece past the end', () => [request(1, SMALL_PIECES + 1)]],
    ['asks for the highest piece there can be', () => [request(1, 0xffff_ffff)]],
    ['opens a channel twice', () => [openFrame(1)]],
    ['opens a channel twice at once', () => [openFrame(2), openFrame(2)]],
    ['opens too many channels', () => Array.from({ length: CHANNELS_PER_LINK_MAX }, (_, n) => openFrame(n + 2))],
    ['asks for too much at once', () => Array.from({ length: 70_000 }, () => request(1, 1))],
    ['sends a piece', () => [encodeFrame(FrameType.Piece, { id: 1, aux: 1, body: new Uint8Array(10) })]],
    ['opens nothing', () => [encodeFrame(FrameType.Open, { id: 5, body: encodeCbor({ group: GROUP_A }) })]],
    ['opens garbage', () => [encodeFrame(FrameType.Open, { id: 5, body: Uint8Array.of(1, 2, 3) })]],
    [
      'speaks to a tracker',
      () => [encodeFrame(FrameType.Call, { id: 5, body: encodeCbor({ method: 'x', params: {} }) })],
    ],
    ['sends garbage', () => [Buffer.alloc(4096, 0x5a)]],
  ];

  it.each(misdeeds)('and %s is cut off, and others are served', async (_, misdeed) => {
    const good = await reader();
    const end = await reader();
    end.send(...requests(1, 10), ...misdeed(end));
    expect(await end.ended).toMatchObject({ code: 'bad-request' });
    await expectServed(good);
  });

  it('but only by asking for what it did not open, or cancelling or closing it, is not heard', async () => {
    const end = await reader();
    end.send(request(9, 1), request(0xffff_ffff, 1), cancel(9, 1), cancel(1, 0xffff_ffff), closeFrame(9));
    await expectServed(end);
  });

  it('by opening a channel anew before the first answer came gets one file or the other, and the right one', async () => {
    const gate = Promise.withResolvers<void>();
    shares.gate = gate.promise;
    const end = await member();
    end.send(ticket(end), openFrame(1, LARGE_A), closeFrame(1), openFrame(1, SMALL_A));
    const opening = vi.spyOn(shares, 'open');
    await until(() => opening.mock.calls.length === 2);
    gate.resolve();
    expect((await end.next(FrameType.Opened)).aux).toBe(SMALL_PIECES + 1);
    await expectServed(end);
    expect(end.count(FrameType.Opened)).toBe(0);
  });
});

describe('a visitor that vanishes', () => {
  it('while its pieces are read and sent leaves nothing behind', async () => {
    const good = await reader();
    for (let round = 0; round < 5; round += 1) {
      const end = await reader(LARGE_A);
      end.send(...requests(1, LARGE_PIECES));
      if (round > 0) await end.next(FrameType.Piece);
      end.connection.close();
      await end.ended;
    }
    await expectServed(good);
    // All but the good one's.
    await until(() => shares.released === 5);
    expect(held()).toBe(0);
  });

  it('while its file is being opened leaves nothing behind', async () => {
    const gate = Promise.withResolvers<void>();
    shares.gate = gate.promise;
    const opening = vi.spyOn(shares, 'open');
    const end = await member();
    end.send(ticket(end), openFrame(1));
    await until(() => opening.mock.calls.length > 0);
    end.connection.close();
    await end.ended;
    gate.resolve();
    await shares.settled(1);
  });

  it('comes back on a new connection: the old one, whatever became of it, is given up', async () => {
    const own = await newIdentity();
    const old = await reader(SMALL_A, own);
    const fresh = await reader(SMALL_A, own);
    expect(await old.ended).toBeInstanceOf(Error);
    await expectServed(fresh);
  });
});

describe('a visitor that does not read', () => {
  it('holds its window of slots for a while, no more, and is then hung up on; others are served', async () => {
    const socket = await deafMember(await newIdentity());
    const good = await reader();
    // Its window is full once the system takes no more.

    await until(() => held() > 3 * MIB);
    await expectServed(good);
    for (let n = 0; n < 10; n += 1) {
      // It is not silent: a sign of life is no sign of reading.
      socket.write(encodeFrame(FrameType.Ping));
      clock.advance(HEARTBEAT_MS);
      good.send(ticket(good));
      await expectServed(good);
    }
    await until(() => held() === 0);
    expect(shares.released).toBe(1);
  });

  it('does not keep the server from closing', async () => {
    await deafMember(await newIdentity());
    await until(() => held() > 3 * MIB);
    await server.close();
    await shares.settled(1);
    expect(held()).toBe(0);
  });
});

describe('a visitor that shows no ticket', () => {
  it('is asked to leave after a while, so that strangers do not fill the house', async () => {
    const stranger = await visit();
    const good = await reader();
    for (let n = 0; n < 4; n += 1) clock.advance(HEARTBEAT_MS);
    expect(await stranger.ended).toMatchObject({ code: 'no-ticket' });
    await expectServed(good);
  });
});

describe('closing', () => {
  it('waits for the reads under way, so that slots and files are nobody’s afterwards', async () => {
    const end = await reader(LARGE_A);
    const released = vi.spyOn(engine.slots, 'release');
    end.send(...requests(1, LARGE_PIECES));
    await end.next(FrameType.Piece);
    await server.close();
    const { length } = released.mock.calls;
    expect(held()).toBe(0);
    await shares.settled(1);
    expect(released.mock.calls.length).toBe(length);
    released.mockRestore();
  });

  it('may be said twice', async () => {
    await Promise.all([server.close(), server.close()]);
  });
});
