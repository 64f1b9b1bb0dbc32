/**
 * The log of several trackers in etcd. The only file that knows etcd's client. Every change is one etcd transaction that
 * compares the head, puts the entries and the next head, and whose other branch reads what stands there instead; every
 * read goes through a majority. A call asks one member, with a deadline, and the next call asks the next member when it
 * failed: nothing is tried again here, since who asks must know that it may have been done.
 */
import { noop } from 'cockatiel';
import {
  CompareResult,
  CompareTarget,
  Etcd3,
  GRPCDeadlineExceededError,
  GRPCInvalidArgumentError,
  GRPCResourceExhastedError,
  type IRequestOp,
  type IResponseOp,
  type WatchClient,
} from 'etcd3';
import { RequestError } from '../../protocol/errors.ts';
import { toHex } from '../../protocol/ids.ts';
import { ENTRIES_AT_ONCE_MAX, KIB, MIB } from '../../protocol/limits.ts';
import type { LogEntry } from '../../protocol/transaction.ts';
import type { Clock } from '../support/clock.ts';
import { EtcdLayout, entryValue, headValue, readEntryValue, readHead, readRecord, recordValue } from './etcd-layout.ts';
import type { EtcdSettings } from './etcd-settings.ts';
import {
  type Appended,
  LogUnreachable,
  type SharedHead,
  type SharedLog,
  type SharedTail,
  type TrackerRecord,
} from './shared-log.ts';

/** How long one member is waited for: an election takes up to two seconds, and another member may know the leader. */
const CALL_MS_MAX = 1_000;
/** More than a page of the longest entries takes. */
const RECEIVED_BYTES_MAX = ENTRIES_AT_ONCE_MAX * 40 * KIB + MIB;
const GRPC_OPTIONS = {
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 3_000,
  // A member that came back is dialled at once, not when another channel's backoff allows.
  'grpc.use_local_subchannel_pool': 1,
  'grpc.max_receive_message_length': RECEIVED_BYTES_MAX,
};

interface Member {
  readonly address: string;
  readonly etcd: Etcd3;
  watching: Awaited<ReturnType<WatchClient['watch']>> | undefined;
}

export class EtcdLog implements SharedLog {
  readonly where: string;
  readonly #layout: EtcdLayout;
  readonly #members: readonly Member[];
  /** The member that is asked. */
  #at = 0;
  #memberCount: number;
  #news: ((position: number) => void) | undefined;
  #isClosed = false;

