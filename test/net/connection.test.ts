/**
 * What reaches a port of ours that should not: strangers without TLS, without a certificate, of another dialect or
 * version, and frames that no honest side sends. Each is turned away, costs no memory to speak of, and harms nobody else.
 */
import { once } from 'node:events';
import { connect as connectPlain, createServer as createPlainServer, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Identity, newIdentity } from '../../src/main/net/identity.ts';
import { dial } from '../../src/main/net/tls.ts';
import { encodeCbor } from '../../src/protocol/cbor.ts';
import { ProtocolViolation, RequestError } from '../../src/protocol/errors.ts';
import { encodeFrame, FrameType, writeHeader } from '../../src/protocol/frame.ts';
import { CONTROL_BODY_BYTES_MAX, MIB } from '../../src/protocol/limits.ts';
import { encodeHello } from '../../src/protocol/messages.ts';
import { RawEnd, RawServer } from '../support/raw-end.ts';
import { until } from '../support/until.ts';

vi.setConfig({ testTimeout: 10_000 });

let server: RawServer;
let identity: Identity;
const sockets: Socket[] = [];

beforeAll(async () => {
  identity = await newIdentity();
});
beforeEach(async () => {
  server = await RawServer.start();
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await server.close();
});

/** A socket that says what its owner wants; errors are awaited as 'close'. */
function kept<S extends Socket>(socket: S): S {
  sockets.push(socket);
  socket.on('error', () => {});
  return socket;
}

const closed = (socket: Socket) => new Promise<void>((resolve) => socket.once('close', () => resolve()));

const plain = () => kept(connectPlain(server.address.port, server.address.host));

function tls(options: ConnectionOptions = {}): TLSSocket {
  return kept(
    connectTls({
      host: server.address.host,
      port: server.address.port,
      key: identity.keyPem,
      cert: identity.certPem,
      ALPNProtocols: ['p2pfs-peer/1'],
      rejectUnauthorized: false,
      ...options,
    }),
  );
}

const hello = (version = 1) =>
  encodeFrame(FrameType.Hello, { body: encodeCbor({ version, features: ['new'], agent: 'test' }) });

function header(type: number, lengthBytes = 0, reserved = 0): Buffer {
  const bytes = Buffer.alloc(16);
  writeHeader(bytes, 0, { lengthBytes, type, flags: 0, id: 0, aux: 0 });
  bytes.writeUInt16LE(reserved, 6);
  return bytes;
}

/** The port still serves those who speak its language. */
async function expectServing(): Promise<void> {
  const accepted = server.accepted();
  const client = await RawEnd.dial(server.address, identity);
  const end = await accepted;
  await Promise.all([client.greeted, end.greeted]);
  end.send(encodeFrame(FrameType.Have, { id: 1, aux: 2 }));
  expect(await client.next(FrameType.Have)).toMatchObject({ id: 1, aux: 2 });
  client.connection.close();
  await end.ended;
}

/** A TLS client that has said these bytes, seen from the server. */
async function saying(...bytes: Uint8Array[]): Promise<{ socket: TLSSocket; end: RawEnd }> {
  const accepted = server.accepted();
  const socket = tls();
  await once(socket, 'secureConnect');
  socket.write(Buffer.concat(bytes));
  return { socket, end: await accepted };
}

