/**
 * One download from start to end: a real engine and real connections, peers made by hand that are good, mute, rude or
 * liars, and a clock that the test moves. Whatever the peers do, the file comes, or it is the tracker that said no.
 */
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { Content } from '../../src/main/engine/content.ts';
import { Engine } from '../../src/main/engine/engine.ts';
import { type Identity, newIdentity } from '../../src/main/net/identity.ts';
import { silentLogger } from '../../src/main/support/logger.ts';
import { STALL_MS } from '../../src/main/swarm/download.ts';
import {
  DownloadTask,
  type EndState,
  type PeerListener,
  type TaskOptions,
} from '../../src/main/swarm/download-task.ts';
import { PeerLinks } from '../../src/main/swarm/peer-links.ts';
import { TokenBucket } from '../../src/main/swarm/token-bucket.ts';
import { Bitfield } from '../../src/protocol/bitfield.ts';
import { encodeCbor } from '../../src/protocol/cbor.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import { encodeFrame, type Frame, FrameType } from '../../src/protocol/frame.ts';
import type { FileId, Root } from '../../src/protocol/ids.ts';
import { KIB, MIB } from '../../src/protocol/limits.ts';
import { OPENED_COMPLETE, type Peer } from '../../src/protocol/messages.ts';
import { PieceTree } from '../../src/protocol/piece-tree.ts';
import type { Signed } from '../../src/protocol/signed.ts';
import { GROUP, USER } from '../support/keys.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { type RawEnd, RawServer } from '../support/raw-end.ts';
import { until } from '../support/until.ts';
import { plant } from '../support/verifier.ts';

vi.setConfig({ testTimeout: 10_000 });

const PIECE = 16 * KIB;
const FILE = '6'.repeat(32) as FileId;
const PIECES = 20;
const BYTES = randomBytes(PIECES * PIECE - 7);
const { levels, root } = plant(BYTES, PIECE);
const TREE = new PieceTree(BYTES.length, PIECE);

/** A piece of any level, as the wire has it. */
function pieceOf(index: number): Uint8Array {
  const { level, lengthBytes } = TREE.place(index);
  const from = (index - (TREE.levels[level]?.firstIndex ?? 0)) * PIECE;
  return levels[level]?.subarray(from, from + lengthBytes) ?? new Uint8Array(0);
}

const opened = (id: number) => encodeFrame(FrameType.Opened, { id, aux: TREE.pieceCount, flags: OPENED_COMPLETE });
const piece = (id: number, aux: number, body = pieceOf(aux)) => encodeFrame(FrameType.Piece, { id, aux, body });
const refused = (id: number, code: string) =>
  encodeFrame(FrameType.Refused, { id, body: encodeCbor({ code, message: 'no' }) });

/** Serves as it should. */
function honest({ type, id, aux }: Frame, end: RawEnd): void {
  if (type === FrameType.Open) end.send(opened(id));
  else if (type === FrameType.Request) end.send(piece(id, aux));
}

type Behaviour = (frame: Frame, end: RawEnd) => void;

let directory: string;
let engine: Engine;
let identity: Identity;
let clock: ManualClock;
let links: PeerLinks;
let ticketsAsked: number;
let ticketsDropped: number;
let ticketRefusal: RequestError | undefined;
const servers: RawServer[] = [];
const tasks: DownloadTask[] = [];
let count = 0;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'p2pfs-task-'));
  engine = await Engine.start({ workers: 1, memoryBytes: 4 * MIB, treeDirectory: join(directory, 'trees') });
  identity = await newIdentity();
});
afterAll(async () => {
  await engine.close();
  await rm(directory, { recursive: true });
});
beforeEach(() => {
  clock = new ManualClock();
  ticketsAsked = 0;
  ticketsDropped = 0;
  ticketRefusal = undefined;
  let held: Signed | undefined;
  const tickets = {
    get: async () => {
      if (ticketRefusal) throw ticketRefusal;
      if (!held) ticketsAsked += 1;
      held ??= { body: Uint8Array.of(ticketsAsked), signature: new Uint8Array(64) };
      return held;
    },
    drop: () => {
      held = undefined;
      ticketsDropped += 1;
    },
  };
  links = new PeerLinks({ identity, slots: engine.slots, tickets, clock });
});
afterEach(async () => {
  await Promise.all(tasks.splice(0).map((task) => task.stop()));
  await links.close();
  await Promise.all(servers.splice(0).map((server) => server.close()));
  expect(engine.slots.heldBytes('download')).toBe(0);
  vi.restoreAllMocks();
});

