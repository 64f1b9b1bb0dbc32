/**
 * What an acknowledgement is worth, seen from outside: a real tracker under strace. No answer leaves before the request
 * that it answers was written to the log and synced; where a sync fails, no answer leaves at all.
 */
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ConnectionLost } from '../../src/main/net/calls.ts';
import type { RequestId } from '../../src/protocol/ids.ts';
import { straceIsMissing, systemCalls, underStrace } from '../support/syscall-trace.ts';
import { newRequestId, PASSWORD, WireClient } from '../support/tracker.ts';
import { TrackerHome } from '../support/tracker-process.ts';

const CLIENTS = 8;
const REQUESTS_EACH = 125;
const SYNCS = 'fsync,fdatasync,sync_file_range,msync';
const WRITES = 'write,writev,sendto,sendmsg,sendmmsg,pwrite64,pwritev,pwritev2';
/** The frame of a ping, and what TLS adds to it. Every answer is longer. */
const PING_BYTES = 16 + 22;
/** Of the thread that writes the log: strace counts for each thread. */
const FAILING_SYNC = 25;

let home: TrackerHome;
beforeEach(async () => {
  home = await TrackerHome.create();
});
afterEach(() => home.dispose());

const walPath = () => join(home.dataDir, 'log.sqlite-wal');

/** One person at a client, who waits for each answer before asking for more. Gives the ids of the requests. */
async function ask(client: WireClient, name: string): Promise<readonly RequestId[]> {
  const requestIds = Array.from({ length: REQUESTS_EACH }, newRequestId);
  for (const [at, requestId] of requestIds.entries()) {
    await client.call('create_group', { group: `${name}-${at}`, requestId });
  }
  client.close();
  return requestIds;
}

/**
 * What the trace says of each request: the places of the return of the first sync after it was written to the log, and of
 * its answer. Clients are given in the order in which they connected.
 */
async function fates(tracePath: string, asked: readonly (readonly RequestId[])[]) {
  const unwritten = new Set(asked.flat());
  const unsynced = new Map<RequestId, number>();
  const synced = new Map<RequestId, number>();
  /** By connection, where each of its answers began to leave. */
  const answers = new Map<string, number[]>();
  for await (const { name, file, text, begun, returned, result } of systemCalls(tracePath)) {
    if (file.startsWith('TCP:')) {
      const sent = answers.get(file) ?? [];
      answers.set(file, sent);
      if (result > PING_BYTES) sent.push(begun);
    } else if (file !== walPath()) continue;
    else if (name.startsWith('pwrite')) {
      for (const id of unwritten) if (text.includes(id) && unwritten.delete(id)) unsynced.set(id, returned);
    } else if (result === 0) {
      for (const [id, written] of unsynced) if (written < begun && unsynced.delete(id)) synced.set(id, returned);
    }
  }
  expect(answers.size).toBe(asked.length);
  return [...answers.values()].flatMap((sent, client) => {
    const requestIds = asked[client] ?? [];
    const own = sent.slice(-requestIds.length);
    return requestIds.map((id, at) => ({ synced: synced.get(id), answered: own[at] }));
  });
}

describe.skipIf(straceIsMissing())('an acknowledgement', () => {
  test(`never leaves before its request is synced: ${CLIENTS * REQUESTS_EACH} of them`, async () => {
    const trace = join(home.path, 'trace');
    const run = home.runUnder(underStrace(trace, '-e', `trace=${WRITES},${SYNCS}`));
    await run.printed('listens on');
    const clients: WireClient[] = [];
    for (let at = 0; at < CLIENTS; at += 1) {
      const client = await WireClient.connect(home.address);
      await client.signUp(`user${at}`);
      clients.push(client);
    }
    const asked = await Promise.all(clients.map((client, at) => ask(client, `user${at}`)));
    expect(await run.quit()).toMatchObject({ exitCode: 0, stderr: '' });

    const requests = await fates(trace, asked);
    expect(requests).toHaveLength(CLIENTS * REQUESTS_EACH);
    const early = requests.filter(({ synced, answered }) => !(synced && answered && synced < answered));
    expect(early).toEqual([]);
  });

  test('never leaves when the sync fails: the tracker ends, and a start afterwards has all that was acknowledged', async () => {
    const trace = join(home.path, 'trace');
    const inject = `inject=fsync,fdatasync:error=EIO:when=${FAILING_SYNC}`;
    const run = home.runUnder(underStrace(trace, '-P', walPath(), '-e', 'trace=fsync,fdatasync', '-e', inject));
    await run.printed('listens on');
    const client = await WireClient.connect(home.address);
    await client.signUp('swas');
    const acknowledged: string[] = [];
    let cutOff: unknown;
    while (cutOff === undefined && acknowledged.length < 2 * FAILING_SYNC) {
      const group = `group-${String(acknowledged.length).padStart(2, '0')}`;
      cutOff = await client.call('create_group', { group }).then(
        () => void acknowledged.push(group),
        (error: unknown) => error,
      );
    }
    expect(cutOff).toBeInstanceOf(ConnectionLost);
    const { exitCode, stderr } = await run.ended;
    expect({ exitCode, stderr }).toEqual({ exitCode: 5, stderr: expect.stringContaining("can't be used") });
    // The failed sync is the last of those before an answer: as many were answered as syncs came before it.
    const results: number[] = [];
    for await (const { result } of systemCalls(trace)) results.push(result);
    expect(results.findIndex((result) => result !== 0)).toBeGreaterThanOrEqual(FAILING_SYNC - 1);

    const again = await home.start();
    const after = await WireClient.connect(home.address);
    await after.call('login', { user: 'swas', password: PASSWORD });
    const { items } = await after.call('list_groups', {});
    expect(items.map(({ name }) => name)).toEqual(expect.arrayContaining(acknowledged));
    await after.call('create_group', { group: 'after' });
    after.close();
    expect(await again.quit()).toMatchObject({ exitCode: 0, stderr: '' });
  });
});
