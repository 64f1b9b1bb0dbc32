/** The only room that reads the time, draws random numbers or starts a timer; everyone else is given a Clock. */
import { randomBytes } from 'node:crypto';
import { RANDOM_ID_BYTES, toHex } from '../../protocol/ids.ts';

export interface Clock {
  /** Wall time in ms since 1970. */
  nowMs(): number;
  /** Steadily rising time in ms, for durations. */
  monotonicMs(): number;
  /** Calls back every so many ms until the returned function is called. Keeps no process alive. */
  every(intervalMs: number, task: () => void): () => void;
  /** Calls back once, unless the returned function is called before. */
  after(delayMs: number, task: () => void): () => void;
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  every(intervalMs, task) {
    const timer = setInterval(task, intervalMs).unref();
    return () => clearInterval(timer);
  },
  after(delayMs, task) {
    const timer = setTimeout(task, delayMs);
    return () => clearTimeout(timer);
  },
};

/** A number from 0 up to 1, for choices that only need to differ. */
export const random = (): number => Math.random();

/** 128 random bits as hex, branded as the caller's kind of id. */
export function newId<T extends string>(): T {
  return toHex(randomBytes(RANDOM_ID_BYTES)) as T;
}
