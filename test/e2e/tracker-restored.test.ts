/**
 * Tracker programs on data directories that are not what they were: put back from an old copy, or with a flipped bit in
 * the log. Noticed before anything is written; mended from the other tracker, or refused with what to do.
 */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Cluster } from '../support/cluster.ts';
import type { Program } from '../support/program.ts';
import { PASSWORD, WireClient } from '../support/tracker.ts';

let cluster: Cluster;
let swas: WireClient;
beforeEach(async () => {
  cluster = await Cluster.of(2);
});
afterEach(async () => {
  swas.close();
  await cluster.dispose();
});

async function connect(at: number, method: 'signUp' | 'login'): Promise<void> {
  const address = cluster.addresses[at];
  if (!address) throw new Error('no such tracker');
  swas = await WireClient.connect(address);
  if (method === 'signUp') await swas.signUp('swas');
  else await swas.call('login', { user: 'swas', password: PASSWORD });
}

/** Makes groups until one is held by both: what came before it is, too. */
async function makeGroups(prefix: string, count: number): Promise<void> {
  for (let at = 0; at < count; at += 1) await swas.call('create_group', { group: `${prefix}${at}` });
  for (let at = 0; ; at += 1) {
    const { trackers } = await swas.call('create_group', { group: `${prefix}-held${at}` });
    if (trackers === 2) return;
  }
}

async function quit(...runs: readonly Program[]): Promise<void> {
  for (const run of runs) expect(await run.quit()).toMatchObject({ exitCode: 0 });
}

/** Puts the first tracker's directory aside; the returned function puts it back as it was. */
function copied(): () => void {
  const [from, to] = [cluster.dataDir(0), join(cluster.path, 'copy')];
  cpSync(from, to, { recursive: true });
  return () => {
    rmSync(from, { recursive: true });
    cpSync(to, from, { recursive: true });
  };
}

async function verified(run: Program): Promise<string> {
  const from = run.stdout.length;
  run.type('verify_log');
  await run.printed(' entries', from);
  return /^.* entries.*$/m.exec(run.stdout.slice(from))?.[0] ?? '';
}

describe('a data directory that was put back from an old copy', () => {
  test('has its own later entries fetched from the other tracker, before it serves anybody', async () => {
    const [first, second] = [await cluster.start(0), await cluster.start(1)];
    await connect(0, 'signUp');
    await makeGroups('early', 3);
    await quit(first);
    const putBack = copied();
    const again = await cluster.start(0);
    await connect(0, 'login');
    await makeGroups('late', 20);
    await quit(again);
    putBack();

    const restored = await cluster.start(0);
    await restored.printed('its data directory was not the latest');
    await connect(0, 'login');
    const { items } = await swas.call('list_groups', {});
    expect(items.map(({ name }) => name)).toContain('late19');
    // Written after what it had forgotten, not beside it: the other takes it.
    await makeGroups('after', 1);
    for (const run of [restored, second]) expect(await verified(run)).toMatch(/^\d+ entries verified: all hold$/);
    await quit(restored, second);
  });

  // Its own log then is shorter than what the other holds of it, as long, or longer.
  test.each([1, 20, 40])(
    'and written to, alone, %i times, makes the tracker stop when it meets the other',
    async (n) => {
      const [first, second] = [await cluster.start(0), await cluster.start(1)];
      await connect(0, 'signUp');
      await makeGroups('early', 3);
      await quit(first);
      const putBack = copied();
      const again = await cluster.start(0);
      await connect(0, 'login');
      for (let at = 0; at < 20; at += 1) await swas.call('create_group', { group: `late${at}` });
      await makeGroups('late', 0);
      await quit(again, second);
      putBack();

      const alone = await cluster.start(0);
      await connect(0, 'login');
      for (let at = 0; at < n; at += 1) await swas.call('create_group', { group: `other${at}` });
      await cluster.start(1);
      const { exitCode, stderr } = await alone.ended;
      expect({ exitCode, stderr }).toEqual({
        exitCode: 4,
        stderr: expect.stringContaining('restored from an old copy'),
      });
      // It does not start either, until its log is out of the way; then it goes on with what the other has.
      const refused = await cluster.run(0).ended;
      expect(refused).toMatchObject({ exitCode: 4, stderr: expect.stringContaining('move its log.sqlite away') });
      for (const name of ['log.sqlite', 'log.sqlite-wal', 'log.sqlite-shm']) {
        rmSync(join(cluster.dataDir(0), name), { force: true });
      }
      await cluster.start(0);
      await connect(0, 'login');
      const { items } = await swas.call('list_groups', {});
      expect(items.map(({ name }) => name)).toContain('late19');
      expect(items.map(({ name }) => name)).not.toContain('other0');
    },
  );
});

describe('a flipped bit in a log', () => {
  /** In the body of an entry, in the file itself; every copy of it that the file holds. */
  function flipBit(directory: string, group: string): void {
    const path = join(directory, 'log.sqlite');
    const bytes = readFileSync(path);
    const places: number[] = [];
    for (let at = bytes.indexOf(group); at >= 0; at = bytes.indexOf(group, at + 1)) places.push(at);
    expect(places).toHaveLength(1);
    for (const at of places) bytes[at] = (bytes[at] ?? 0) ^ 1;
    writeFileSync(path, bytes);
  }

  test('is found at the start and by verify_log, mended from the other tracker, and never passed on', async () => {
    const [first, second] = [await cluster.start(0), await cluster.start(1)];
    await connect(0, 'signUp');
    await makeGroups('group', 20);
    expect(await verified(first)).toContain('all hold');
    await quit(first);
    flipBit(cluster.dataDir(0), 'group7');
    await quit(second);
    // Nobody has what it should be.
    const alone = await cluster.run(0).ended;
    expect(alone.exitCode).toBe(4);
    expect(alone.stderr).toMatch(/the log is damaged at entry \d+/);

    const other = await cluster.start(1);
    const mended = await cluster.start(0);
    for (const run of [mended, other]) expect(await verified(run)).toContain('all hold');
    await connect(0, 'login');
    expect((await swas.call('list_groups', {})).items.map(({ name }) => name)).toContain('group7');

    // While it runs, too: verify_log reads the disk, and who asks for the entry does not take it.
    await makeGroups('more', 1);
    const db = new Database(join(cluster.dataDir(0), 'log.sqlite'));
    db.exec(
      "UPDATE entries SET body = CAST(replace(body, 'group7', 'gr0up7') AS BLOB) WHERE instr(body, 'group7') > 0",
    );
    db.close();
    expect(await verified(mended)).toMatch(/^DAMAGED after \d+ entries: entry \d+ of /);
    await quit(other);
    rmSync(join(cluster.dataDir(1), 'log.sqlite'));
    const newcomer = await cluster.start(1);
    await newcomer.logged('a tracker sent what does not hold');
    newcomer.kill('SIGTERM');
    await newcomer.ended;
    const bytes = readFileSync(join(cluster.dataDir(1), 'log.sqlite'));
    expect(bytes.includes('gr0up7')).toBe(false);
    // Mended at its next start, like before, from whoever has it; here nobody has it any more.
    mended.kill('SIGTERM');
    await mended.ended;
    expect(await cluster.run(0).ended).toMatchObject({ exitCode: 4 });
  });
});
