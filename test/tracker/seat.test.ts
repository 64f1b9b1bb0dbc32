/** One client's seat: how much it takes on, in which order things leave, and that nothing leaves before it is safe. */
import { describe, expect, test } from 'vitest';
import { type Answer, Seat, type SeatConnection, type SeatDuties } from '../../src/main/tracker/seat.ts';
import { ProtocolViolation } from '../../src/protocol/errors.ts';
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
    answer: async () => ({ result: {} }),
    settled: () => undefined,
    failed: (error) => connection.events.push(`failed ${String(error)}`),
    ...duties,
  });
  return { seat, events: connection.events };
}

describe('a seat', () => {
  test('stops reading when too much is unanswered, and goes on when half of it is done', async () => {
    const answers: (() => void)[] = [];
    const answer = () => new Promise<Answer>((resolve) => answers.push(() => resolve({ result: {} })));
    const { seat, events } = seatWith({ answer });
    for (let id = 0; id < CALLS_IN_FLIGHT_MAX; id += 1) {
      expect(events).toEqual([]);
      seat.frame(call(id));
    }
    expect(events).toEqual(['pause']);
    for (let id = 0; id < CALLS_IN_FLIGHT_MAX / 2; id += 1) {
      expect(events.filter((event) => event === 'resume')).toHaveLength(0);
      answers[id]?.();
      await turn();
    }
    expect(events.at(-1)).toBe('resume');
  });

  test('counts what waits for the disk as unanswered', async () => {
    const commit = Promise.withResolvers<void>();
    const { seat, events } = seatWith({ settled: () => commit.promise });
    for (let id = 0; id < CALLS_IN_FLIGHT_MAX; id += 1) seat.frame(call(id));
    await turn();
    expect(events).toEqual(['pause']);
    commit.resolve();
    await turn();
    expect(events.at(-1)).toBe('resume');
    expect(events).toHaveLength(CALLS_IN_FLIGHT_MAX + 2);
  });

  test('works on a call while the answer before it waits for the disk or another tracker, and answers in order', async () => {
    const commit = Promise.withResolvers<void>();
    const holder = Promise.withResolvers<object>();
    const asked: number[] = [];
    const answer = () => ({ result: asked.push(asked.length + 1) === 1 ? holder.promise : {} });
    const { seat, events } = seatWith({ answer, settled: () => commit.promise });
    for (const id of [1, 2, 3]) seat.frame(call(id));
    expect(asked).toEqual([1, 2, 3]);
    commit.resolve();
    await turn();
    expect(events).toEqual([]);
    holder.resolve({});
    await turn();
    expect(events).toEqual(['answer 1', 'answer 2', 'answer 3']);
  });

  test('works on no call before the one before it is decided', async () => {
    const password = Promise.withResolvers<Answer>();
    const asked: number[] = [];
    const answer = () => (asked.push(asked.length + 1) === 1 ? password.promise : { result: {} });
    const { seat, events } = seatWith({ answer });
    for (const id of [1, 2]) seat.frame(call(id));
    await turn();
    expect(asked).toEqual([1]);
    password.resolve({ result: {} });
    await turn();
    expect(events).toEqual(['answer 1', 'answer 2']);
  });

  test('works on nothing more once a call broke the rules', async () => {
    const asked: number[] = [];
    const answer = (): never => {
      asked.push(asked.length + 1);
      throw new ProtocolViolation('no such token');
    };
    const { seat, events } = seatWith({ answer });
    for (const id of [1, 2]) seat.frame(call(id));
    await turn();
    expect(asked).toEqual([1]);
    expect(events).toEqual(['close']);
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
