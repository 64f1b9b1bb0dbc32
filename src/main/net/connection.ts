/**
 * One TLS connection that speaks frames. It owns the socket and the order of writes, checks the hello that opens each
 * conversation, answers pings, and ends with exactly one call of `closed`. What frames mean is its owner's business.
 *
 * Reading: a dialled socket reads straight into the memory that the frame reader names; an accepted one hands out
 * chunks of its own, which are copied (only downloads dial, so only small frames take that way).
 *
 * Writing: one write is in flight at a time. Node's TLS copies everything that is queued behind it into one buffer, so
 * the queue is kept here; small frames that pile up are joined, a slot goes out alone and uncopied.
 */
import type { TLSSocket } from 'node:tls';
import { decodeCbor, encodeCbor } from '../../protocol/cbor.ts';
import { invariant, knownErrorCode, ProtocolViolation, RequestError } from '../../protocol/errors.ts';
import {
  type BodyPlace,
  encodeFrame,
  type Frame,
  type FrameHeader,
  FrameReader,
  FrameType,
} from '../../protocol/frame.ts';
import type { DeviceId, TrackerId } from '../../protocol/ids.ts';
import { CONTROL_BODY_BYTES_MAX, PROTOCOL_VERSION, SILENCE_MS_MAX } from '../../protocol/limits.ts';
import { encodeHello, failureSchema, type Hello, helloSchema } from '../../protocol/messages.ts';

export interface ConnectionHandler {
  /** The other side's hello came: frames may follow. */
  ready?(hello: Hello): void;
  /** Where the body of this frame belongs. Default: memory of the reader's own, for bodies as small as control messages. */
  place?(header: FrameHeader): BodyPlace;
  /** A whole frame. May throw ProtocolViolation, which closes the connection. */
  frame(frame: Frame): void;
  /** Called once. RequestError: the other side said why; ProtocolViolation: it broke the rules; undefined: we closed. */
  closed(error: Error | undefined): void;
}

interface Write {
  readonly bytes: Uint8Array;
  /** Set for a slot: it goes out alone, and is the owner's again when this is called. */
  readonly done: (() => void) | undefined;
}

const JOINED_BYTES_MAX = 64 * 1024;
/** A side that lets this much pile up unread is closed: control frames are small and answers are awaited. */
const BACKLOG_BYTES_MAX = 16 * 1024 * 1024;

/** Where bytes go that come after our bye. */
const UNHEARD = new Uint8Array(1024);

export class Connection {
  /** Who is there: SHA-256 of the public key that its certificate proved. */
  readonly peerId: DeviceId & TrackerId;
  readonly remoteAddress: string;
  readonly #socket: TLSSocket;
  #handler: ConnectionHandler | undefined;
  readonly #reader: FrameReader;
  #greeted = false;
  #writes: Write[] = [];
  #writing = false;
  #flushQueued = false;
  /** Bytes accepted by send that have not reached the kernel. Slots don't count: their memory is bounded elsewhere. */
  #backlogBytes = 0;
  #receivedBytes = 0;
  #closed = false;
  /** Set once a bye is on its way: nothing is heard or sent after it, and the connection ends when it has left. */
  #ending = false;
  #violation: ProtocolViolation | undefined;

