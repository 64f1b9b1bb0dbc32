/**
 * PURE. Counts attempts per key (an account, an address) and says how long to wait once there were too many within a
 * window. Holds at most KEYS_MAX keys, whatever names strangers try: the oldest are forgotten first.
 */
const KEYS_MAX = 65_536;

interface Window {
  readonly startMs: number;
  count: number;
}

export class Attempts {
  readonly #max: number;
  readonly #windowMs: number;
  readonly #windows = new Map<string, Window>();

  constructor(options: { max: number; windowMs: number }) {
    this.#max = options.max;
    this.#windowMs = options.windowMs;
  }

  /** How long until the next attempt is allowed: 0 when it is now. */
  waitMs(key: string, nowMs: number): number {
    const window = this.#current(key, nowMs);
    return window && window.count >= this.#max ? window.startMs + this.#windowMs - nowMs : 0;
  }

  count(key: string, nowMs: number): void {
    const window = this.#current(key, nowMs);
    if (window) {
      window.count += 1;
      return;
    }
    this.#windows.delete(key);
    const [oldest] = this.#windows.keys();
    if (this.#windows.size >= KEYS_MAX && oldest !== undefined) this.#windows.delete(oldest);
    this.#windows.set(key, { startMs: nowMs, count: 1 });
  }

  /** Takes back an attempt that turned out to be no reason for concern. */
  refund(key: string, nowMs: number): void {
    const window = this.#current(key, nowMs);
    if (window && window.count > 0) window.count -= 1;
  }

  #current(key: string, nowMs: number): Window | undefined {
    const window = this.#windows.get(key);
    return window && nowMs >= window.startMs && nowMs < window.startMs + this.#windowMs ? window : undefined;
  }
}

/** What counts as one address: an IPv4 address, or the /64 of an IPv6 one, since a single host has a whole /64. */
export function addressKey(remoteAddress: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(remoteAddress);
  if (mapped?.[1]) return mapped[1];
  if (!remoteAddress.includes(':')) return remoteAddress;
  const [head = '', tail] = remoteAddress.replace(/%.*$/, '').split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - first.length - last.length);
  const groups = [...first, ...Array<string>(zeros).fill('0'), ...last];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}