describe('a stranger', () => {
  const strangers: readonly (readonly [string, () => Socket])[] = [
    [
      'speaks no TLS',
      () =>
        plain()
          .setNoDelay()
          .on('connect', function greet(this: Socket) {
            this.write('GET / HTTP/1.1\r\n\r\n');
          }),
    ],
    [
      'sends garbage',
      () =>
        plain().on('connect', function talk(this: Socket) {
          this.write(Buffer.alloc(100_000, 0xa5));
        }),
    ],
    [
      'hangs up at once',
      () =>
        plain().on('connect', function leave(this: Socket) {
          this.end();
        }),
    ],
    ['speaks another protocol', () => tls({ ALPNProtocols: ['http/1.1'] })],
    ['speaks to trackers', () => tls({ ALPNProtocols: ['p2pfs-tracker/1'] })],
    ['names no protocol', () => connectTlsWithout(['ALPNProtocols'])],
    ['shows no certificate', () => connectTlsWithout(['key', 'cert'])],
    ['speaks an older TLS', () => tls({ maxVersion: 'TLSv1.2' })],
  ];

  it.each(strangers)('who %s is turned away, and others are served', async (_, arrive) => {
    const socket = arrive();
    socket.resume();
    await closed(socket);
    expect(server.connectionCount).toBe(0);
    await expectServing();
  });

  function connectTlsWithout(keys: readonly string[]): TLSSocket {
    const options = Object.fromEntries(keys.map((key) => [key, undefined]));
    return tls(options);
  }

  it('who connects and says nothing does not keep the port from closing', async () => {
    const accepted = server.accepted();
    const idle = plain();
    await once(idle, 'connect');
    const half = plain();
    await once(half, 'connect');
    half.write(Buffer.from([22, 3, 1, 2, 0]));
    const client = await RawEnd.dial(server.address, identity);
    await accepted;
    const gone = [closed(idle), closed(half), client.ended];
    idle.resume();
    half.resume();
    await server.close();
    await Promise.all(gone);
  });
});