  constructor(settings: EtcdSettings, clock: Clock) {
    const { endpoints, prefix, tls, user } = settings;
    this.where = `etcd at ${endpoints.join(', ')}, under ${prefix}`;
    this.#layout = new EtcdLayout(prefix);
    this.#memberCount = endpoints.length;
    this.#members = endpoints.map((address) => ({
      address,
      etcd: new Etcd3({
        hosts: `${tls ? 'https' : 'http'}://${address}`,
        ...(tls ? { credentials: credentialsOf(tls) } : {}),
        ...(user ? { auth: { username: user.name, password: user.password } } : {}),
        grpcOptions: GRPC_OPTIONS,
        defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: clock.nowMs() + CALL_MS_MAX }),
        // What may have been done is tried again by who can tell, and by nobody else.
        faultHandling: { host: () => noop, global: noop },
      }),
      watching: undefined,
    }));
  }

  get members(): number {
    return this.#memberCount;
  }

  async read(after: number): Promise<SharedTail> {
    // Reads of one transaction are of one moment.
    const { responses } = await this.#ask(({ kv }) => kv.txn({ success: this.#reads(after) }));
    return tailOf(responses);
  }

  async append(at: SharedHead, entries: readonly LogEntry[]): Promise<Appended> {
    const puts = entries.map(({ signed }, index) => ({
      request_put: { key: this.#layout.entry(at.position + index + 1), value: entryValue(signed) },
    }));
    const last = entries.at(-1);
    if (!last) throw new RangeError('nothing to append');
    const head = { position: at.position + entries.length, hash: toHex(last.hash) };
    try {
      const { succeeded, responses } = await this.#ask(({ kv }) =>
        kv.txn({
          compare: [this.#isHead(at)],
          success: [...puts, { request_put: { key: this.#layout.head, value: headValue(head) } }],
          failure: this.#reads(at.position),
        }),
      );
      return succeeded ? { type: 'appended' } : { type: 'moved', tail: tailOf(responses) };
    } catch (error) {
      if (error instanceof RequestError && error.code === 'disk-full') return { type: 'refused', error };
      throw error;
    }
  }

  async trackers(): Promise<readonly TrackerRecord[]> {
    const { trackersBegin, trackersEnd } = this.#layout;
    const { kvs } = await this.#ask(({ kv }) => kv.range({ key: trackersBegin, range_end: trackersEnd }));
    return kvs.map(({ value }) => readRecord(value));
  }

  async announce(record: TrackerRecord): Promise<void> {
    await this.#ask(({ kv }) => kv.put({ key: this.#layout.tracker(record.spki), value: recordValue(record) }));
  }

  watch(news: (position: number) => void): void {
    this.#news = news;
    for (const member of this.#members) void this.#watch(member);
  }

  async refresh(): Promise<void> {
    if (this.#news) for (const member of this.#members) void this.#watch(member);
    const { members } = await this.#ask(({ cluster }) => cluster.memberList({}));
    if (members.length > 0) this.#memberCount = members.length;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const { etcd, watching } of this.#members) {
      watching?.cancel();
      etcd.close();
    }
  }

  #isHead({ position, hash }: SharedHead) {
    const key = this.#layout.head;
    const result = CompareResult.Equal;
    return position === 0
      ? { key, result, target: CompareTarget.Version, version: 0 }
      : { key, result, target: CompareTarget.Value, value: headValue({ position, hash }) };
  }

  #reads(after: number): IRequestOp[] {
    const { head, entriesEnd } = this.#layout;
    return [
      { request_range: { key: head } },
      { request_range: { key: this.#layout.entry(after + 1), range_end: entriesEnd, limit: ENTRIES_AT_ONCE_MAX } },
    ];
  }

  async #ask<T>(question: (etcd: Etcd3) => Promise<T>): Promise<T> {
    const member = this.#members[this.#at % this.#members.length];
    if (!member || this.#isClosed) throw new LogUnreachable('closed');
    try {
      return await question(member.etcd);
    } catch (error) {
      this.#at = (this.#at + 1) % this.#members.length;
      throw explained(error as Error, member.address);
    }
  }

  async #watch(member: Member): Promise<void> {
    if (member.watching || this.#isClosed) return;
    try {
      const stream = await member.etcd.watchClient.watch();
      const over = () => {
        if (member.watching === stream) member.watching = undefined;
      };
      stream.on('error', over);
      stream.on('end', over);
      stream.on('data', ({ canceled, events }) => {
        if (canceled) stream.cancel();
        const value = events.at(-1)?.kv.value;
        const position = Number.parseInt(value?.toString('latin1') ?? '', 10);
        if (position > 0) this.#news?.(position);
      });
      member.watching = stream;
      if (this.#isClosed) stream.cancel();
      else stream.write({ create_request: { key: this.#layout.head } });
    } catch {
      // A hint is missed; the next refresh asks again.
    }
  }
}

function tailOf(responses: readonly IResponseOp[]): SharedTail {
  const [head, entries] = responses.map(({ response_range }) => response_range.kvs);
  return {
    head: readHead(head?.[0]?.value),
    entries: (entries ?? []).map(({ value }) => readEntryValue(value)),
  };
}

function credentialsOf({ ca, cert, key }: NonNullable<EtcdSettings['tls']>) {
  return { rootCertificate: ca, ...(cert && key ? { certChain: cert, privateKey: key } : {}) };
}

function explained(error: Error, address: string): Error {
  // grpc puts its code first: "14 UNAVAILABLE: ...", and what the system said behind what it makes of it.
  const said = error.message.replace(/^\d+ [A-Z_]+: /, '').replace(/^etcdserver: /, '');
  const system = /Last error: (?:Error: )?(.*?)(?:\. Resolution note:.*)?$/s.exec(said)?.[1];
  const why = system?.includes('ECONNREFUSED') ? 'connection refused' : (system ?? said);
  if (error instanceof GRPCResourceExhastedError && why.includes('space exceeded')) {
    return new RequestError(
      'disk-full',
      `etcd has no room left: ${why}`,
      'whoever runs etcd compacts and defragments it, or raises its quota; docs/REPLICATION.md says more',
    );
  }
  if (error instanceof GRPCInvalidArgumentError) {
    return new RequestError('log-unreachable', `etcd at ${address} does not take this: ${why}`);
  }
  if (error instanceof GRPCDeadlineExceededError) return new LogUnreachable(`${address}: no answer within a second`);
  return new LogUnreachable(`${address}: ${why}`);
}
