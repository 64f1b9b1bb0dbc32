/**
 * One end of a connection that knows nothing but frames: a peer made by hand, for tests. Frames that came are kept until
 * somebody waits for one of their type; who waits is told when the connection ends.
 */
import type { Connection, ConnectionHandler } from '../../src/main/net/connection.ts';
import { type Identity, newIdentity } from '../../src/main/net/identity.ts';
import { dial, type Listener, listen, type Protocol } from '../../src/main/net/tls.ts';
import type { BodyPlace, Frame, FrameHeader, FrameType } from '../../src/protocol/frame.ts';
import type { Address } from '../../src/protocol/tracker-info.ts';

export const LOOPBACK: Address = { host: '127.0.0.1', port: 0 };

export class RawEnd implements ConnectionHandler {
  /** Resolves, with why, when the connection has ended. */
  readonly ended: Promise<Error | undefined>;
  /** Where bodies belong, if not where a Connection puts them by itself. */
  place?: (header: FrameHeader) => BodyPlace;
  /** Hears of each frame at once, if set; those are not kept. */
  onFrame?: (frame: Frame) => void;
  readonly #settle: (error: Error | undefined) => void;
  readonly #ready = Promise.withResolvers<void>();
  #connection: Connection | undefined;
  #frames: Frame[] = [];
  #wake = Promise.withResolvers<void>();

  constructor() {
    const { promise, resolve } = Promise.withResolvers<Error | undefined>();
    this.ended = promise;
    this.#settle = resolve;
  }

  static async dial(address: Address, identity?: Identity, protocol: Protocol = 'p2pfs-peer/1'): Promise<RawEnd> {
    const end = new RawEnd();
    end.#connection = await dial({
      address,
      identity: identity ?? (await newIdentity()),
      protocol,
      trusts: () => true,
      timeoutMs: 10_000,
      handler: end,
    });
    return end;
  }

  get connection(): Connection {
    if (!this.#connection) throw new Error('not connected yet');
    return this.#connection;
  }

  /** Greeted by the other side. */
  get greeted(): Promise<void> {
    return this.#ready.promise;
  }

  attach(connection: Connection): this {
    this.#connection = connection;
    return this;
  }

  send(...frames: Uint8Array[]): void {
    this.connection.send(Buffer.concat(frames));
  }

  /** The next frame of a type; those of other types before it stay. Rejects when the connection ends first. */
  async next(type: FrameType): Promise<Frame> {
    for (;;) {
      const at = this.#frames.findIndex((frame) => frame.type === type);
      const [found] = at < 0 ? [] : this.#frames.splice(at, 1);
      if (found) return found;
      await this.#wake.promise;
    }
  }

  /** How many frames of a type came and were not waited for. */
  count(type: FrameType): number {
    return this.#frames.filter((frame) => frame.type === type).length;
  }

  ready(): void {
    this.#ready.resolve();
  }

  frame(frame: Frame): void {
    if (this.onFrame) {
      this.onFrame(frame);
      return;
    }
    this.#frames.push({ ...frame, body: frame.body.slice() });
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  closed(error: Error | undefined): void {
    const ending = new Error(`the connection ended: ${error?.message ?? 'we closed it'}`);
    this.#wake.promise.catch(() => {});
    this.#wake.reject(ending);
    this.#ready.promise.catch(() => {});
    this.#ready.reject(ending);
    this.#settle(error);
  }
}

/** Listens, and hands out the ends of those who connect in the order in which they come. */
export class RawServer {
  readonly identity: Identity;
  readonly #listener: Listener;
  readonly #ends: RawEnd[];
  readonly #waiting: ((end: RawEnd) => void)[];

  private constructor(identity: Identity, listener: Listener, ends: RawEnd[], waiting: ((end: RawEnd) => void)[]) {
    this.identity = identity;
    this.#listener = listener;
    this.#ends = ends;
    this.#waiting = waiting;
  }

  /** `onFrame`: answers each frame at once; without it, frames are kept. */
  static async start(
    protocol: Protocol = 'p2pfs-peer/1',
    onFrame?: (frame: Frame, end: RawEnd) => void,
  ): Promise<RawServer> {
    const identity = await newIdentity();
    const ends: RawEnd[] = [];
    const waiting: ((end: RawEnd) => void)[] = [];
    const listener = await listen({
      address: LOOPBACK,
      identity,
      protocol,
      connectionsMax: 100,
      accept: (connection) => {
        const end = new RawEnd().attach(connection);
        if (onFrame) end.onFrame = (frame) => onFrame(frame, end);
        const next = waiting.shift();
        if (next) next(end);
        else ends.push(end);
        return end;
      },
    });
    return new RawServer(identity, listener, ends, waiting);
  }

  get address(): Address {
    return this.#listener.address;
  }

  get connectionCount(): number {
    return this.#listener.connectionCount;
  }

  accepted(): Promise<RawEnd> {
    const end = this.#ends.shift();
    return end ? Promise.resolve(end) : new Promise((resolve) => this.#waiting.push(resolve));
  }

  close(): Promise<void> {
    return this.#listener.close();
  }
}