describe('dialling', () => {
  const to = (port: number, signal?: AbortSignal) =>
    dial({
      address: { host: '127.0.0.1', port },
      identity,
      protocol: 'p2pfs-peer/1',
      trusts: () => true,
      timeoutMs: 60_000,
      handler: new RawEnd(),
      ...(signal ? { signal } : {}),
    });

  async function plainServer(behave: (socket: Socket) => void) {
    const listener = createPlainServer((socket) => behave(kept(socket))).listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const address = listener.address();
    if (typeof address !== 'object' || !address) throw new Error('it listens');
    return { port: address.port, close: () => listener.close() };
  }

  it('someone who shows another key is refused before a byte of ours is sent', async () => {
    const refused = dial({
      address: server.address,
      identity,
      protocol: 'p2pfs-peer/1',
      trusts: (id) => id === identity.id,
      timeoutMs: 60_000,
      handler: new RawEnd(),
    });
    await expect(refused).rejects.toMatchObject({ code: 'pin-mismatch' });
    const friend = await RawEnd.dial(server.address, await newIdentity());
    for (let end = await server.accepted(); end.connection.peerId === identity.id; end = await server.accepted()) {
      await end.ended;
      expect(end.connection.receivedBytes).toBe(0);
    }
    friend.connection.close();
  });

  it('a port that speaks another of our protocols fails', async () => {
    const tracker = await RawServer.start('p2pfs-tracker/1');
    await expect(to(tracker.address.port)).rejects.toThrow();
    await tracker.close();
  });

  it('someone who answers without TLS, or hangs up, fails', async () => {
    const talker = await plainServer((socket) => socket.end('220 hello\r\n'));
    await expect(to(talker.port)).rejects.toThrow();
    talker.close();
    await expect(to(talker.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });

  it('someone who never answers can be given up', async () => {
    const abort = new AbortController();
    const mute = await plainServer(() => abort.abort());
    await expect(to(mute.port, abort.signal)).rejects.toThrow('given up');
    mute.close();
    await expect(to(mute.port, AbortSignal.abort())).rejects.toThrow('given up');
  });
});

describe('the hello', () => {
  it('may come byte by byte', async () => {
    const { socket, end } = await saying();
    for (const byte of Buffer.concat([hello(), encodeFrame(FrameType.Have, { id: 7, aux: 8 })])) {
      await new Promise<void>((resolve) => socket.write(Uint8Array.of(byte), () => resolve()));
    }
    await end.greeted;
    expect(await end.next(FrameType.Have)).toMatchObject({ id: 7, aux: 8 });
  });

  const rude: readonly (readonly [string, readonly Uint8Array[], RegExp])[] = [
    ['of another version', [hello(2)], /version 2, expected 1/],
    ['that is missing', [encodeFrame(FrameType.Ping)], /no hello/],
    ['that is not CBOR', [encodeFrame(FrameType.Hello, { body: Uint8Array.of(0xff) })], /hello/],
    ['without a version', [encodeFrame(FrameType.Hello, { body: encodeCbor({ features: [] }) })], /hello/],
    ['twice', [hello(), hello()], /second hello/],
    ['after a frame of a later version', [header(99, 4), Buffer.alloc(4), header(200)], /hello|type 200/],
    ['in place of which a whole bitfield is announced', [header(FrameType.Opened, 32 * MIB)], /no hello/],
    ['in place of which a whole piece is announced', [header(FrameType.Piece, 16 * MIB)], /no hello/],
  ];

  it.each(rude)('%s ends the connection, with a reason', async (_, bytes, reason) => {
    const { socket, end } = await saying(...bytes);
    socket.resume();
    const error = await end.ended;
    expect(error).toBeInstanceOf(ProtocolViolation);
    expect(error?.message).toMatch(reason);
    await closed(socket);
    expect(server.connectionCount).toBe(0);
    await expectServing();
  });
});

describe('a frame', () => {
  it('of an unknown type below 128 is skipped, with its body', async () => {
    const body = Buffer.alloc(CONTROL_BODY_BYTES_MAX, 0xee);
    const news = encodeFrame(FrameType.Have, { id: 1, aux: 2 });
    const { end } = await saying(
      hello(),
      header(127),
      header(99, body.length),
      body,
      header(100, 1),
      Buffer.alloc(1),
      news,
    );
    expect(await end.next(FrameType.Have)).toMatchObject({ id: 1, aux: 2 });
    expect(end.connection.isClosed).toBe(false);
  });

  const wrong: readonly (readonly [string, Uint8Array])[] = [
    ['of an unknown type from 128 on', header(128)],
    ['of the highest type there is', header(255)],
    ['of an unknown type that is too long', header(99, CONTROL_BODY_BYTES_MAX + 1)],
    ['that claims 4 GiB', header(FrameType.Call, 0xffff_ffff)],
    ['that has a body where there is none', header(FrameType.Ping, 1)],
    ['with reserved bits', header(FrameType.Ping, 0, 1)],
    ['that announces a piece to somebody who awaits none', header(FrameType.Piece, CONTROL_BODY_BYTES_MAX + 1)],
    ['that announces a bitfield to somebody who awaits none', header(FrameType.Opened, 32 * MIB)],
    ['with a bye that is no reason', encodeFrame(FrameType.Bye, { body: encodeCbor([1, 2]) })],
  ];

  it.each(wrong)('%s ends the connection before its body comes', async (_, bytes) => {
    const { socket, end } = await saying(hello(), bytes);
    socket.resume();
    expect(await end.ended).toBeInstanceOf(ProtocolViolation);
    await closed(socket);
    await expectServing();
  });

  it('after a bye is not heard', async () => {
    const bye = encodeFrame(FrameType.Bye, { body: encodeCbor({ code: 'busy', message: 'later' }) });
    const { end } = await saying(hello(), bye, encodeFrame(FrameType.Have, { id: 1, aux: 2 }), header(200));
    expect(await end.ended).toMatchObject({ name: 'RequestError', code: 'busy', message: 'later' });
    expect(end.count(FrameType.Have)).toBe(0);
  });

  it('is answered with a pong where it is a ping', async () => {
    const { socket, end } = await saying(hello());
    await end.greeted;
    const heard: Buffer[] = [];
    const pong = new Promise<void>((resolve) => {
      socket.on('data', (chunk) => {
        heard.push(chunk);
        if (Buffer.concat(heard).at(-16 + 4) === FrameType.Pong) resolve();
      });
    });
    socket.write(encodeFrame(FrameType.Ping));
    await pong;
  });
});

describe('an end', () => {
  it('is told once, whoever makes it and however often', async () => {
    const accepted = server.accepted();
    const client = await RawEnd.dial(server.address, identity);
    const end = await accepted;
    await Promise.all([client.greeted, end.greeted]);
    const closed = vi.spyOn(end, 'closed');
    end.connection.close(new RequestError('busy', 'go away', 'now'));
    end.connection.close(new RequestError('busy', 'again'));
    end.connection.close();
    end.connection.close();
    await Promise.all([client.ended, end.ended]);
    expect(closed).toHaveBeenCalledTimes(1);
    expect(closed).toHaveBeenCalledWith(undefined);
    end.send(hello());
  });

  it('with a reason reaches the other side', async () => {
    const accepted = server.accepted();
    const client = await RawEnd.dial(server.address, identity);
    (await accepted).connection.close(new RequestError('busy', 'go away', 'now'));
    expect(await client.ended).toMatchObject({ code: 'busy', message: 'go away', hint: 'now' });
  });
});

describe('a slot that is sent', () => {
  const slot = (bytes: number) => {
    const memory = new Uint8Array(new SharedArrayBuffer(bytes + 16));
    writeHeader(memory, 0, { lengthBytes: bytes, type: FrameType.Piece, flags: 0, id: 1, aux: 1 });
    return memory;
  };

  it('arrives whole, in order with small frames, and is its owner’s again once', async () => {
    const accepted = server.accepted();
    const client = await RawEnd.dial(server.address, identity);
    const end = await accepted;
    client.place = () => 'buffer';
    let done = 0;
    end.send(encodeFrame(FrameType.Have, { id: 1, aux: 1 }));
    for (let n = 0; n < 3; n += 1)
      end.connection.sendSlot(slot(100_000), () => {
        done += 1;
      });
    end.send(encodeFrame(FrameType.Have, { id: 1, aux: 2 }));
    for (let n = 0; n < 3; n += 1) expect((await client.next(FrameType.Piece)).lengthBytes).toBe(100_000);
    expect((await client.next(FrameType.Have)).aux).toBe(1);
    expect((await client.next(FrameType.Have)).aux).toBe(2);
    expect(done).toBe(3);
  });

  it('to somebody who reads nothing comes back when the connection ends, each once', async () => {
    const { end } = await saying(hello());
    await end.greeted;
    const done = [0, 0, 0];
    for (const at of done.keys())
      end.connection.sendSlot(slot(16 * MIB), () => {
        done[at] = (done[at] ?? 0) + 1;
      });
    end.connection.close();
    await end.ended;
    await until(() => done.every((count) => count > 0));
    expect(done).toEqual([1, 1, 1]);
    end.connection.sendSlot(slot(1000), () => {
      done[0] = 5;
    });
    expect(done[0]).toBe(5);
  });

  it('and not read yet is no reason to hang up: it waits in memory that is counted elsewhere', async () => {
    const { end } = await saying(hello());
    await end.greeted;
    for (let n = 0; n < 2; n += 1) end.connection.sendSlot(slot(16 * MIB), () => {});
    end.connection.ping();
    expect(end.connection.isClosed).toBe(false);
  });
});

describe('somebody who never reads', () => {
  it('is hung up on when too many small frames pile up', async () => {
    const { end } = await saying(hello());
    await end.greeted;
    const frame = new Uint8Array(encodeFrame(FrameType.Push, { body: new Uint8Array(CONTROL_BODY_BYTES_MAX) }));
    for (let n = 0; n < 200; n += 1) end.connection.send(frame);
    expect((await end.ended)?.message).toContain('does not read');
  });
});

it('the hello of ours is one that others understand', () => {
  expect(encodeHello().length).toBeLessThan(200);
});
