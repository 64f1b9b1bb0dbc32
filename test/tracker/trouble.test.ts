/** What the tracker does when the disk fails, it must stop, a client floods it, falls silent, or speaks a newer dialect. */
import { afterEach, describe, expect, test } from 'vitest';
import { newIdentity } from '../../src/main/net/identity.ts';
import { dial } from '../../src/main/net/tls.ts';
import type { Clock } from '../../src/main/support/clock.ts';
import { type LogStore, SqliteLogStore } from '../../src/main/tracker/log-store.ts';
import { decodeCbor, encodeCbor } from '../../src/protocol/cbor.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import { encodeFrame, type Frame, FrameType } from '../../src/protocol/frame.ts';
import { CALLS_IN_FLIGHT_MAX, HEARTBEAT_MS, SESSION_LIFETIME_MS } from '../../src/protocol/limits.ts';
import { encodeCall, failureSchema } from '../../src/protocol/messages.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { root } from '../support/registry.ts';
import { newRequestId, PASSWORD, TrackerBench } from '../support/tracker.ts';

let bench: TrackerBench | undefined;
afterEach(() => bench?.dispose());

async function benchWith(options: ConstructorParameters<typeof TrackerBench>[0] = {}): Promise<TrackerBench> {
  bench = new TrackerBench(options);
  await bench.start();
  return bench;
}

/** A connection that sees every frame as it is. */
async function rawClient(to: TrackerBench, frame: (frame: Frame) => void) {
  const closed = Promise.withResolvers<Error | undefined>();
  const connection = await dial({
    address: to.tracker.address,
    identity: await newIdentity(),
    protocol: 'p2pfs-tracker/1',
    trusts: () => true,
    timeoutMs: 10_000,
    handler: { frame, closed: (error) => closed.resolve(error) },
  });
  return { connection, closed: closed.promise };
}

describe('when the log can not be written', () => {
  test('nothing is acknowledged, everybody is cut off, and the tracker ends with the reason', async () => {
    const full = new RequestError('disk-full', 'the disk is full');
    let broken = false;
    const openLog = (directory: string): LogStore => {
      const store = new SqliteLogStore(directory);
      return {
        epoch: store.epoch,
        append: (entry) => store.append(entry),
        write: (entry, seal) => (broken ? Promise.reject(full) : store.write(entry, seal)),
        entries: () => store.entries(),
        after: (origin, seq, limit) => store.after(origin, seq, limit),
        close: () => store.close(),
      };
    };
    const { tracker } = await benchWith({ openLog });
    const swas = await bench?.user('swas');
    const bob = await bench?.user('bob');
    broken = true;
    const created = swas?.call('create_group', { group: 'pdfs' });
    await expect(created).rejects.toMatchObject({ name: 'ConnectionLost' });
    await bob?.closed;
    await expect(tracker?.ended).rejects.toBe(full);
  });
});

describe('closing', () => {
  test('answers what it has, keeps what it answered, and tells why it goes', async () => {
    const here = await benchWith();
    const swas = await here.client();
    const token = await swas.signUp('swas');
    const login = await here.client();
    const groups = Array.from({ length: 50 }, (_, at) => `g${String(at).padStart(2, '0')}`);
    const outcomes = groups.map((group) =>
      swas.call('create_group', { group }).then(
        () => true,
        () => false,
      ),
    );
    // A password takes a while to check: this one is in flight when the tracker is told to close.
    const inFlight = login.call('login', { user: 'swas', password: PASSWORD });
    await outcomes[0];
    await here.tracker.close();
    await here.tracker.close();
    expect(await inFlight).toMatchObject({ userName: 'swas' });
    expect(await swas.closed).toMatchObject({ code: 'tracker-unreachable' });
    await here.start();
    const again = await here.client(swas.identity);
    await again.call('resume', { token });
    const kept = (await again.call('list_groups', {})).items.map(({ name }) => name);
    const acknowledged = await Promise.all(outcomes);
    expect(kept).toEqual(groups.filter((_, at) => acknowledged[at]));
  });
});

