/**
 * Owns one client's connection at the tracker. Its calls are answered one after the other, in the order in which they
 * came; beyond CALLS_IN_FLIGHT_MAX the rest waits in the socket. Whatever leaves, answers and pushes alike, leaves in
 * the order in which it was made, and not before everything that was written to the log until then is safe.
 */
import * as v from 'valibot';
import { decodeCbor, encodeCbor } from '../../protocol/cbor.ts';
import { ProtocolViolation, RequestError } from '../../protocol/errors.ts';
import { encodeFrame, type Frame, FrameType } from '../../protocol/frame.ts';
import type { DeviceId } from '../../protocol/ids.ts';
import { CALLS_IN_FLIGHT_MAX, HEARTBEAT_MS, SILENCE_MS_MAX } from '../../protocol/limits.ts';
import { type Call, decodeCall, type Failure, type Push } from '../../protocol/messages.ts';
import type { Connection } from '../net/connection.ts';
import type { Asker } from './asker.ts';
import type { Place } from './online.ts';
import type { Attendee } from './presence.ts';
import { shown } from './wording.ts';

export interface SeatDuties {
  /** The answer to a call. RequestError: its refusal; ProtocolViolation: the end of the connection; else a fault of ours. */
  answer(seat: Seat, call: Call): Promise<unknown>;
  /** See Journal.settled. */
  settled(): Promise<void> | undefined;
  /** An answer could not be worked out, or what it depends on can't be saved. */
  failed(error: unknown): void;
}

/** What a seat needs of its connection. */
export type SeatConnection = Pick<
  Connection,
  'peerId' | 'remoteAddress' | 'isClosed' | 'receivedBytes' | 'send' | 'ping' | 'pause' | 'resume' | 'close'
>;

interface Waiting {
  readonly id: number;
  /** Undefined: a method that this version does not know. */
  readonly call: Call | undefined;
  readonly method: string;
}

const methodSchema = v.object({ method: v.string() });

export class Seat implements Asker, Place, Attendee {
  readonly device: DeviceId;
  readonly remoteAddress: string;
  login: Place['login'];
  readonly #connection: SeatConnection;
  readonly #duties: SeatDuties;
  readonly #waiting: Waiting[] = [];
  #paused = false;
  #heardBytes = 0;
  #silentBeats = 0;
  #refusing = false;
  readonly #gone = Promise.withResolvers<void>();
  #working: Promise<void> | undefined;
  #leaving: Promise<void> | undefined;

  constructor(connection: SeatConnection, duties: SeatDuties) {
    this.#connection = connection;
    this.#duties = duties;
    this.device = connection.peerId;
    this.remoteAddress = connection.remoteAddress;
  }

  get session(): Asker['session'] {
    return this.login?.session;
  }

  get isClosed(): boolean {
    return this.#connection.isClosed;
  }

  /** Takes a frame. Throws ProtocolViolation for one that is no call. */
  frame(frame: Frame): void {
    if (frame.type !== FrameType.Call) throw new ProtocolViolation(`frame type ${frame.type} from a client`);
    if (this.#refusing || this.isClosed) return;
    const call = decodeCall(frame.body);
    const method = call?.method ?? decodeCbor(methodSchema, frame.body, 'call').method;
    this.#waiting.push({ id: frame.id, call, method });
    if (this.#waiting.length >= CALLS_IN_FLIGHT_MAX && !this.#paused) {
      this.#paused = true;
      this.#connection.pause();
    }
    this.#working ??= this.#work();
  }

  push(push: Push): void {
    this.#send(encodeFrame(FrameType.Push, { body: encodeCbor(push) }));
  }

  /** Called every HEARTBEAT_MS: asks for a sign of life, and gives up on who gave none for SILENCE_MS_MAX. */
  heartbeat(): void {
    const { receivedBytes } = this.#connection;
    this.#silentBeats = receivedBytes === this.#heardBytes ? this.#silentBeats + 1 : 0;
    this.#heardBytes = receivedBytes;
    if (this.#silentBeats * HEARTBEAT_MS >= SILENCE_MS_MAX) this.#connection.close();
    else this.#connection.ping();
  }

  /** The connection has ended. */
  closed(): void {
    this.#gone.resolve();
  }

  /**
   * Takes no more calls (a client repeats them elsewhere or later), answers those it has, and says why it closes.
   * Resolves when all of that has left and the connection is gone.
   */
  async close(reason: RequestError): Promise<void> {
    this.#refusing = true;
    await this.#working;
    await this.#leaving;
    this.#connection.close(reason);
    await this.#gone.promise;
  }

  async #work(): Promise<void> {
    try {
      for (let next = this.#waiting.shift(); next && !this.isClosed; next = this.#waiting.shift()) {
        this.#send(await this.#answer(next));
        this.#resume();
      }
    } catch (error) {
      if (error instanceof ProtocolViolation) this.#connection.close(error);
      else this.#duties.failed(error);
    } finally {
      this.#working = undefined;
    }
  }

  async #answer({ id, call, method }: Waiting): Promise<Uint8Array> {
    try {
      if (!call) throw new RequestError('bad-request', `this tracker knows no request "${shown(method)}"`);
      const result = await this.#duties.answer(this, call);
      return encodeFrame(FrameType.Result, { id, body: encodeCbor(result) });
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      const { code, message, hint } = error;
      const failure: Failure = hint === undefined ? { code, message } : { code, message, hint };
      return encodeFrame(FrameType.Failure, { id, body: encodeCbor(failure) });
    }
  }

  #resume(): void {
    if (!this.#paused || this.#waiting.length > CALLS_IN_FLIGHT_MAX / 2) return;
    this.#paused = false;
    this.#connection.resume();
  }

  #send(bytes: Uint8Array): void {
    const settled = this.#duties.settled();
    if (!settled && !this.#leaving) {
      this.#connection.send(bytes);
      return;
    }
    const before = this.#leaving;
    const leaving = Promise.all([before, settled]).then(
      () => this.#connection.send(bytes),
      (error) => this.#duties.failed(error),
    );
    this.#leaving = leaving;
    void leaving.then(() => {
      if (this.#leaving === leaving) this.#leaving = undefined;
    });
  }
}
