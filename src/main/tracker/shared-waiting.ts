/** PURE. Those who wait for a round on a shared log, and what they are told when it does not come. */
import { RequestError } from '../../protocol/errors.ts';
import type { Done, Order } from './ledger.ts';

export interface Waiting {
  readonly sinceMs: number;
  /** It was told something. */
  isOver: boolean;
  /** Its entry was sent: whether it stands in the log may not be known. Undefined: it has none. */
  wasSent: boolean | undefined;
  reject(error: unknown): void;
}

export interface Reader extends Waiting {
  readonly promise: Promise<void>;
  resolve(): void;
}

export interface Writer extends Waiting {
  readonly order: Order;
  resolve(done: Done): void;
}

/** `fault`: why the log could not be reached last time. */
export function unreachable(wasSent: boolean | undefined, fault = 'it is slow to answer'): RequestError {
  const meanwhile = wasSent ? 'whether this was done will show then' : 'nothing was changed';
  return new RequestError(
    'log-unreachable',
    `the tracker can't reach a majority of etcd, which keeps the log (${fault})`,
    `try again: it goes on by itself when etcd is back${wasSent === undefined ? '' : `; ${meanwhile}`}`,
  );
}

export const closing = () => new RequestError('tracker-unreachable', 'the tracker is shutting down');

export function overWith(waiting: Waiting, error: unknown): void {
  if (waiting.isOver) return;
  waiting.isOver = true;
  waiting.reject(error);
}