describe('a client', () => {
  test('that asks for what the tracker does not know is told so, and stays', async () => {
    const here = await benchWith();
    const answer = Promise.withResolvers<Frame>();
    const { connection } = await rawClient(here, answer.resolve);
    const body = encodeCbor({ method: 'dance\u202e', params: { fast: true } });
    connection.send(encodeFrame(FrameType.Call, { id: 7, body }));
    const frame = await answer.promise;
    expect([frame.type, frame.id]).toEqual([FrameType.Failure, 7]);
    expect(decodeCbor(failureSchema, frame.body, 'failure')).toEqual({
      code: 'bad-request',
      message: 'this tracker knows no request "dance\ufffd"',
    });
    expect(connection.isClosed).toBe(false);
    connection.close();
  });

  test.each([
    ['a frame that is no call', FrameType.Push, encodeCbor({})],
    ['params that the schema refuses', FrameType.Call, encodeCbor({ method: 'join_group', params: { group: 5 } })],
    ['bytes that are no CBOR', FrameType.Call, new Uint8Array([0xff, 0xff])],
  ])('that sends %s is told so and cut off', async (_, type, body) => {
    const here = await benchWith();
    const { connection, closed } = await rawClient(here, () => {});
    connection.send(encodeFrame(type, { id: 1, body }));
    expect(await closed).toMatchObject({ code: 'bad-request' });
  });

  test('that asks for more at once than is held gets all of it, in order', async () => {
    const here = await benchWith();
    const count = 8 * CALLS_IN_FLIGHT_MAX;
    const order: number[] = [];
    const all = Promise.withResolvers<void>();
    const { connection } = await rawClient(here, (frame) => {
      if (frame.type === FrameType.Failure) order.push(frame.id);
      if (order.length === count) all.resolve();
    });
    for (let id = 1; id <= count; id += 1) {
      const body = encodeCall('create_group', { requestId: newRequestId(), group: 'x'.repeat(200) });
      connection.send(encodeFrame(FrameType.Call, { id, body }));
    }
    await all.promise;
    expect(order).toEqual(Array.from({ length: count }, (_, at) => at + 1));
    connection.close();
  });

  test('that gives no sign of life is given up, one that does is not', async () => {
    const clock = new ManualClock();
    const here = await benchWith({ clock });
    const swas = await here.user('swas');
    const silent = await here.user('bob');
    await here.group('pdfs', swas, { bob: silent });
    const file = { name: 'f', sizeBytes: 1, pieceSizeBytes: 16_384, root: root(1) };
    const added = await silent.call('add_file', { group: 'pdfs', ...file });
    const shares = [{ group: added.group, file: added.file }];
    await silent.call('announce', { address: { host: 'h', port: 1 }, shares });
    await swas.call('watch_file', { group: added.group, file: added.file });
    // Reads nothing any more, so it answers no ping either.
    silent.connection.pause();
    for (let beat = 0; beat < 5; beat += 1) {
      clock.advance(HEARTBEAT_MS);
      await swas.call('list_groups', {});
    }
    expect(await swas.push('peer-offline')).toMatchObject({ device: silent.identity.id });
  });

  test('is logged out when its session is over', async () => {
    const clock = new ManualClock();
    let aheadMs = 0;
    const wall: Clock = {
      nowMs: () => clock.nowMs() + aheadMs,
      monotonicMs: () => clock.monotonicMs(),
      every: (intervalMs, task) => clock.every(intervalMs, task),
      after: (delayMs, task) => clock.after(delayMs, task),
    };
    const here = await benchWith({ clock: wall });
    const swas = await here.client();
    const token = await swas.signUp('swas');
    aheadMs = SESSION_LIFETIME_MS;
    expect((await swas.refusal('list_groups', {})).code).toBe('session-ended');
    clock.advance(HEARTBEAT_MS);
    await swas.push('session-ended');
    expect((await swas.refusal('list_groups', {})).code).toBe('not-logged-in');
    expect((await swas.refusal('resume', { token })).message).toContain('expired');
    await swas.call('login', { user: 'swas', password: PASSWORD });
  });
});
