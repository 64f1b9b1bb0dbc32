/**
 * Moves a whole log to a file and back (log-file.ts). What is written was verified, and nothing is written before all of
 * a file was: keys, chains, signatures, order and its end. A place that holds the beginning of the log gets the rest;
 * one that holds another log is left alone. Doing it again is harmless.
 */
import { setImmediate } from 'node:timers/promises';
import { ProtocolViolation, RequestError } from '../../protocol/errors.ts';
import { type TrackerId, toHex } from '../../protocol/ids.ts';
import { ENTRIES_AT_ONCE_MAX } from '../../protocol/limits.ts';
import { keyId, type PublicKey, publicKeyFrom, type Signed } from '../../protocol/signed.ts';
import type { LogEntry } from '../../protocol/transaction.ts';
import { LogFileReader, LogFileWriter } from './log-file.ts';
import { LogLine, UnknownTracker } from './log-line.ts';
import { Registry } from './registry.ts';
import { registryDigest } from './registry-digest.ts';

type Pages = AsyncIterable<readonly Signed[]> | Iterable<readonly Signed[]>;

export interface LogSource {
  /** Of all trackers that wrote to it. */
  readonly keys: readonly Uint8Array[];
  /** In the order of execution. */
  readonly pages: Pages;
}

export interface LogTarget {
  /** The log begins again, and what is missing of it will be appended: these are the keys of who wrote it. */
  begin(keys: readonly Uint8Array[]): Promise<void>;
  /**
   * Called for all of the log, a page after the other: those of the page that are not there. Rejects with
   * RequestError('other-log') when others are.
   */
  missing(page: readonly LogEntry[]): Promise<readonly LogEntry[]>;
  /** After the last page: throws RequestError('other-log') when it holds what the log does not. */
  end(): Promise<void>;
  /** Resolves when they are safe. */
  append(entries: readonly LogEntry[]): Promise<void>;
}

export interface Moved {
  readonly entries: number;
  /** Those that were not there before. */
  readonly added: number;
  /** Of what the log adds up to: what `status` shows of a tracker that has it. */
  readonly digest: string;
}

export type Progress = (entries: number) => void;

/** Checks pages, and executes them. */
class Verifier {
  readonly #line: LogLine;
  readonly #registry = new Registry();

  constructor(keys: readonly Uint8Array[]) {
    const known = new Map<TrackerId, PublicKey>(keys.map((spki) => [keyId(spki), publicKeyFrom(spki)]));
    this.#line = new LogLine((origin) => known.get(origin));
  }

  get count(): number {
    return this.#line.head.position;
  }

  get digest(): string {
    return toHex(registryDigest(this.#registry));
  }

  take(page: readonly Signed[]): readonly LogEntry[] {
    const entries = this.#line.check(page);
    for (const entry of entries) {
      this.#line.add(entry);
      this.#registry.execute(entry.transaction);
    }
    return entries;
  }
}

/** Rejects with RequestError('log-damaged') when the log does not hold. */
export async function exportLog(source: LogSource, write: (bytes: Uint8Array) => void, tell: Progress): Promise<Moved> {
  const file = new LogFileWriter();
  try {
    const verifier = new Verifier(source.keys);
    write(file.keys(source.keys));
    for await (const page of source.pages) {
      verifier.take(page);
      write(Buffer.concat(page.map((signed) => file.entry(signed))));
      tell(verifier.count);
      await setImmediate();
    }
    write(file.end());
    return { entries: verifier.count, added: verifier.count, digest: verifier.digest };
  } catch (error) {
    throw damaged('the log', error);
  }
}

/** `read` gives the file from its beginning, more than once. */
export async function importLog(
  read: () => AsyncIterable<Uint8Array>,
  target: LogTarget,
  tell: Progress,
): Promise<Moved> {
  const whole = await walk(read(), { keys: async () => {}, page: async () => {} });
  await walk(read(), { keys: async () => {}, page: async (page) => void (await target.missing(page)) });
  await target.end();
  let added = 0;
  await walk(read(), {
    keys: (keys) => target.begin(keys),
    page: async (page, count) => {
      const missing = await target.missing(page);
      if (missing.length > 0) await target.append(missing);
      added += missing.length;
      tell(count);
    },
  });
  return { ...whole, added };
}

interface Visit {
  keys(keys: readonly Uint8Array[]): Promise<void>;
  page(page: readonly LogEntry[], count: number): Promise<void>;
}

async function walk(chunks: AsyncIterable<Uint8Array>, visit: Visit): Promise<Omit<Moved, 'added'>> {
  const reader = new LogFileReader();
  let verifier: Verifier | undefined;
  let page: Signed[] = [];
  const flush = async () => {
    if (!verifier || page.length === 0) return;
    await visit.page(verifier.take(page), verifier.count);
    page = [];
  };
  try {
    for await (const chunk of chunks) {
      for (const item of reader.push(chunk)) {
        if (item.type === 'keys') {
          verifier = new Verifier(item.keys);
          await visit.keys(item.keys);
          continue;
        }
        page.push(item.signed);
        if (page.length === ENTRIES_AT_ONCE_MAX) await flush();
      }
      await flush();
    }
    reader.end();
    return { entries: verifier?.count ?? 0, digest: verifier?.digest ?? '' };
  } catch (error) {
    throw damaged('the file', error);
  }
}

function damaged(what: string, error: unknown): unknown {
  if (error instanceof UnknownTracker) {
    return new RequestError('log-damaged', `${what} does not hold: ${error.message}`);
  }
  if (error instanceof ProtocolViolation) {
    return new RequestError('log-damaged', `${what} does not hold: ${error.message}`, 'export it again');
  }
  return error;
}
