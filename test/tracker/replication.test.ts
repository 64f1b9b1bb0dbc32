/** Several trackers of one network, over real TLS: what one acknowledges the others execute, and any one is enough. */
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, describe, expect, test } from 'vitest';
import { SqliteLogStore } from '../../src/main/tracker/log-store.ts';
import { root } from '../support/registry.ts';
import { newRequestId, PASSWORD } from '../support/tracker.ts';
import { Trackers } from '../support/trackers.ts';

let trackers: Trackers | undefined;
afterEach(() => trackers?.dispose());

async function network(count: number): Promise<Trackers> {
  trackers = await Trackers.of(count);
  for (let at = 0; at < count; at += 1) await trackers.start(at);
  await trackers.linked();
  return trackers;
}

const file = { name: 'f', sizeBytes: 1, pieceSizeBytes: 16_384, root: root(1) };

describe('two trackers', () => {
  test('hold what either acknowledged, and an answer says that both do', async () => {
    const here = await network(2);
    const swas = await here.client(0);
    expect(await swas.call('create_user', { user: 'swas', password: PASSWORD })).toMatchObject({ trackers: 2 });
    const { token } = await swas.call('login', { user: 'swas', password: PASSWORD });
    expect(await swas.call('create_group', { group: 'pdfs' })).toMatchObject({ trackers: 2 });
    // The same login, at the other tracker, without a word to the first.
    const there = await here.client(1, swas.identity);
    expect(await there.call('resume', { token })).toMatchObject({ userName: 'swas' });
    expect((await there.call('list_groups', {})).items).toMatchObject([{ name: 'pdfs', standing: 'owner' }]);
    await here.agreed();
  });

  test('tell each whom it concerns, wherever they are connected', async () => {
    const here = await network(2);
    const [swas, abe] = [await here.client(0), await here.client(1)];
    await swas.signUp('swas');
    await abe.signUp('abe');
    await swas.call('create_group', { group: 'pdfs' });
    await here.agreed();
    await abe.call('join_group', { group: 'pdfs' });
    expect(await swas.push('join-requested')).toMatchObject({ userName: 'abe' });
    await swas.call('accept_request', { group: 'pdfs', user: 'abe' });
    await abe.push('join-accepted');
    const { group, file: id } = await swas.call('add_file', { group: 'pdfs', ...file });
    await abe.push('file-shared');
    // Peers find each other across trackers, too.
    await abe.call('watch_file', { group, file: id });
    await swas.call('announce', { address: { host: '10.0.0.1', port: 9 }, shares: [{ group, file: id }] });
    expect(await abe.push('peer-online')).toMatchObject({ peer: { userName: 'swas', address: { port: 9 } } });
    await swas.call('withdraw', { files: [id] });
    await abe.push('peer-offline');
    await swas.call('remove_member', { group: 'pdfs', user: 'abe' });
    expect(await abe.push('member-gone')).toMatchObject({ userName: 'abe' });
  });

  test('name who is online to a tracker that comes later, and forget who left', async () => {
    trackers = await Trackers.of(2);
    await trackers.start(0);
    const swas = await trackers.client(0);
    const token = await swas.signUp('swas');
    const { group } = await swas.call('create_group', { group: 'pdfs' });
    const { file: id } = await swas.call('add_file', { group: 'pdfs', ...file });
    await swas.call('announce', { address: { host: '10.0.0.1', port: 9 }, shares: [{ group, file: id }] });
    await trackers.start(1);
    const other = await trackers.client(1);
    await other.call('login', { user: 'swas', password: PASSWORD });
    const { peers } = await other.call('watch_file', { group, file: id });
    if (peers.length === 0) await other.push('peer-online');
    swas.close();
    expect(await other.push('peer-offline')).toMatchObject({ device: swas.identity.id });
    expect(token).toBeDefined();
  });

  test('go on when one is gone, and the one that comes back has it all before it serves anybody', async () => {
    const here = await network(2);
    const swas = await here.client(0);
    const token = await swas.signUp('swas');
    await here.agreed();
    await here.stop(1);
    for (let at = 0; at < 600; at += 1) await swas.call('create_group', { group: `g${at}` });
    await here.start(1);
    expect(here.tracker(1).state()).toMatchObject({ held: here.tracker(0).state().held });
    const there = await here.client(1, swas.identity);
    await there.call('resume', { token });
    expect((await there.call('list_groups', { after: 'g598' })).items.map(({ name }) => name)).toContain('g599');
    await here.agreed();
    expect(here.tracker(0).state().differs).toBe(false);
  });

  test('settle a request that was done at both as one, in whatever order they hear of it', async () => {
    const here = await network(2);
    const swas = await here.client(0);
    const token = await swas.signUp('swas');
    await here.agreed();
    const requestIds = { group: newRequestId(), file: newRequestId() };
    for (const at of [0, 1]) await here.stop(at);
    const answers: unknown[] = [];
    for (const at of [0, 1]) {
      await here.start(at, { apart: true });
      const client = await here.client(at, swas.identity);
      // Apart, a tracker trusts nobody else's signature.
      if (at === 0) await client.call('resume', { token });
      else await client.call('login', { user: 'swas', password: PASSWORD });
      const made = await client.call('create_group', { group: 'pdfs', requestId: requestIds.group });
      const added = await client.call('add_file', { group: 'pdfs', ...file, requestId: requestIds.file });
      answers.push([made, added]);
      await here.stop(at);
    }
    expect(answers[1]).toEqual(answers[0]);
    for (const at of [0, 1]) await here.start(at);
    await here.agreed();
    const again = await here.client(0);
    await again.call('login', { user: 'swas', password: PASSWORD });
    expect((await again.call('list_groups', {})).items.map(({ name }) => name)).toEqual(['pdfs']);
    expect((await again.call('list_files', { group: 'pdfs' })).items.map(({ name }) => name)).toEqual(['f']);
  });
});