async function peer(behave: Behaviour): Promise<Peer & { server: RawServer }> {
  const server = await RawServer.start('p2pfs-peer/1', behave);
  servers.push(server);
  return { device: server.identity.id, user: USER, userName: 'swas', address: server.address, server };
}

interface Run {
  readonly task: DownloadTask;
  readonly listener: PeerListener;
  readonly path: string;
  readonly ends: { how: EndState; have: number | undefined }[];
  readonly finished: () => number;
  /** Moves the clock, with a tick each 100 ms, until it holds. */
  readonly pass: (holds: () => boolean) => Promise<void>;
}

async function start(options: Partial<TaskOptions> = {}, on: Engine = engine): Promise<Run> {
  count += 1;
  const path = join(directory, `file-${count}`);
  const ends: Run['ends'] = [];
  const listeners: PeerListener[] = [];
  let finished = 0;
  const order = {
    id: count,
    group: GROUP,
    groupName: 'pdfs',
    file: { file: FILE, name: 'libc.pdf', sizeBytes: BYTES.length, pieceSizeBytes: PIECE, root: root as Root },
    destination: path,
  };
  const task = new DownloadTask(order, {
    engine: on,
    links,
    peers: {
      watch: (_group, _file, heard) => {
        listeners.push(heard);
        return { stop: () => {}, ready: Promise.resolve() };
      },
    },
    clock,
    random: () => 0.5,
    logger: silentLogger,
    pipeline: undefined,
    peersMax: 10,
    limit: new TokenBucket(undefined, 0),
    resume: undefined,
    onFinished: async () => {
      finished += 1;
    },
    onCheckpoint: () => {},
    onEnded: (how, have) => ends.push({ how, have: have && Bitfield.fromBytes(have, TREE.pieceCount).count }),
    onSynced: () => {},
    onChange: () => {},
    ...options,
  });
  tasks.push(task);
  await task.start();
  const [listener] = listeners;
  if (!listener) throw new Error('peers are watched');
  const pass = (holds: () => boolean) =>
    until(() => {
      clock.advance(100);
      task.tick();
      return holds();
    });
  return { task, listener, path, ends, finished: () => finished, pass };
}

async function expectWhole({ task, path }: Run): Promise<void> {
  await task.done;
  expect(Buffer.compare(await readFile(path), BYTES)).toBe(0);
}

describe('a download', () => {
  it('fetches the tree and the file, and leaves no connection open', async () => {
    const source = await peer(honest);
    const run = await start();
    run.listener.online(source);
    await expectWhole(run);
    expect(run.finished()).toBe(1);
    expect(run.task.status()).toMatchObject({ state: 'done', doneBytes: BYTES.length, donePieces: PIECES });
    await until(() => source.server.connectionCount === 0);
  });

  it('fails when the tracker says that we are no member', async () => {
    ticketRefusal = new RequestError('not-a-member', 'you are not a member of pdfs');
    const run = await start();
    run.listener.online(await peer(honest));
    await expect(run.task.done).rejects.toMatchObject({ code: 'not-a-member' });
    await until(() => run.ends.length === 1);
    expect(run.ends).toMatchObject([{ how: 'failed' }]);
  });
});

