/**
 * A client of the tracker that knows only the wire: frames over TLS, as docs/PROTOCOL.md has them. It costs as little as
 * it can, since it shares the cores with the tracker that it loads: calls come encoded, and of the answers to pipelined
 * calls only the frame's type is read. One that is a refusal ends the bench.
 */
import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';
import type { Identity } from '../../src/main/net/identity.ts';
import { encodeFrame, type Frame, FrameReader, FrameType } from '../../src/protocol/frame.ts';
import {
  decodeResult,
  encodeCall,
  encodeHello,
  type Method,
  type Params,
  type Result,
} from '../../src/protocol/messages.ts';
import type { Address } from '../../src/protocol/tracker-info.ts';

type Answered = (frame: Frame) => void;

export class WireClient {
  readonly #socket: TLSSocket;
  readonly #reader = new FrameReader(() => 'buffer');
  readonly #pending = new Map<number, Answered>();
  #lastId = 0;
  #out: Uint8Array[] = [];
  #failed: (error: Error) => void = () => {};
  /** Rejects when the connection ends or a call is refused; never resolves. */
  readonly failure: Promise<never>;

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    this.failure = new Promise((_, reject) => {
      this.#failed = reject;
    });
    this.failure.catch(() => {});
    socket.setNoDelay(true);
    socket.on('error', (error) => this.#failed(error));
    socket.on('close', () => this.#failed(new Error('the tracker closed the connection')));
    socket.on('data', (chunk) => this.#received(chunk));
    this.#send(encodeFrame(FrameType.Hello, { body: encodeHello() }));
  }

  static async connect({ host, port }: Address, identity: Identity): Promise<WireClient> {
    const { keyPem: key, certPem: cert } = identity;
    const options = { key, cert, minVersion: 'TLSv1.3' as const, ALPNProtocols: ['p2pfs-tracker/1'] };
    // Who serves is no question here: the bench has started it.
    const socket = connect({ ...options, host, port, rejectUnauthorized: false, checkServerIdentity: () => undefined });
    await once(socket, 'secureConnect');
    return new WireClient(socket);
  }

  async call<M extends Method>(method: M, params: Params<M>): Promise<Result<M>> {
    const answer = new Promise<Result<M>>((resolve) => {
      this.#ask(encodeCall(method, params), ({ body }) => resolve(decodeResult(method, body)));
    });
    return Promise.race([answer, this.failure]);
  }

  /** Keeps so many calls under way until there is no next one; calls back for each answer. Resolves when all have come. */
  async pipeline(depth: number, next: () => Uint8Array | undefined, answered: () => void): Promise<void> {
    let open = 0;
    const all = new Promise<void>((resolve) => {
      const ask = () => {
        const body = next();
        if (!body) {
          if (open === 0) resolve();
          return;
        }
        open += 1;
        this.#ask(body, () => {
          open -= 1;
          answered();
          ask();
        });
      };
      for (let at = 0; at < depth; at += 1) ask();
    });
    await Promise.race([all, this.failure]);
  }

  close(): void {
    this.#socket.destroy();
  }

  #ask(body: Uint8Array, answered: Answered): void {
    this.#lastId = (this.#lastId + 1) >>> 0;
    this.#pending.set(this.#lastId, answered);
    this.#send(encodeFrame(FrameType.Call, { id: this.#lastId, body }));
  }

  #received(chunk: Uint8Array): void {
    for (const frame of this.#reader.feed(chunk)) {
      const answered = this.#pending.get(frame.id);
      if (answered && frame.type === FrameType.Result) {
        this.#pending.delete(frame.id);
        answered(frame);
      } else if (frame.type === FrameType.Ping) this.#send(encodeFrame(FrameType.Pong));
      else if (frame.type === FrameType.Failure) {
        this.#failed(new Error(`the tracker refused a call: ${Buffer.from(frame.body).toString('latin1')}`));
      }
    }
  }

  /** What is sent in one turn leaves in one write. */
  #send(frame: Uint8Array): void {
    this.#out.push(frame);
    if (this.#out.length > 1) return;
    queueMicrotask(() => {
      const frames = this.#out;
      this.#out = [];
      this.#socket.write(Buffer.concat(frames));
    });
  }
}
