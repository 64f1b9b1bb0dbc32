/**
 * The asking side of request/response over one connection: numbers the calls, matches the answers, checks each against
 * its method's schema. A call ends with its answer, a RequestError from the tracker, or the end of the connection.
 */
import { decodeCbor } from '../../protocol/cbor.ts';
import { knownErrorCode, ProtocolViolation, RequestError } from '../../protocol/errors.ts';
import { encodeFrame, type Frame, FrameType } from '../../protocol/frame.ts';
import {
  decodeResult,
  encodeCall,
  failureSchema,
  type Method,
  type Params,
  type Push,
  pushSchema,
  type Result,
} from '../../protocol/messages.ts';
import type { Connection } from './connection.ts';

interface Pending {
  readonly method: Method;
  resolve(result: unknown): void;
  reject(error: Error): void;
}

export class Calls {
  readonly #connection: Connection;
  readonly #onPush: (push: Push) => void;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;

  constructor(connection: Connection, onPush: (push: Push) => void) {
    this.#connection = connection;
    this.#onPush = onPush;
  }

  /** Rejects with the tracker's RequestError, or with ConnectionLost when the connection ends first. */
  call<M extends Method>(method: M, params: Params<M>): Promise<Result<M>> {
    if (this.#connection.isClosed) return Promise.reject(new ConnectionLost());
    this.#lastId = (this.#lastId + 1) >>> 0;
    const id = this.#lastId;
    return new Promise<Result<M>>((resolve, reject) => {
      this.#pending.set(id, { method, resolve: (result) => resolve(result as Result<M>), reject });
      this.#connection.send(encodeFrame(FrameType.Call, { id, body: encodeCall(method, params) }));
    });
  }

  /** Takes a frame of the connection. Throws ProtocolViolation for one that answers nothing. */
  frame(frame: Frame): void {
    if (frame.type === FrameType.Push) {
      this.#onPush(decodeCbor(pushSchema, frame.body, 'push'));
      return;
    }
    const pending = this.#pending.get(frame.id);
    if (!pending) throw new ProtocolViolation('an answer that nobody asked for');
    const settle = this.#answer(pending, frame);
    this.#pending.delete(frame.id);
    settle();
  }

  /** Checks an answer before the call it belongs to is forgotten: a broken one ends the connection, and so the call. */
  #answer(pending: Pending, frame: Frame): () => void {
    switch (frame.type) {
      case FrameType.Result: {
        const result = decodeResult(pending.method, frame.body);
        return () => pending.resolve(result);
      }
      case FrameType.Failure: {
        const { code, message, hint } = decodeCbor(failureSchema, frame.body, 'failure');
        return () => pending.reject(new RequestError(knownErrorCode(code), message, hint));
      }
      default:
        throw new ProtocolViolation(`frame type ${frame.type} from a tracker`);
    }
  }

  /** The connection has ended: whoever waits is told. */
  end(): void {
    for (const pending of this.#pending.values()) pending.reject(new ConnectionLost());
    this.#pending.clear();
  }
}

/** The connection ended before the answer came. Whether the request was done is not known: repeat it under its id. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';

  constructor() {
    super('the connection to the tracker was lost');
  }
}