describe('a peer that refuses', () => {
  it.each(['not-a-member', 'no-such-group', 'not-logged-in', 'not-shared'])(
    'with "%s" speaks for itself only: others are asked',
    async (code) => {
      const run = await start();
      const rude = await peer(({ type, id }, end) => type === FrameType.Open && end.send(refused(id, code)));
      run.listener.online(rude);
      await until(() => run.task.status().peers[0]?.state === 'gone');
      expect(run.task.isActive).toBe(true);
      // Nobody uses the connection any more.
      await until(() => rude.server.connectionCount === 0);
      run.listener.online(await peer(honest));
      await expectWhole(run);
    },
  );

  it('by a goodbye is no tracker either', async () => {
    const run = await start();
    const bye = encodeFrame(FrameType.Bye, { body: encodeCbor({ code: 'not-a-member', message: 'go' }) });
    run.listener.online(await peer(({ type }, end) => type === FrameType.Open && end.send(bye)));
    await until(() => run.task.status().peers[0]?.state === 'gone');
    expect(run.task.isActive).toBe(true);
    run.listener.online(await peer(honest));
    await expectWhole(run);
  });

  it('a ticket is shown a new one next time', async () => {
    const shown: Uint8Array[] = [];
    const run = await start();
    const strict = await peer((frame, end) => {
      if (frame.type === FrameType.Ticket) shown.push(frame.body);
      if (frame.type === FrameType.Open && shown.length < 2) end.send(refused(frame.id, 'no-ticket'));
      else honest(frame, end);
    });
    run.listener.online(strict);
    await run.pass(() => !run.task.isActive);
    await expectWhole(run);
    expect([ticketsAsked, ticketsDropped]).toEqual([2, 1]);
    expect(shown.length).toBe(2);
  });
});

describe('a peer that says nothing', () => {
  it('when a file is opened gives its place to another', async () => {
    const run = await start({ peersMax: 1 });
    const mute = await peer(() => {});
    run.listener.online(mute);
    run.listener.online(await peer(honest));
    await run.pass(() => !run.task.isActive);
    await expectWhole(run);
  });

  it('when it is asked for pieces loses them, and at last the connection, though it sends other things', async () => {
    const run = await start({ pipeline: 4 });
    const ends = new Set<RawEnd>();
    const mute = await peer((frame, end) => {
      ends.add(end);
      if (frame.type === FrameType.Open) end.send(opened(frame.id));
    });
    run.listener.online(mute);
    await until(() => engine.slots.heldBytes('download') > 0);
    const startMs = clock.nowMs();
    await run.pass(() => {
      for (const end of ends) end.send(encodeFrame(FrameType.Have, { id: 1, aux: 1 }), encodeFrame(FrameType.Pong));
      return run.task.status().peers[0]?.state === 'gone';
    });
    expect(clock.nowMs() - startMs).toBeGreaterThan(STALL_MS);
    expect(engine.slots.heldBytes('download')).toBe(0);
    run.listener.online(await peer(honest));
    await run.pass(() => !run.task.isActive);
    await expectWhole(run);
  });
});

