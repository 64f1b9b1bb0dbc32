/**
 * Owns one client's connection at the tracker. Its calls are worked on one after the other, in the order in which they
 * came; the next is not held up by an answer that only waits for the disk or for other trackers. With CALLS_IN_FLIGHT_MAX
 * unanswered the rest waits in the socket. Whatever leaves, answers and pushes alike, leaves in the order in which it was
 * made, and not before everything that was written to the log until then is safe.
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

/** The calls that follow see what a call did as soon as there is this. A promise in it is what the answer waits for. */
export interface Answer {
  readonly result: unknown;
}

export interface SeatDuties {
  /** The answer to a call. RequestError: its refusal; ProtocolViolation: the end of the connection; else a fault of ours. */
  answer(seat: Seat, call: Call): Answer | Promise<Answer>;
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

/** A frame, once the answer in it is there. */
type Leaving = Uint8Array | Promise<Uint8Array>;

/** What leaves when `settled` has resolved. */
interface Held {
  readonly settled: Promise<void> | undefined;
  readonly frames: Leaving[];
  /** How many of them answer a call. */
  answers: number;
}

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
  /** Calls that were taken and whose answers have not left. */
  #unanswered = 0;
  #working: Promise<void> | undefined;
  readonly #held: Held[] = [];
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
    this.#unanswered += 1;
    if (this.#unanswered >= CALLS_IN_FLIGHT_MAX && !this.#paused) {
      this.#paused = true;
      this.#connection.pause();
    }
    if (!this.#working) this.#work();
  }

  push(push: Push): void {
    this.#send(encodeFrame(FrameType.Push, { body: encodeCbor(push) }), false);
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
    while (this.#working) await this.#working;
    await this.#leaving;
    this.#connection.close(reason);
    await this.#gone.promise;
  }

  /** As far as it goes without waiting. */
  #work(): void {
    for (let next = this.#waiting.shift(); next && !this.isClosed; next = this.#waiting.shift()) {
      const { id } = next;
      try {
        const answer = this.#answer(next);
        if (answer instanceof Promise) {
          this.#await(id, answer);
          return;
        }
        this.#reply(id, answer);
      } catch (error) {
        this.#refuse(id, error);
      }
    }
  }

  #await(id: number, answer: Promise<Answer>): void {
    this.#working = answer
      .then((late) => this.#reply(id, late))
      .catch((error) => this.#refuse(id, error))
      .then(() => {
        this.#working = undefined;
        this.#work();
      });
  }

  #answer({ call, method }: Waiting): Answer | Promise<Answer> {
    if (!call) throw new RequestError('bad-request', `this tracker knows no request "${shown(method)}"`);
    return this.#duties.answer(this, call);
  }

  #reply(id: number, { result }: Answer): void {
    const frameOf = (body: unknown) => encodeFrame(FrameType.Result, { id, body: encodeCbor(body) });
    this.#send(result instanceof Promise ? result.then(frameOf) : frameOf(result), true);
  }

  #refuse(id: number, error: unknown): void {
    if (error instanceof RequestError) {
      const { code, message, hint } = error;
      const failure: Failure = hint === undefined ? { code, message } : { code, message, hint };
      this.#send(encodeFrame(FrameType.Failure, { id, body: encodeCbor(failure) }), true);
      return;
    }
    this.#refusing = true;
    this.#waiting.length = 0;
    if (error instanceof ProtocolViolation) this.#connection.close(error);
    else this.#duties.failed(error);
  }

  /** Sends a frame when what was written until now is safe; at once, if it is. */
  #send(frame: Leaving, isAnswer: boolean): void {
    const settled = this.#duties.settled();
    if (!settled && !this.#leaving && !(frame instanceof Promise)) {
      this.#connection.send(frame);
      if (isAnswer) this.#answered(1);
      return;
    }
    // Its failure is heard when its turn comes.
    if (frame instanceof Promise) frame.catch(() => {});
    let last = this.#held.at(-1);
    if (!last || last.settled !== settled) {
      last = { settled, frames: [], answers: 0 };
      this.#held.push(last);
    }
    last.frames.push(frame);
    if (isAnswer) last.answers += 1;
    this.#leaving ??= this.#leave();
  }

  async #leave(): Promise<void> {
    try {
      for (let held = this.#held[0]; held; held = this.#held[0]) {
        await held.settled;
        for (const frame of held.frames) this.#connection.send(frame instanceof Promise ? await frame : frame);
        this.#held.shift();
        this.#answered(held.answers);
      }
      this.#leaving = undefined;
    } catch (error) {
      // And it stays so: nothing leaves any more.
      this.#duties.failed(error);
    }
  }

  #answered(count: number): void {
    this.#unanswered -= count;
    if (!this.#paused || this.#unanswered > CALLS_IN_FLIGHT_MAX / 2) return;
    this.#paused = false;
    this.#connection.resume();
  }
}