describe('a client', () => {
  test('is told the keys of all trackers by any of them', async () => {
    const here = await network(3);
    const expected = here.lines.map(({ host, port }, at) => ({ host, port, tracker: here.tracker(at).id }));
    const client = await here.client(1);
    const { pins } = await client.call('trackers', {});
    expect(pins.toSorted((a, b) => a.port - b.port)).toEqual(expected.toSorted((a, b) => a.port - b.port));
  });

  test('is not logged out by a tracker that has not heard of its login', async () => {
    const here = await network(2);
    const swas = await here.client(0);
    await swas.signUp('swas');
    await here.agreed();
    await here.stop(1);
    const fresh = await here.client(0);
    const { token, trackers: holders } = await fresh.call('login', { user: 'swas', password: PASSWORD });
    expect(holders).toBe(1);
    await here.stop(0);
    await here.start(1);
    const there = await here.client(1, fresh.identity);
    expect((await there.refusal('resume', { token })).code).toBe('tracker-behind');
    await here.start(0);
    await here.agreed();
    expect(await there.call('resume', { token })).toMatchObject({ userName: 'swas' });
  });
});

describe('a data directory', () => {
  test('that was restored from an old copy is noticed, and made whole, before its first write', async () => {
    const here = await network(2);
    const swas = await here.client(0);
    await swas.signUp('swas');
    await here.agreed();
    await here.stop(0);
    const restore = here.copyOf(0);
    await here.start(0);
    const again = await here.client(0);
    await again.call('login', { user: 'swas', password: PASSWORD });
    for (let at = 0; at < 20; at += 1) await again.call('create_group', { group: `g${at}` });
    await here.agreed();
    const { held } = here.tracker(1).state();
    await here.stop(0);
    restore();
    const tracker = await here.start(0);
    expect(tracker.state().held).toEqual(held);
    const after = await here.client(0);
    await after.call('login', { user: 'swas', password: PASSWORD });
    await after.call('create_group', { group: 'after' });
    await here.agreed();
  });

  test.each(['body', 'signature'])(
    'with a flipped bit in the %s of an entry is repaired from another',
    async (column) => {
      const here = await network(2);
      const swas = await here.client(0);
      await swas.signUp('swas');
      for (let at = 0; at < 20; at += 1) await swas.call('create_group', { group: `g${at}` });
      await here.agreed();
      const before = here.tracker(1).state();
      await here.stop(0);
      flipBit(here.dataDir(0), column, 7);
      // Alone it does not run on a log that it can't trust.
      await expect(here.start(0, { apart: true })).rejects.toMatchObject({ code: 'log-damaged' });
      expect((await here.start(0)).state()).toMatchObject({ held: before.held, digest: before.digest });
      await here.stop(0);
      // Mended on the disk, too.
      await here.start(0, { apart: true });
    },
  );

  test('with a flipped bit that nobody can mend does not start, and nothing of it is passed on', async () => {
    const here = await network(2);
    const swas = await here.client(0);
    await swas.signUp('swas');
    await here.agreed();
    const before = here.tracker(1).state().held;
    await here.stop(1);
    await swas.call('create_group', { group: 'unheard' });
    await swas.call('create_group', { group: 'of' });
    await here.stop(0);
    const store = new SqliteLogStore(here.dataDir(0));
    const count = [...store.entries()].length;
    await store.close();
    flipBit(here.dataDir(0), 'body', count - 1);
    await here.start(1);
    await expect(here.start(0)).rejects.toMatchObject({ code: 'log-damaged' });
    expect(here.tracker(1).state().held).toEqual(before);
  });
});

function flipBit(directory: string, column: string, seq: number): void {
  const db = new Database(join(directory, 'log.sqlite'));
  const row = db.prepare<[number], Record<string, Buffer>>('SELECT * FROM entries WHERE seq = ?').get(seq);
  const bytes = row?.[column];
  if (!bytes) throw new Error(`no entry ${seq}`);
  bytes[20] = (bytes[20] ?? 0) ^ 4;
  db.prepare(`UPDATE entries SET ${column} = ? WHERE seq = ?`).run(bytes, seq);
  db.close();
}
