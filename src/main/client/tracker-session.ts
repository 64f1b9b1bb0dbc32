/**
 * The client's line to a tracker: connects to one of those in tracker_info.txt, stays connected, and takes the session
 * up again on every new connection. It owns the pins: a tracker without a pin in the file is trusted at first contact,
 * or when a tracker that is trusted names its key, and must show the same key from then on.
 *
 * A call waits a while for a connection; one that was under way when the connection broke is repeated on the next, under
 * the request id that its caller chose, so that it is done once.
 */
import { RequestError } from '../../protocol/errors.ts';
import type { TrackerId } from '../../protocol/ids.ts';
import { HEARTBEAT_MS } from '../../protocol/limits.ts';
import type { Method, Params, Push, Result } from '../../protocol/messages.ts';
import type { Signed } from '../../protocol/signed.ts';
import { formatAddress, type TrackerLine } from '../../protocol/tracker-info.ts';
import { Calls, ConnectionLost } from '../net/calls.ts';
import type { Connection } from '../net/connection.ts';
import type { Identity } from '../net/identity.ts';
import { dial } from '../net/tls.ts';
import type { Clock } from '../support/clock.ts';
import type { Logger } from '../support/logger.ts';
import type { Notice } from './types.ts';

const DIAL_MS_MAX = 3_000;
/** From the connection to a session taken up. */
const GREETING_MS_MAX = 5_000;
/** Where there is another tracker to try. */
const DIAL_NEXT_MS_MAX = 1_200;
/** How long a tracker is looked for that knows of our login, before the login counts as lost. */
const LOGIN_MS_MAX = 10_000;
const RETRY_MS_MIN = 100;
const RETRY_MS_MAX = 2_000;
/** How long a call waits for a tracker before the person is told that there is none. */
const CALL_MS_MAX = 5_000;

export interface PinStore {
  pin(address: string): TrackerId | undefined;
  setPin(address: string, pin: TrackerId): void;
}

export interface TrackerSessionOptions {
  readonly trackers: readonly TrackerLine[];
  readonly identity: Identity;
  readonly pins: PinStore;
  readonly acceptNewPin: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The session token to take up on a new connection, if somebody is logged in. */
  token(): Signed | undefined;
  /** The tracker no longer knows the session. */
  onSessionEnded(reason: string): void;
  /** A connection stands and the session, if any, is taken up. */
  onReady(): void;
  onPush(push: Push): void;
  onNotice(notice: Notice): void;
}

interface Line {
  readonly connection: Connection;
  readonly calls: Calls;
}

export class TrackerSession {
  readonly #options: TrackerSessionOptions;
  readonly #abort = new AbortController();
  readonly #stopHeartbeat: () => void;
  readonly #waiting = new Set<() => void>();
  /** Why each tracker could not be reached last time, by address. */
  readonly #failures = new Map<string, Error>();
  #line: Line | undefined;
  #toldLost = false;
  /** Since when every tracker that answers has not heard of our login. */
  #unheardSinceMs: number | undefined;
  #stopSleep: (() => void) | undefined;

  constructor(options: TrackerSessionOptions) {
    this.#options = options;
    this.#stopHeartbeat = options.clock.every(HEARTBEAT_MS, () => this.#beat());
    void this.#keepConnected();
  }

  get isConnected(): boolean {
    return this.#line !== undefined;
  }

  /** Whether a tracker's signature counts: its key is pinned in the file or was stored at first contact. */
  readonly trusts = (tracker: TrackerId): boolean => {
    const { trackers, pins } = this.#options;
    return trackers.some((line) => (line.pin ?? pins.pin(formatAddress(line))) === tracker);
  };

  /** Rejects with the tracker's RequestError, or with 'tracker-unreachable' when none could be asked in time. */
  async call<M extends Method>(method: M, params: Params<M>): Promise<Result<M>> {
    const timeout = new AbortController();
    const stopTimer = this.#options.clock.after(CALL_MS_MAX, () => timeout.abort());
    try {
      for (;;) {
        const line = this.#line ?? (await this.#nextLine(timeout.signal));
        try {
          return await until(timeout.signal, line.calls.call(method, params), () => this.#unreachable());
        } catch (error) {
          if (!(error instanceof ConnectionLost)) throw error;
        }
      }
    } finally {
      stopTimer();
    }
  }

  /** Idempotent. */
  close(): void {
    this.#abort.abort();
    this.#stopHeartbeat();
    this.#stopSleep?.();
    this.#line?.connection.close();
    this.#wakeWaiting();
  }

  #beat(): void {
    this.#line?.connection.ping();
    if (this.#line) void this.#learnPins(this.#line.calls);
  }

  get #closed(): boolean {
    return this.#abort.signal.aborted;
  }

