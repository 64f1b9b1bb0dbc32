import { afterEach, describe, expect, it } from 'vitest';
import { TrackerSession, type TrackerSessionOptions } from '../../src/main/client/tracker-session.ts';
import { type Identity, newIdentity } from '../../src/main/net/identity.ts';
import { type Listener, listen } from '../../src/main/net/tls.ts';
import { systemClock } from '../../src/main/support/clock.ts';
import { silentLogger } from '../../src/main/support/logger.ts';
import { encodeCbor } from '../../src/protocol/cbor.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import { encodeFrame, FrameType } from '../../src/protocol/frame.ts';
import type { TrackerId } from '../../src/protocol/ids.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface TestTracker {
  readonly listener: Listener;
  /** So far. */
  readonly connections: number;
}

/** A tracker that answers every call in one way, or not at all. */
async function tracker(answer: 'mute' | 'busy' | 'sends away' | 'empty'): Promise<TestTracker> {
  const identity: Identity = await newIdentity();
  let connections = 0;
  const listener = await listen({
    address: { host: '127.0.0.1', port: 0 },
    identity,
    protocol: 'p2pfs-tracker/1',
    connectionsMax: 10,
    accept: (connection) => {
      connections += 1;
      if (answer === 'sends away') queueMicrotask(() => connection.close(new RequestError('busy', 'go away')));
      return {
        frame: ({ id }) => {
          if (answer === 'busy') {
            const body = encodeCbor({ code: 'busy', message: 'not now' });
            connection.send(encodeFrame(FrameType.Failure, { id, body }));
          } else if (answer === 'empty') {
            connection.send(encodeFrame(FrameType.Result, { id, body: encodeCbor({ items: [], pins: [] }) }));
          }
        },
        closed: () => {},
      };
    },
  });
  closers.push(() => listener.close());
  return {
    listener,
    get connections() {
      return connections;
    },
  };
}

function session(trackers: readonly TestTracker[], options: Partial<TrackerSessionOptions> = {}, identity?: Identity) {
  const pins = new Map<string, TrackerId>();
  if (!identity) throw new Error('an identity');
  const made = new TrackerSession({
    trackers: trackers.map(({ listener }) => ({ ...listener.address, pin: undefined })),
    identity,
    pins: { pin: (address) => pins.get(address), setPin: (address, pin) => void pins.set(address, pin) },
    acceptNewPin: false,
    clock: systemClock,
    logger: silentLogger,
    token: () => undefined,
    onSessionEnded: () => {},
    onReady: () => {},
    onPush: () => {},
    onNotice: () => {},
    ...options,
  });
  closers.push(() => made.close());
  return made;
}

const token = () => ({ body: new Uint8Array(1), signature: new Uint8Array(64) });

describe('the line to a tracker', () => {
  it('goes to the next tracker when one takes the connection and then says nothing', async () => {
    const [mute, good] = [await tracker('mute'), await tracker('empty')];
    const identity = await newIdentity();
    let asked = 0;
    const lines: string[] = [];
    const line = session(
      [mute, good],
      {
        token: () => (asked++ === 0 ? token() : undefined),
        onNotice: (notice) => lines.push(notice.type),
      },
      identity,
    );
    await expect
      .poll(() => line.call('list_groups', {}).catch(() => undefined), { timeout: 20_000 })
      .toEqual({ items: [] });
    expect(lines).toContain('tracker-connected');
  });

  it('keeps the login when a tracker can not look at it now', async () => {
    const busy = await tracker('busy');
    const ended: string[] = [];
    const lost = Promise.withResolvers<void>();
    session(
      [busy],
      {
        token,
        onSessionEnded: (reason) => ended.push(reason),
        onNotice: (notice) => notice.type === 'tracker-lost' && lost.resolve(),
      },
      await newIdentity(),
    );
    await lost.promise;
    expect(ended).toEqual([]);
  });

  it('may be closed while it is being made', async () => {
    const mute = await tracker('mute');
    const line = session([mute], { token }, await newIdentity());
    await expect.poll(() => mute.listener.connectionCount).toBe(1);
    line.close();
    await expect.poll(() => mute.listener.connectionCount).toBe(0);
    await expect(line.call('list_groups', {})).rejects.toMatchObject({ code: 'cancelled' });
  });

  it('is not pressed on a tracker that sends it away', async () => {
    const rude = await tracker('sends away');
    const line = session([rude], {}, await newIdentity());
    await expect(line.call('list_groups', {})).rejects.toMatchObject({ code: 'tracker-unreachable' });
    expect(rude.connections).toBeLessThan(20);
  });
});
