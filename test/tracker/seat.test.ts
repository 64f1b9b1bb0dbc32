/** One client's seat: how much it takes on, in which order things leave, and that nothing leaves before it is safe. */
import { describe, expect, test } from 'vitest';
import { Seat, type SeatConnection, type SeatDuties } from '../../src/main/tracker/seat.ts';
import { encodeFrame, type Frame, FrameReader, FrameType } from '../../src/protocol/frame.ts';
import type { DeviceId, TrackerId } from '../../src/protocol/ids.ts';
import { CALLS_IN_FLIGHT_MAX } from '../../src/protocol/limits.ts';
import { encodeCall } from '../../src/protocol/messages.ts';

const ID = 'd'.repeat(64) as DeviceId & TrackerId;

class FakeConnection implements SeatConnection {
  readonly peerId = ID;
  readonly remoteAddress = '10.0.0.1';
  readonly isClosed = false;
  readonly receivedBytes = 0;
  /** What happened to it, in order. */
  readonly events: string[] = [];
  send(bytes: Uint8Array): void {
    for (const frame of new FrameReader(() => 'buffer').feed(bytes)) {
      this.events.push(frame.type === FrameType.Push ? 'push' : `answer ${frame.id}`);
    }
  }
  ping(): void {
    this.events.push('ping');
  }
  pause(): void {
    this.events.push('pause');
  }
  resume(): void {
    this.events.push('resume');
  }
  close(): void {
    this.events.push('close');
  }
}

const call = (id: number): Frame => {
  const [frame] = new FrameReader(() => 'buffer').feed(
    encodeFrame(FrameType.Call, { id, body: encodeCall('list_groups', {}) }),
  );
  if (!frame) throw new Error('no frame');
  return frame;
};
/** Lets everything run that only waits for a turn. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

function seatWith(duties: Partial<SeatDuties>) {
  const connection = new FakeConnection();
  const seat = new Seat(connection, {
    answer: async () => ({}),
    settled: () => undefined,
    failed: (error) => connection.events.push(`failed ${String(error)}`),
    ...duties,
  });
  return { seat, events: connection.events };
}

describe('a seat', () => {
  test('stops reading when too much waits, and goes on when half of it is done', async () => {
    const answers: (() => void)[] = [];
    const { seat, events } = seatWith({ answer: () => new Promise((resolve) => answers.push(() => resolve({}))) });
    // The first is being answered; the others wait.
    for (let id = 0; id <= CALLS_IN_FLIGHT_MAX; id += 1) {
      expect(events).toEqual([]);
      seat.frame(call(id));
    }
    expect(events).toEqual(['pause']);
    for (let id = 0; id < CALLS_IN_FLIGHT_MAX / 2; id += 1) {
      answers[id]?.();
      await turn();
    }
    expect(events.filter((event) => event === 'resume')).toHaveLength(0);
    answers[CALLS_IN_FLIGHT_MAX / 2]?.();
    await turn();
    expect(events.at(-1)).toBe('resume');
  });

  test('lets answers and pushes leave in the order in which they were made, each when what came before it is safe', async () => {
    const commits = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let settled: Promise<void> | undefined = commits[0]?.promise;
    const { seat, events } = seatWith({ settled: () => settled });
    seat.frame(call(1));
    await turn();
    settled = commits[1]?.promise;
    seat.push({ type: 'session-ended' });
    settled = undefined;
    seat.frame(call(2));
    await turn();
    expect(events).toEqual([]);
    commits[1]?.resolve();
    await turn();
    expect(events).toEqual([]);
    commits[0]?.resolve();
    await turn();
    expect(events).toEqual(['answer 1', 'push', 'answer 2']);
  });

  test('sends nothing that could not be saved, nor anything after it', async () => {
    const { seat, events } = seatWith({ settled: () => Promise.reject(new Error('disk')) });
    seat.frame(call(1));
    await turn();
    expect(events).toEqual(['failed Error: disk']);
  });

  test('takes a fault of ours for what it is', async () => {
    const { seat, events } = seatWith({ answer: () => Promise.reject(new Error('bug')) });
    seat.frame(call(1));
    await turn();
    expect(events).toEqual(['failed Error: bug']);
  });
});
