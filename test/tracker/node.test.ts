/** The whole tracker over real TLS: what people do, what they are told, and what a restart must not change. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Root } from '../../src/protocol/ids.ts';
import { openTicket } from '../../src/protocol/ticket.ts';
import { newRequestId, PASSWORD, TrackerBench } from '../support/tracker.ts';

let bench: TrackerBench;
beforeEach(async () => {
  bench = new TrackerBench();
  await bench.start();
});
afterEach(() => bench.dispose());

const rootOf = (digit: string) => digit.repeat(64) as Root;
const FILE = { name: 'libc.pdf', sizeBytes: 1000, pieceSizeBytes: 16_384, root: rootOf('a') };

describe('groups', () => {
  test('the creator owns a group, others ask, the owner accepts', async () => {
    const swas = await bench.user('swas');
    const bob = await bench.user('bob');
    await swas.call('create_group', { group: 'pdfs' });
    expect(await bob.call('join_group', { group: 'pdfs' })).toEqual({ owner: 'swas', trackers: 1 });
    expect(await swas.push('join-requested')).toEqual({ type: 'join-requested', groupName: 'pdfs', userName: 'bob' });
    expect((await swas.call('list_requests', { group: 'pdfs' })).items).toEqual(['bob']);
    expect((await bob.call('list_groups', {})).items).toEqual([
      { name: 'pdfs', owner: 'swas', members: 1, standing: 'asked' },
    ]);
    await swas.call('accept_request', { group: 'pdfs', user: 'bob' });
    expect(await bob.push('join-accepted')).toEqual({ type: 'join-accepted', groupName: 'pdfs' });
    expect((await bob.call('list_members', { group: 'pdfs' })).items).toEqual(['bob', 'swas']);
    expect((await swas.call('list_requests', { group: 'pdfs' })).items).toEqual([]);
  });

  test('a removed member hears of it, and so do the others', async () => {
    const swas = await bench.user('swas');
    const bob = await bench.user('bob');
    const eve = await bench.user('eve');
    await bench.group('pdfs', swas, { bob, eve });
    await swas.call('remove_member', { group: 'pdfs', user: 'eve' });
    for (const client of [swas, bob, eve]) {
      expect(await client.push('member-gone')).toMatchObject({ groupName: 'pdfs', userName: 'eve' });
    }
    expect((await eve.refusal('list_files', { group: 'pdfs' })).code).toBe('not-a-member');
  });

  test('an owner who leaves hands the group to its longest-standing member', async () => {
    const swas = await bench.user('swas');
    const zoe = await bench.user('zoe');
    const bob = await bench.user('bob');
    await bench.group('pdfs', swas, { zoe, bob });
    expect(await swas.call('leave_group', { group: 'pdfs' })).toMatchObject({ newOwner: 'zoe', dissolved: false });
    expect(await zoe.push('group-inherited')).toEqual({ type: 'group-inherited', groupName: 'pdfs' });
    await zoe.call('leave_group', { group: 'pdfs' });
    expect(await bob.call('leave_group', { group: 'pdfs' })).toMatchObject({ dissolved: true });
    expect((await bob.call('list_groups', {})).items).toEqual([]);
  });
});

describe('files', () => {
  test('a shared file is listed, found, and told to the others', async () => {
    const swas = await bench.user('swas');
    const bob = await bench.user('bob');
    await bench.group('pdfs', swas, { bob });
    const added = await swas.call('add_file', { group: 'pdfs', ...FILE });
    expect(added).toMatchObject({ created: true });
    expect(await bob.push('file-shared')).toMatchObject({ userName: 'swas', name: 'libc.pdf', sizeBytes: 1000 });
    expect(await swas.pushesSoFar()).not.toContain('file-shared');
    expect((await bob.call('list_files', { group: 'pdfs' })).items).toEqual([
      { file: added.file, ...FILE, sharedBy: 'swas', seedersOnline: 0 },
    ]);
    expect(await bob.call('find_file', { group: 'pdfs', name: 'libc.pdf' })).toEqual({
      group: added.group,
      file: { file: added.file, ...FILE },
    });
    const again = await bob.call('add_file', { group: 'pdfs', ...FILE });
    expect(again).toEqual({ ...added, created: false });
  });

  test('a ticket says who may read what, on which device', async () => {
    const swas = await bench.user('swas');
    await swas.call('create_group', { group: 'pdfs' });
    const { group } = await swas.call('add_file', { group: 'pdfs', ...FILE });
    const { ticket } = await swas.call('ticket', { group });
    const opened = openTicket(ticket, (tracker) => tracker === bench.tracker.id, Date.now());
    expect(opened).toMatchObject({ userName: 'swas', group, device: swas.identity.id, rights: ['read', 'serve'] });
    const eve = await bench.user('eve');
    expect((await eve.refusal('ticket', { group })).code).toBe('not-a-member');
  });

  test('a folder of long names is listed in pages that fit a frame', async () => {
    const swas = await bench.user('swas');
    await swas.call('create_group', { group: 'pdfs' });
    const names = Array.from({ length: 600 }, (_, at) => {
      const segment = 'n'.repeat(250);
      return `${String(at).padStart(4, '0')}/${segment}/${segment}/${segment}/${segment}`;
    });
    await Promise.all(names.map((name) => swas.call('add_file', { group: 'pdfs', ...FILE, name })));
    const listed: string[] = [];
    let after: string | undefined;
    do {
      const page = await swas.call('list_files', { group: 'pdfs', ...(after === undefined ? {} : { after }) });
      listed.push(...page.items.map(({ name }) => name));
      after = page.next;
    } while (after !== undefined);
    expect(listed).toEqual(names);
  });
});

describe('sessions', () => {
  test('a session goes on over a new connection and after a restart, on its own device', async () => {
    const swas = await bench.client();
    const token = await swas.signUp('swas');
    await bench.restart();
    const again = await bench.client(swas.identity);
    expect(await again.call('resume', { token })).toMatchObject({ userName: 'swas' });
    const eve = await bench.client();
    expect((await eve.refusal('resume', { token })).code).toBe('session-ended');
    await again.call('logout', {});
    expect((await again.refusal('list_groups', {})).code).toBe('not-logged-in');
    expect((await again.refusal('resume', { token })).code).toBe('session-ended');
  });

  test('nothing but creating a user and logging in is done for strangers', async () => {
    const stranger = await bench.client();
    expect((await stranger.refusal('create_group', { group: 'pdfs' })).code).toBe('not-logged-in');
    expect((await stranger.refusal('list_groups', {})).code).toBe('not-logged-in');
    expect((await stranger.refusal('logout', {})).code).toBe('not-logged-in');
  });

  test('unknown user and wrong password are told alike', async () => {
    const swas = await bench.user('swas');
    const other = await bench.client();
    const wrong = await other.refusal('login', { user: 'swas', password: 'guess' });
    const unknown = await other.refusal('login', { user: 'nobody', password: 'guess' });
    expect(wrong.code).toBe('wrong-password');
    expect(unknown).toEqual(wrong);
    expect((await swas.refusal('create_user', { user: 'swas', password: 'x' })).code).toBe('name-taken');
    expect((await swas.refusal('login', { user: 'bob', password: 'x' })).code).toBe('already-logged-in');
  });

  test('a login replaces the session of the same device, and its other connection is told', async () => {
    const first = await bench.client();
    const token = await first.signUp('swas');
    const second = await bench.client(first.identity);
    await second.call('login', { user: 'swas', password: PASSWORD });
    await first.push('session-ended');
    expect((await first.refusal('resume', { token })).code).toBe('session-ended');
    expect((await second.call('list_groups', {})).items).toEqual([]);
    await second.call('login', { user: 'swas', password: PASSWORD });
    expect(await second.pushesSoFar()).toEqual([]);
  });

  test('garbage for a token ends the connection, not the tracker', async () => {
    const eve = await bench.client();
    const token = { body: new Uint8Array([1, 2, 3]), signature: new Uint8Array(64) };
    await expect(eve.call('resume', { token })).rejects.toMatchObject({ name: 'ConnectionLost' });
    await bench.user('swas');
  });
});

describe('repeating a request under its id', () => {
  test('gives the same answer, also at once, also after a restart', async () => {
    const swas = await bench.client();
    const token = await swas.signUp('swas');
    const requestId = newRequestId();
    const both = await Promise.all([1, 2].map(() => swas.call('create_group', { group: 'pdfs', requestId })));
    expect(both[1]).toEqual(both[0]);
    await bench.restart();
    const again = await bench.client(swas.identity);
    await again.call('resume', { token });
    expect(await again.call('create_group', { group: 'pdfs', requestId })).toEqual(both[0]);
    const fresh = newRequestId();
    expect((await again.refusal('create_group', { group: 'pdfs', requestId: fresh })).code).toBe('name-taken');
    // A refusal is no transaction: the id is still free.
    await again.call('create_group', { group: 'other', requestId: fresh });
  });

  test('a login that was cut off goes on with the same session', async () => {
    const swas = await bench.client();
    await swas.call('create_user', { user: 'swas', password: PASSWORD });
    const requestId = newRequestId();
    const first = await swas.call('login', { user: 'swas', password: PASSWORD, requestId });
    await bench.restart();
    const again = await bench.client(swas.identity);
    expect(await again.call('login', { user: 'swas', password: PASSWORD, requestId })).toEqual(first);
    await again.call('create_group', { group: 'pdfs' });
  });

  test('a login asked twice at once, on two connections, opens one session for both', async () => {
    const one = await bench.client();
    const two = await bench.client(one.identity);
    await one.call('create_user', { user: 'swas', password: PASSWORD });
    const login = { user: 'swas', password: PASSWORD, requestId: newRequestId() };
    const [first, second] = await Promise.all([one.call('login', login), two.call('login', login)]);
    expect(second).toEqual(first);
    await one.call('create_group', { group: 'one' });
    await two.call('create_group', { group: 'two' });
  });

  test('a departure is answered the same after the group has moved on', async () => {
    const swas = await bench.user('swas');
    const bob = await bench.user('bob');
    await bench.group('pdfs', swas, { bob });
    const requestId = newRequestId();
    const left = await swas.call('leave_group', { group: 'pdfs', requestId });
    await bob.call('leave_group', { group: 'pdfs' });
    await bench.restart();
    const again = await bench.client(swas.identity);
    expect(await again.call('leave_group', { group: 'pdfs', requestId })).toEqual(left);
  });

  test('is refused to another device and for another request', async () => {
    const swas = await bench.user('swas');
    const eve = await bench.user('eve');
    const requestId = newRequestId();
    await swas.call('create_group', { group: 'pdfs', requestId });
    expect((await eve.refusal('create_group', { group: 'pdfs', requestId })).code).toBe('bad-request');
    expect((await swas.refusal('leave_group', { group: 'pdfs', requestId })).code).toBe('bad-request');
  });
});

describe('presence', () => {
  test('watchers hear of peers that come and go', async () => {
    const swas = await bench.user('swas');
    const bob = await bench.user('bob');
    await bench.group('pdfs', swas, { bob });
    const { group, file } = await swas.call('add_file', { group: 'pdfs', ...FILE });
    expect(await bob.call('watch_file', { group, file })).toEqual({ peers: [] });
    const address = { host: '127.0.0.1', port: 7001 };
    expect(await swas.call('announce', { address, shares: [{ group, file }] })).toEqual({ refused: [] });
    const peer = { device: swas.identity.id, userName: 'swas', address };
    expect(await bob.push('peer-online')).toMatchObject({ file, peer });
    expect((await bob.call('list_files', { group: 'pdfs' })).items[0]?.seedersOnline).toBe(1);
    expect((await bob.call('watch_file', { group, file })).peers).toMatchObject([peer]);
    swas.close();
    expect(await bob.push('peer-offline')).toEqual({ type: 'peer-offline', file, device: swas.identity.id });
    expect(await bob.call('watch_file', { group, file })).toEqual({ peers: [] });
  });

  test('who is no member may not announce or watch, and stops being a peer on leaving', async () => {
    const swas = await bench.user('swas');
    const bob = await bench.user('bob');
    const eve = await bench.user('eve');
    await bench.group('pdfs', swas, { bob });
    const { group, file } = await swas.call('add_file', { group: 'pdfs', ...FILE });
    const share = { address: { host: '127.0.0.1', port: 7001 }, shares: [{ group, file }] };
    expect(await eve.call('announce', share)).toEqual({ refused: [file] });
    expect((await eve.refusal('watch_file', { group, file })).code).toBe('not-a-member');
    await bob.call('announce', share);
    await swas.call('watch_file', { group, file });
    await bob.call('leave_group', { group: 'pdfs' });
    expect(await swas.push('peer-offline')).toMatchObject({ file, device: bob.identity.id });
    expect(await swas.call('watch_file', { group, file })).toEqual({ peers: [] });
  });

  test('logging out ends it', async () => {
    const swas = await bench.user('swas');
    const bob = await bench.user('bob');
    await bench.group('pdfs', swas, { bob });
    const { group, file } = await swas.call('add_file', { group: 'pdfs', ...FILE });
    await bob.call('announce', { address: { host: '0.0.0.0', port: 7001 }, shares: [{ group, file }] });
    const { peers } = await swas.call('watch_file', { group, file });
    expect(peers).toMatchObject([{ device: bob.identity.id, address: { host: '127.0.0.1' } }]);
    await bob.call('logout', {});
    await swas.push('peer-offline');
  });
});
