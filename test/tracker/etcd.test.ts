/** Trackers that keep their log in a real etcd: one member where the network is the matter, three where they die. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openEtcd } from '../../src/main/tracker/etcd-open.ts';
import { parseEtcdUrl } from '../../src/main/tracker/etcd-settings.ts';
import type { Tracker, TrackerOptions } from '../../src/main/tracker/node.ts';
import { RequestError } from '../../src/protocol/errors.ts';
import type { Root } from '../../src/protocol/ids.ts';
import type { Result } from '../../src/protocol/messages.ts';
import { describeWithEtcd, EtcdCluster } from '../support/etcd.ts';
import { eventually } from '../support/eventually.ts';
import { MuffledProxy } from '../support/muffled-proxy.ts';
import { newRequestId, PASSWORD, type WireClient } from '../support/tracker.ts';
import { Trackers } from '../support/trackers.ts';

const FILE = { name: 'a.pdf', sizeBytes: 1000, pieceSizeBytes: 16_384, root: 'a'.repeat(64) as Root };
const inEtcd = (url: string): Partial<TrackerOptions> => ({ sharedLog: () => openEtcd(parseEtcdUrl(url)) });
const outcomeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'done',
    (error: unknown) => (error instanceof RequestError ? error.code : Promise.reject(error)),
  );

let trackers: Trackers;
let prefixes = 0;

describeWithEtcd('on one etcd', () => {
  let etcd: EtcdCluster;
  let url: string;
  beforeAll(async () => {
    etcd = await EtcdCluster.of(1);
  });
  afterAll(() => etcd.dispose());
  beforeEach(async () => {
    prefixes += 1;
    url = etcd.url(`test/${prefixes}`);
    trackers = await Trackers.of(2);
  });
  afterEach(() => trackers.dispose());

  const startBoth = async () => {
    await trackers.start(0, inEtcd(url));
    await trackers.start(1, inEtcd(url));
  };
  const user = async (at: number, name: string): Promise<WireClient> => {
    const client = await trackers.client(at);
    await client.signUp(name);
    return client;
  };

  test('of those who create the same user at once, at two trackers, one does', async () => {
    await startBoth();
    for (let round = 0; round < 5; round += 1) {
      const clients = [await trackers.client(0), await trackers.client(1)];
      const outcomes = await Promise.all(
        clients.map((client) => outcomeOf(client.call('create_user', { user: `user${round}`, password: PASSWORD }))),
      );
      expect(outcomes.sort()).toEqual(['done', 'name-taken']);
    }
    await trackers.agreed();
  });

  test('what one tracker answered, the other knows when it is asked next', async () => {
    await startBoth();
    const swas = await user(0, 'swas');
    const bob = await user(1, 'bob');
    for (let round = 0; round < 20; round += 1) {
      const group = `group${round}`;
      await swas.call('create_group', { group });
      await bob.call('join_group', { group });
      expect((await swas.call('list_requests', { group })).items).toEqual(['bob']);
      await swas.call('accept_request', { group, user: 'bob' });
      await swas.call('add_file', { group, ...FILE });
      expect((await bob.call('list_files', { group })).items).toMatchObject([{ name: 'a.pdf' }]);
      await swas.call('remove_member', { group, user: 'bob' });
      expect((await bob.refusal('list_files', { group })).code).toBe('not-a-member');
    }
  });

  test('a session goes on at the other tracker at once, and a repeated request is done once', async () => {
    await startBoth();
    const swas = await trackers.client(0);
    const token = await swas.signUp('swas');
    const again = await trackers.client(1, swas.identity);
    await again.call('resume', { token });
    const requestId = newRequestId();
    const [one, other] = await Promise.all([
      swas.call('create_group', { group: 'pdfs', requestId }),
      again.call('create_group', { group: 'pdfs', requestId }),
    ]);
    expect(other).toEqual(one);
    expect((await again.call('list_groups', {})).items).toHaveLength(1);
  });

  test('news and presence reach those at the other tracker', async () => {
    await startBoth();
    await trackers.linked();
    const swas = await user(0, 'swas');
    const bob = await user(1, 'bob');
    await swas.call('create_group', { group: 'pdfs' });
    await bob.call('join_group', { group: 'pdfs' });
    expect(await swas.push('join-requested')).toMatchObject({ userName: 'bob' });
    await swas.call('accept_request', { group: 'pdfs', user: 'bob' });
    await bob.push('join-accepted');
    const { group, file } = await swas.call('add_file', { group: 'pdfs', ...FILE });
    expect(await bob.push('file-shared')).toMatchObject({ userName: 'swas', name: 'a.pdf' });
    await swas.call('announce', { address: { host: '127.0.0.1', port: 9999 }, shares: [{ group, file }] });
    await eventually(async () => (await bob.call('watch_file', { group, file })).peers.length === 1);
  });

  test('trackers that write against each other leave one log, without gap or double', async () => {
    await startBoth();
    const clients = await Promise.all(Array.from({ length: 8 }, (_, at) => user(at % 2, `user${at}`)));
    await Promise.all(
      clients.map(async (client, at) => {
        await client.call('create_group', { group: `group${at}` });
        const names = Array.from({ length: 100 }, (__, number) => `${number}.pdf`);
        await Promise.all(names.map((name) => client.call('add_file', { group: `group${at}`, ...FILE, name })));
      }),
    );
    await trackers.agreed();
    for (const at of [0, 1]) {
      const tracker = trackers.tracker(at);
      const { entries, fault } = await tracker.verifyLog();
      expect({ entries, fault }).toEqual({ entries: 8 * 103, fault: undefined });
      const requests = tracker.log(1000).map(({ requestId }) => requestId);
      expect(new Set(requests).size).toBe(8 * 103);
    }
  });

  test('a tracker that was away catches up, also without its data directory', async () => {
    await startBoth();
    await trackers.stop(1);
    const swas = await user(0, 'swas');
    await swas.call('create_group', { group: 'pdfs' });
    const names = Array.from({ length: 600 }, (_, at) => `${at}.pdf`);
    await Promise.all(names.map((name) => swas.call('add_file', { group: 'pdfs', ...FILE, name })));
    await trackers.start(1, inEtcd(url));
    expect(trackers.tracker(1).state()).toEqual(trackers.tracker(0).state());
  });

  test('an answer that is cut off after etcd has done its part changes nothing twice', async () => {
    const proxy = await MuffledProxy.to(etcd.endpoint(0));
    try {
      await trackers.start(0, inEtcd(`etcd://${proxy.endpoint}/test/${prefixes}`));
      await trackers.start(1, inEtcd(url));
      const swas = await user(0, 'swas');
      const bob = await user(1, 'bob');
      for (let round = 0; round < 3; round += 1) {
        const group = `group-${round}-muffled`;
        // At the head, so that the first try succeeds.
        await trackers.agreed();
        const kept = proxy.muffleAt(group);
        const cut = swas.call('create_group', { group });
        await kept;
        // It is there, the tracker does not know, and another tracker goes on in the meantime.
        await eventually(async () => (await bob.call('list_groups', {})).items.length === 2 * round + 1);
        await bob.call('create_group', { group: `bobs${round}` });
        proxy.unmuffle();
        expect(await cut).toMatchObject({ trackers: 1 });
      }
      await trackers.agreed();
      expect(trackers.tracker(0).state().held[trackers.tracker(0).id]).toBe(2 + 3);
    } finally {
      await trackers.stop(0);
      await proxy.close();
    }
  });

  test('a log of another network, or of another kind, is left alone', async () => {
    await startBoth();
    await user(0, 'swas');
    const others = await Trackers.of(1);
    try {
      await expect(others.start(0, inEtcd(url))).rejects.toMatchObject({ code: 'other-log' });
      await others.start(0, inEtcd(etcd.url(`test/${prefixes}-other`)));
    } finally {
      await others.dispose();
    }
    await trackers.stop(1);
    await expect(trackers.start(1)).rejects.toMatchObject({
      code: 'other-log',
      hint: expect.stringContaining('export'),
    });
  });

  test('a tracker of one kind and one of the other do not take entries from each other', async () => {
    await trackers.start(0, inEtcd(url));
    await trackers.start(1);
    await user(0, 'swas');
    await user(1, 'bob');
    expect(trackers.tracker(0).state().held[trackers.tracker(1).id]).toBeUndefined();
    expect(trackers.tracker(1).state().held[trackers.tracker(0).id]).toBeUndefined();
    await eventually(() => trackers.tracker(0).others.length === 0 && trackers.tracker(1).others.length === 0);
  });
});

describeWithEtcd('on three members', () => {
  let etcd: EtcdCluster;
  beforeAll(async () => {
    etcd = await EtcdCluster.of(3);
  });
  afterAll(() => etcd.dispose());
  beforeEach(async () => {
    prefixes += 1;
    trackers = await Trackers.of(2);
    for (const at of [0, 1]) await trackers.start(at, inEtcd(etcd.url(`test/${prefixes}`)));
  });
  afterEach(() => trackers.dispose());

  test('an answer says that a majority of the members has it', async () => {
    const swas = await trackers.client(0);
    expect(await swas.call('create_user', { user: 'swas', password: PASSWORD })).toMatchObject({ trackers: 2 });
    expect(trackers.tracker(0).status().shared).toMatchObject({ members: 3, fault: undefined });
  });

  test('without a majority nothing is answered but that, and work goes on by itself when it is back', async () => {
    const swas = await trackers.client(0);
    await swas.signUp('swas');
    await swas.call('create_group', { group: 'before' });
    await etcd.kill(0);
    await etcd.kill(1);
    const [write, look] = await Promise.all([
      swas.refusal('create_group', { group: 'during' }),
      (await trackers.client(1)).refusal('login', { user: 'swas', password: PASSWORD }),
    ]);
    expect([write.code, look.code]).toEqual(['log-unreachable', 'log-unreachable']);
    expect(write.message).toContain('majority of etcd');
    expect(trackers.tracker(0).status().shared?.fault).toBeDefined();
    etcd.start(0);
    etcd.start(1);
    await eventually(async () => (await outcomeOf(swas.call('list_groups', {}))) === 'done');
    await swas.call('create_group', { group: 'after' });
    const names = (await swas.call('list_groups', {})).items.map(({ name }) => name);
    expect(names.filter((name) => name !== 'during')).toEqual(['after', 'before']);
    await trackers.agreed();
    await expectWhole(trackers.tracker(0));
  });

  test('a leader that stops in the middle of its work costs nothing that was acknowledged', async () => {
    const swas = await trackers.client(0);
    await swas.signUp('swas');
    await swas.call('create_group', { group: 'pdfs' });
    const acknowledged: string[] = [];
    for (let round = 0; round < 3; round += 1) {
      const leader = (await leaderOf(etcd)) ?? 0;
      const adds = Array.from({ length: 40 }, async (_, at) => {
        const requestId = newRequestId();
        const name = `${round}-${at}.pdf`;
        // As a client does: the same request until it is answered.
        while ((await outcomeOf(swas.call('add_file', { group: 'pdfs', ...FILE, name, requestId }))) !== 'done');
        acknowledged.push(name);
      });
      etcd.pause(leader);
      await Promise.all(adds);
      etcd.goOn(leader);
    }
    const items: string[] = [];
    for (let after: string | undefined = ''; after !== undefined; ) {
      const page: Result<'list_files'> = await swas.call('list_files', { group: 'pdfs', ...(after ? { after } : {}) });
      items.push(...page.items.map(({ name }) => name));
      after = page.next;
    }
    expect(items.sort()).toEqual(acknowledged.sort());
    await expectWhole(trackers.tracker(0));
  });
});

async function leaderOf(etcd: EtcdCluster): Promise<number | undefined> {
  let leader: number | undefined;
  await eventually(async () => {
    leader = await etcd.leader();
    return leader !== undefined;
  });
  return leader;
}

async function expectWhole(tracker: Tracker): Promise<void> {
  expect((await tracker.verifyLog()).fault).toBeUndefined();
  const requests = tracker.log(100_000).map(({ requestId }) => requestId);
  expect(new Set(requests).size).toBe(requests.length);
}

describe('the address of an etcd', () => {
  test('has members, and a prefix', () => {
    expect(parseEtcdUrl('etcd://127.0.0.1:2379')).toEqual({ endpoints: ['127.0.0.1:2379'], prefix: 'p2pfs' });
    expect(parseEtcdUrl('etcd://a,b:1,[::1]:2/team/x/')).toEqual({
      endpoints: ['a:2379', 'b:1', '[::1]:2'],
      prefix: 'team/x',
    });
  });

  test.each([
    '127.0.0.1:2379',
    'http://127.0.0.1:2379',
    'etcd://',
    'etcd://a:b',
    'etcd://a,,b',
    'etcd://a/x y',
    'etcd:///x',
  ])('"%s" is none', (url) => {
    expect(() => parseEtcdUrl(url)).toThrow(RequestError);
  });

  test('without certificates may not be on another machine', async () => {
    await expect(openEtcd({ endpoints: ['127.0.0.1:1', '10.0.0.1:1'], prefix: 'x' })).rejects.toMatchObject({
      code: 'bad-request',
    });
  });
});