describe('a peer that lies', () => {
  const lie: Behaviour = ({ type, id, aux }, end) => {
    if (type === FrameType.Open) end.send(opened(id));
    else if (type === FrameType.Request) end.send(piece(id, aux, new Uint8Array(pieceOf(aux).length)));
  };

  it('is banned by its second wrong piece and not asked again', async () => {
    const run = await start();
    const liar = await peer(lie);
    run.listener.online(liar);
    await until(() => run.task.status().peers[0]?.state === 'banned');
    await until(() => liar.server.connectionCount === 0);
    run.listener.online(liar);
    run.listener.online(await peer(honest));
    await expectWhole(run);
    expect(run.task.status().peers[0]).toMatchObject({ state: 'banned', bytes: 0, badPieces: 2 });
  });

  it('and hangs up after each lie is banned all the same', async () => {
    const run = await start();
    let visits = 0;
    const liar = await peer((frame, end) => {
      if (frame.type === FrameType.Open) visits += 1;
      lie(frame, end);
      // A bye leaves after what was sent before it.
      if (frame.type === FrameType.Request) end.connection.close(new RequestError('busy', 'gone'));
    });
    run.listener.online(liar);
    // Its retry is the clock's; what it sent is checked in the worker's own time.
    await until(() => run.task.status().peers[0]?.badPieces === 1);
    await run.pass(() => visits === 2);
    await until(() => run.task.status().peers[0]?.state === 'banned');
    run.listener.online(liar);
    expect(visits).toBe(2);
    run.listener.online(await peer(honest));
    await expectWhole(run);
  });

  it('stays banned when the second lie is found out while it is dialled again', async () => {
    const run = await start();
    let visits = 0;
    const liar = await peer((frame, end) => {
      if (frame.type === FrameType.Open) visits += 1;
      lie(frame, end);
      if (frame.type === FrameType.Request) end.connection.close(new RequestError('busy', 'gone'));
    });
    // The second check takes until the peer is being connected to for the third time.
    const gate = Promise.withResolvers<void>();
    const keep = Content.prototype.keep;
    let checks = 0;
    vi.spyOn(Content.prototype, 'keep').mockImplementation(async function (this: Content, index, slot) {
      checks += 1;
      if (checks === 2) await gate.promise;
      return keep.call(this, index, slot);
    });
    run.listener.online(liar);
    await run.pass(() => checks === 2 && run.task.status().peers[0]?.state === 'gone');
    const acquired = Promise.withResolvers<void>();
    const acquire = links.acquire.bind(links);
    vi.spyOn(links, 'acquire').mockImplementation(async (...who) => {
      const link = await acquire(...who);
      gate.resolve();
      await acquired.promise;
      return link;
    });
    await run.pass(() => run.task.status().peers[0]?.state === 'connecting');
    await until(() => run.task.status().peers[0]?.badPieces === 2);
    acquired.resolve();
    await until(() => liar.server.connectionCount === 0);
    expect(run.task.status().peers[0]?.state).toBe('banned');
    expect(visits).toBe(2);
  });
});

describe('short memory', () => {
  it('is shared by all downloads: none waits until the others are done', async () => {
    // Room for three pieces on their way, and four downloads.
    const small = await Engine.start({
      workers: 1,
      memoryBytes: 4 * 5 * 4 * KIB,
      treeDirectory: join(directory, 'trees-small'),
    });
    const own = new PeerLinks({
      identity: await newIdentity(),
      slots: small.slots,
      tickets: { get: async () => ({ body: Uint8Array.of(1), signature: new Uint8Array(64) }), drop: () => {} },
      clock,
    });
    const source = await peer(honest);
    const runs = await Promise.all([1, 2, 3, 4].map(() => start({ links: own }, small)));
    for (const run of runs) run.listener.online(source);
    await Promise.race(runs.map(({ task }) => task.done));
    const done = runs.map(({ task }) => task.status().donePieces);
    expect(Math.min(...done)).toBeGreaterThan(PIECES / 2);
    for (const run of runs) await expectWhole(run);
    await own.close();
    await small.close();
  });
});

describe('a peer that falls silent', () => {
  it('leaves slots for the others, however few there are', async () => {
    const small = await Engine.start({
      workers: 1,
      memoryBytes: 6 * 5 * 4 * KIB,
      treeDirectory: join(directory, 'trees-few'),
    });
    const own = new PeerLinks({
      identity: await newIdentity(),
      slots: small.slots,
      tickets: { get: async () => ({ body: Uint8Array.of(1), signature: new Uint8Array(64) }), drop: () => {} },
      clock,
    });
    const run = await start({ links: own, pipeline: 4 }, small);
    // Serves the tree, so that all of the file may be asked of it, and then nothing.
    const mute = await peer((frame, end) => {
      if (frame.type !== FrameType.Request || frame.aux === PIECES) honest(frame, end);
    });
    run.listener.online(mute);
    await until(() => small.slots.heldBytes('download') > small.slots.memory.byteLength / 4);
    run.listener.online(await peer(honest));
    const startMs = clock.nowMs();
    // Long enough for its requests to be cancelled, which it never answers; too short for its link to be given up.
    await until(() => {
      if (clock.nowMs() - startMs < 5 * STALL_MS) clock.advance(100);
      run.task.tick();
      return run.task.status().donePieces >= PIECES - 2;
    });
    await run.task.stop();
    await own.close();
    await small.close();
  });
});