  constructor(socket: TLSSocket, peerId: DeviceId & TrackerId) {
    this.#socket = socket;
    this.peerId = peerId;
    this.remoteAddress = socket.remoteAddress ?? '';
    this.#reader = new FrameReader((header) => this.#place(header));
    socket.setNoDelay(true);
    socket.setTimeout(SILENCE_MS_MAX, () => this.#end(new Error('the connection fell silent')));
    socket.on('error', (error) => this.#end(error));
    socket.on('end', () => this.#end(new Error('the other side closed the connection')));
    socket.on('close', () => this.#end(new Error('the connection is gone')));
    this.send(encodeFrame(FrameType.Hello, { body: encodeHello() }));
  }

  /** Says who hears of frames; in the same turn in which the connection was made. */
  attach(handler: ConnectionHandler): void {
    invariant(!this.#handler, 'a connection has one handler');
    this.#handler = handler;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** Bytes that have come, of whole and unfinished frames: to tell a slow side from a silent one. */
  get receivedBytes(): number {
    return this.#receivedBytes;
  }

  /** The memory the next bytes belong in. For the socket's onread. */
  readonly target = (): Uint8Array => (this.#ending ? UNHEARD : this.#reader.target());

  /** Tells that bytes came into target(). For the socket's onread. */
  received(bytes: number): void {
    this.#receivedBytes += bytes;
    this.#guard(() => {
      const frame = this.#reader.advance(bytes);
      if (frame) this.#dispatch(frame);
    });
  }

  /** Takes bytes in memory of the socket's own. */
  receivedChunk(chunk: Uint8Array): void {
    this.#receivedBytes += chunk.length;
    this.#guard(() => {
      for (const frame of this.#reader.feed(chunk)) {
        this.#dispatch(frame);
        if (this.#closed || this.#ending) return;
      }
    });
  }

  /** Queues whole frames. Nothing happens on a closed connection: its owner has been told. */
  send(bytes: Uint8Array): void {
    if (this.#closed || this.#ending) return;
    this.#backlogBytes += bytes.length;
    this.#writes.push({ bytes, done: undefined });
    if (this.#backlogBytes > BACKLOG_BYTES_MAX) {
      this.#end(new Error('the other side does not read what it is sent'));
      return;
    }
    this.#queueFlush();
  }

  /** Sends a slot's memory (header and body). `done` is called once, when the memory is the caller's again. */
  sendSlot(memory: Uint8Array, done: () => void): void {
    if (this.#closed || this.#ending) {
      done();
      return;
    }
    this.#writes.push({ bytes: memory, done });
    this.#flush();
  }

  /** Reads no more until resume(): what the other side sends waits with it. Frames that came already still follow. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  ping(): void {
    this.send(encodeFrame(FrameType.Ping));
  }

  /** Closes; with a reason, the other side is told it first. Without one at once, even while a reason is on its way. */
  close(reason?: RequestError | ProtocolViolation): void {
    if (!reason) {
      this.#end(undefined);
      return;
    }
    if (this.#closed || this.#ending) return;
    if (reason instanceof ProtocolViolation) this.#violation = reason;
    this.#sendBye(reason);
    this.#ending = true;
    this.#flush();
  }

  #sendBye(reason: RequestError | ProtocolViolation): void {
    const failure =
      reason instanceof RequestError
        ? { code: reason.code, message: reason.message, ...(reason.hint ? { hint: reason.hint } : {}) }
        : { code: 'bad-request', message: reason.message };
    this.send(encodeFrame(FrameType.Bye, { body: encodeCbor(failure) }));
  }

  #guard(task: () => void): void {
    if (this.#closed || this.#ending) return;
    try {
      task();
    } catch (error) {
      if (!(error instanceof ProtocolViolation)) throw error;
      this.#socket.pause();
      this.close(error);
    }
  }

  /** Before the hello a stranger can't make us hold more than a hello. */
  #place(header: FrameHeader): BodyPlace {
    if (!this.#greeted && header.type !== FrameType.Hello) throw new ProtocolViolation('no hello at the start');
    if (this.#handler?.place) return this.#handler.place(header);
    // Pieces and bitfields are larger; who awaits them says where they belong.
    if (header.lengthBytes > CONTROL_BODY_BYTES_MAX)
      throw new ProtocolViolation(`nobody awaits frame type ${header.type}`);
    return 'buffer';
  }

  #dispatch(frame: Frame): void {
    if (!this.#greeted) {
      this.#greet(frame);
      return;
    }
    switch (frame.type) {
      case FrameType.Hello:
        throw new ProtocolViolation('a second hello');
      case FrameType.Ping:
        this.send(encodeFrame(FrameType.Pong));
        return;
      case FrameType.Pong:
        return;
      case FrameType.Bye: {
        const { code, message, hint } = decodeCbor(failureSchema, frame.body, 'bye');
        this.#end(new RequestError(knownErrorCode(code), message, hint));
        return;
      }
      default:
        this.#handler?.frame(frame);
    }
  }

  #greet(frame: Frame): void {
    if (frame.type !== FrameType.Hello) throw new ProtocolViolation('no hello at the start');
    const hello = decodeCbor(helloSchema, frame.body, 'hello');
    if (hello.version !== PROTOCOL_VERSION) {
      throw new ProtocolViolation(`protocol version ${hello.version}, expected ${PROTOCOL_VERSION}`);
    }
    this.#greeted = true;
    this.#handler?.ready?.(hello);
  }

  /** Small frames of one turn of the event loop leave together. */
  #queueFlush(): void {
    if (this.#flushQueued || this.#writing) return;
    this.#flushQueued = true;
    queueMicrotask(() => {
      this.#flushQueued = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#writing || this.#closed) return;
    const first = this.#writes[0];
    if (!first) {
      if (this.#ending) this.#end(this.#violation);
      return;
    }
    const batch = first.done ? [first] : this.#smallWrites();
    this.#writes.splice(0, batch.length);
    const bytes = batch.length === 1 ? first.bytes : Buffer.concat(batch.map((write) => write.bytes));
    this.#writing = true;
    this.#socket.write(bytes, () => {
      this.#writing = false;
      if (first.done) first.done();
      else this.#backlogBytes -= bytes.length;
      this.#flush();
    });
  }

  #smallWrites(): Write[] {
    const batch: Write[] = [];
    let bytes = 0;
    for (const write of this.#writes) {
      if (write.done || (bytes > 0 && bytes + write.bytes.length > JOINED_BYTES_MAX)) break;
      bytes += write.bytes.length;
      batch.push(write);
    }
    return batch;
  }

  #end(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.destroy();
    const unsent = this.#writes;
    this.#writes = [];
    for (const write of unsent) write.done?.();
    this.#handler?.closed(error);
  }
}
