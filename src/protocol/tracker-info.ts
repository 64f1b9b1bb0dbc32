/** tracker_info.txt: one tracker a line, `ip port [pin]`; `#` begins a comment. Also addresses as flags spell them. */
import { RequestError } from './errors.ts';
import type { TrackerId } from './ids.ts';
import { HOST_BYTES_MAX } from './limits.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface TrackerLine extends Address {
  readonly pin: TrackerId | undefined;
}

const PIN = /^(?:sha256:)?([0-9a-f]{64})$/i;
/** An IPv4 address, an IPv6 address, or a host name. The resolver has the last word. */
const HOST = /^(?:[0-9a-f:.]*:[0-9a-f:.]*(?:%[\w.-]+)?|[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?)$/i;
const EXPECTED = 'expected "<ip> <port> [<pin>]", for example "127.0.0.1 9000"';

/** Throws RequestError('tracker-info') naming file, line and what was expected. */
export function parseTrackerInfo(text: string, fileName: string): readonly TrackerLine[] {
  const lines: TrackerLine[] = [];
  for (const [index, raw] of text
    .replace(/^\ufeff/, '')
    .split(/\r?\n/)
    .entries()) {
    const content = raw.replace(/#.*/, '').trim();
    if (content === '') continue;
    const fail = (why: string) => new RequestError('tracker-info', `${fileName}, line ${index + 1}: ${why}`, EXPECTED);
    const [host = '', port, pin, ...rest] = content.split(/\s+/);
    if (port === undefined || rest.length > 0) throw fail(`"${content}" is not a tracker`);
    if (!hostAllowed(host)) throw fail(`"${host}" is not an address`);
    if (!portAllowed(port)) throw fail(`"${port}" is not a port from 1 to 65535`);
    const pinMatch = pin === undefined ? undefined : PIN.exec(pin);
    if (pinMatch === null) throw fail(`"${pin}" is not a pin of 64 hexadecimal digits`);
    lines.push({ host, port: Number(port), pin: pinMatch?.[1]?.toLowerCase() as TrackerId | undefined });
  }
  if (lines.length === 0) throw new RequestError('tracker-info', `${fileName} names no tracker`, EXPECTED);
  return lines;
}

/** `127.0.0.1:9999`, `[::1]:9999` or `host:9999`; undefined when it is none of these. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? '';
  const port = match?.[3] ?? '';
  return hostAllowed(host) && portAllowed(port) ? { host, port: Number(port) } : undefined;
}

export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function hostAllowed(host: string): boolean {
  return host.length > 0 && host.length <= HOST_BYTES_MAX && HOST.test(host);
}

function portAllowed(port: string): boolean {
  return /^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65535;
}