describe('an end', () => {
  it('that comes while the file gets its name waits, and the file stands', async () => {
    const gate = Promise.withResolvers<void>();
    const run = await start({ onFinished: () => gate.promise });
    run.listener.online(await peer(honest));
    await until(() => run.task.status().donePieces === PIECES);
    const stopped = run.task.stop();
    gate.resolve();
    await stopped;
    await expectWhole(run);
    expect(run.ends).toEqual([]);
    expect(run.task.status().state).toBe('done');
  });

  it('by cancel, which comes while the file gets its name, is too late', async () => {
    const gate = Promise.withResolvers<void>();
    const run = await start({ onFinished: () => gate.promise });
    run.listener.online(await peer(honest));
    await until(() => run.task.status().donePieces === PIECES);
    const cancelled = run.task.cancel();
    gate.resolve();
    await cancelled;
    await expectWhole(run);
    expect(run.task.status().state).toBe('done');
  });

  it('counts no piece as safe that was written after the last sync', async () => {
    const sync = Content.prototype.sync;
    let haveAtSync = -1;
    const gate = Promise.withResolvers<void>();
    const keep = Content.prototype.keep;
    let kept = 0;
    vi.spyOn(Content.prototype, 'keep').mockImplementation(async function (this: Content, index, slot) {
      kept += 1;
      if (kept > 5) await gate.promise;
      return keep.call(this, index, slot);
    });
    const run = await start();
    vi.spyOn(Content.prototype, 'sync').mockImplementation(async function (this: Content) {
      haveAtSync = run.task.have?.count ?? 0;
      await sync.call(this);
    });
    run.listener.online(await peer(honest));
    await until(() => kept > 8);
    const stopped = run.task.stop();
    gate.resolve();
    await stopped;
    expect(run.ends).toEqual([{ how: 'paused', have: haveAtSync }]);
  });

  it('waits for pieces that are being copied from another file here', async () => {
    const copy = join(directory, 'copy');
    await writeFile(copy, BYTES);
    const facts = await engine.hash(copy, PIECE, () => {});
    const copyPieces = Content.prototype.copy;
    const gate = Promise.withResolvers<void>();
    let began = false;
    const order: string[] = [];
    vi.spyOn(Content.prototype, 'copy').mockImplementation(async function (this: Content, ...what) {
      began = true;
      await gate.promise;
      const right = await copyPieces.apply(this, what);
      order.push('copied');
      return right;
    });
    const sync = Content.prototype.sync;
    vi.spyOn(Content.prototype, 'sync').mockImplementation(function (this: Content) {
      order.push('synced');
      return sync.call(this);
    });
    const run = await start({ localFiles: () => [{ ...facts, path: copy }] });
    // The tree comes from a peer, the pieces do not.
    run.listener.online(await peer(honest));
    await until(() => began);
    const stopped = run.task.stop();
    gate.resolve();
    await stopped;
    expect(order).toEqual(['copied', 'synced']);
    expect(run.ends).toEqual([{ how: 'paused', have: TREE.pieceCount }]);
  });

  it('by cancel removes what has come, and says so', async () => {
    const run = await start();
    run.listener.online(await peer(({ type, id }, end) => type === FrameType.Open && end.send(opened(id))));
    await until(() => engine.slots.heldBytes('download') > 0);
    await run.task.cancel();
    await expect(run.task.done).rejects.toMatchObject({ code: 'cancelled' });
    await expect(stat(`${run.path}.part`)).rejects.toThrow('ENOENT');
    expect(run.ends).toMatchObject([{ how: 'cancelled' }]);
    expect(clock.timerCount).toBe(1);
  });
});