  async #keepConnected(): Promise<void> {
    const { trackers, clock } = this.#options;
    let retryMs = RETRY_MS_MIN;
    for (let turn = 0; !this.#closed; ) {
      const tracker = trackers[turn % trackers.length];
      if (!tracker) return;
      try {
        const { ended } = await this.#connect(tracker);
        const sinceMs = clock.monotonicMs();
        this.#lost(tracker, await ended);
        // The same tracker is tried first again: it may only have been restarted. One that sends us away is not pressed.
        if (clock.monotonicMs() - sinceMs > RETRY_MS_MAX) retryMs = RETRY_MS_MIN;
        else turn += 1;
      } catch (error) {
        this.#lost(tracker, error as Error);
        turn += 1;
      }
      if (turn % trackers.length !== 0) continue;
      this.#wakeWaiting();
      await this.#sleep(retryMs);
      retryMs = Math.min(RETRY_MS_MAX, 2 * retryMs);
    }
  }

  /** Resolves once the line stands and the session is taken up; `ended` tells why it fell. */
  async #connect(tracker: TrackerLine): Promise<{ ended: Promise<Error> }> {
    const { identity, onPush, clock } = this.#options;
    const pin = this.#expectedPin(tracker);
    const greeted = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<Error>();
    let calls: Calls | undefined;
    const connection = await dial({
      address: tracker,
      identity,
      protocol: 'p2pfs-tracker/1',
      trusts: (shown) => pin === undefined || shown === pin,
      timeoutMs: this.#options.trackers.length > 1 ? DIAL_NEXT_MS_MAX : DIAL_MS_MAX,
      signal: this.#abort.signal,
      handler: {
        ready: () => greeted.resolve(),
        frame: (frame) => calls?.frame(frame),
        closed: (error) => {
          if (this.#line?.connection === connection) this.#line = undefined;
          calls?.end();
          const reason = error ?? new Error('closed');
          greeted.reject(reason);
          ended.resolve(reason);
        },
      },
    }).catch((error) => Promise.reject(explainPin(error, tracker, pin)));
    const hangUp = () => connection.close();
    this.#abort.signal.addEventListener('abort', hangUp, { once: true });
    void ended.promise.then(() => this.#abort.signal.removeEventListener('abort', hangUp));
    if (this.#closed) hangUp();
    // One that takes our connection and then says nothing must not keep us from the next.
    const stopTimer = clock.after(GREETING_MS_MAX, hangUp);
    try {
      calls = new Calls(connection, onPush);
      await greeted.promise;
      await this.#takeUpSession(calls);
    } catch (error) {
      hangUp();
      throw error;
    } finally {
      stopTimer();
    }
    if (connection.isClosed) throw await ended.promise;
    this.#line = { connection, calls };
    this.#stands(tracker, connection.peerId);
    void this.#learnPins(calls);
    return { ended: ended.promise };
  }

  /** Only a tracker that says so ends a session; one that can't look now does not. */
  async #takeUpSession(calls: Calls): Promise<void> {
    const { token, onSessionEnded } = this.#options;
    const session = token();
    if (!session) return;
    try {
      await calls.call('resume', { token: session });
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      const isOver = error.code === 'session-ended' || (error.code === 'tracker-behind' && !this.#awaitsLogin());
      if (!isOver) throw error;
      onSessionEnded(error.message);
    }
  }

  #stands(tracker: TrackerLine, pin: TrackerId): void {
    const { pins, onNotice, onReady } = this.#options;
    const address = formatAddress(tracker);
    const firstContact = tracker.pin === undefined && pins.pin(address) !== pin;
    if (firstContact) pins.setPin(address, pin);
    this.#failures.clear();
    this.#toldLost = false;
    this.#unheardSinceMs = undefined;
    this.#wakeWaiting();
    // What listeners do with the news is no fault of the line.
    queueMicrotask(() => {
      if (this.#closed) return;
      onNotice({ type: 'tracker-connected', address, pin, firstContact });
      onReady();
    });
  }

  /** Whether another tracker may still know of our login. */
  #awaitsLogin(): boolean {
    const nowMs = this.#options.clock.monotonicMs();
    this.#unheardSinceMs ??= nowMs;
    return nowMs < this.#unheardSinceMs + LOGIN_MS_MAX;
  }

  /** The tracker that we are connected to tells the keys of those that we never met. None that is known is replaced. */
  async #learnPins(calls: Calls): Promise<void> {
    const { trackers, pins } = this.#options;
    const unmet = trackers.filter((line) => !line.pin && !pins.pin(formatAddress(line)));
    if (unmet.length === 0) return;
    const told = await calls.call('trackers', {}).catch(() => undefined);
    for (const line of unmet) {
      const pin = told?.pins.find(({ host, port }) => host === line.host && port === line.port);
      if (pin && !pins.pin(formatAddress(line))) pins.setPin(formatAddress(line), pin.tracker);
    }
  }

  /** Undefined: whatever it shows is its pin from now on. */
  #expectedPin(tracker: TrackerLine): TrackerId | undefined {
    if (tracker.pin) return tracker.pin;
    return this.#options.acceptNewPin ? undefined : this.#options.pins.pin(formatAddress(tracker));
  }

  #lost(tracker: TrackerLine, error: Error): void {
    const address = formatAddress(tracker);
    this.#failures.set(address, error);
    this.#options.logger.debug({ address, reason: error.message }, 'no line to a tracker');
    if (this.#toldLost || this.#closed) return;
    this.#toldLost = true;
    const hint = error instanceof RequestError ? error.hint : undefined;
    this.#options.onNotice({ type: 'tracker-lost', address, reason: reasonOf(error), ...(hint ? { hint } : {}) });
  }

  #sleep(delayMs: number): Promise<void> {
    if (this.#closed) return Promise.resolve();
    return new Promise((resolve) => {
      const stop = this.#options.clock.after(delayMs, resolve);
      this.#stopSleep = () => {
        stop();
        resolve();
      };
    });
  }

  /** Waits for a line. A pin that does not match won't mend by waiting, so that is told at once. */
  async #nextLine(timeout: AbortSignal): Promise<Line> {
    for (;;) {
      if (this.#line) return this.#line;
      if (this.#closed) throw new RequestError('cancelled', 'the client is closing');
      const failures = [...this.#failures.values()];
      const hopeless = failures.find((error) => error instanceof RequestError && error.code === 'pin-mismatch');
      if (hopeless && failures.length === this.#options.trackers.length) throw hopeless;
      const woken = new Promise<void>((resolve) => this.#waiting.add(resolve));
      await until(timeout, woken, () => this.#unreachable());
    }
  }

  #wakeWaiting(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  #unreachable(): RequestError {
    const tried = this.#options.trackers.map((tracker) => {
      const failure = this.#failures.get(formatAddress(tracker));
      return `${formatAddress(tracker)} (${failure ? reasonOf(failure) : 'no answer'})`;
    });
    return new RequestError(
      'tracker-unreachable',
      `no tracker answers: ${tried.join(', ')}`,
      'check that a tracker runs and that tracker_info.txt names it; the client keeps trying',
    );
  }
}

/** The promise's outcome, or the error as soon as the signal says that it took too long. */
async function until<T>(timeout: AbortSignal, promise: Promise<T>, late: () => Error): Promise<T> {
  const expired = Promise.withResolvers<never>();
  const expire = () => expired.reject(late());
  if (timeout.aborted) expire();
  timeout.addEventListener('abort', expire, { once: true });
  try {
    return await Promise.race([promise, expired.promise]);
  } finally {
    timeout.removeEventListener('abort', expire);
  }
}

function explainPin(error: unknown, tracker: TrackerLine, pin: TrackerId | undefined): unknown {
  if (!(error instanceof RequestError) || error.code !== 'pin-mismatch') return error;
  const remedy = tracker.pin ? 'put its new pin into tracker_info.txt' : 'start once with --accept-new-pin';
  return new RequestError(
    'pin-mismatch',
    `${error.message} (${pin})`,
    `somebody else may be answering in its place; if the tracker was really set up anew, ${remedy}`,
  );
}

/** What the system said, in words. */
function reasonOf(error: Error): string {
  switch ((error as NodeJS.ErrnoException).code) {
    case 'ECONNREFUSED':
      return 'connection refused';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return 'no such host';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      return 'no route to it';
    case 'ECONNRESET':
      return 'it broke the connection';
    default:
      return error.message;
  }
}
