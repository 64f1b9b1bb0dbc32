import { existsSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Client, Notice } from '../../src/main/index.ts';
import { KIB, MIB } from '../../src/protocol/limits.ts';
import { Library } from '../support/library.ts';
import { writeRandomFile } from '../support/network.ts';

let library: Library;
beforeEach(async () => {
  library = await Library.start();
});
afterEach(() => library.dispose());

const noticed = (client: Client, type: Notice['type']) =>
  new Promise<Notice>((resolve) => {
    client.onNotice((notice) => {
      if (notice.type === type) resolve(notice);
    });
  });

async function share(client: Client, name: string, sizeBytes: number): Promise<string> {
  const path = library.file('alice', name);
  writeRandomFile(path, sizeBytes);
  await client.uploadFile(path, 'g');
  return path;
}

describe('a client', () => {
  it('may be closed as soon as a download is done', async () => {
    const [alice, bob] = await library.two();
    const source = await share(alice, 'a.bin', 3 * MIB);
    const download = await bob.downloadFile('g', 'a.bin', library.file('bob', 'a.bin'));
    const status = await download.done;
    await bob.close();
    expect(status).toMatchObject({ state: 'done', doneBytes: 3 * MIB });
    expect(Buffer.compare(readFileSync(library.file('bob', 'a.bin')), readFileSync(source))).toBe(0);
  });

  it('polls, awaits and listens to a download', async () => {
    const [alice, bob] = await library.two();
    await share(alice, 'a.bin', 3 * MIB);
    const seen: number[] = [];
    const download = await bob.downloadFile('g', 'a.bin', library.file('bob', 'a.bin'));
    download.onProgress((status) => seen.push(status.doneBytes));
    expect(download.status().sizeBytes).toBe(3 * MIB);
    expect((await download.done).state).toBe('done');
    expect(bob.downloadManager.list()).toEqual([download]);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(seen.at(-1)).toBe(3 * MIB);
  });

  it('goes on with a download that is asked for again, and tells whoever held the first', async () => {
    const [alice, bob] = await library.two();
    await share(alice, 'a.bin', MIB);
    await alice.close();
    const destination = library.file('bob', 'a.bin');
    const first = await bob.downloadFile('g', 'a.bin', destination);
    const refused = expect(first.done).rejects.toMatchObject({ code: 'cancelled' });
    const second = await bob.downloadFile('g', 'a.bin', destination);
    await refused;
    expect(second.status().state).toBe('waiting');
    expect(bob.downloads()).toEqual([second]);
    await library.client('alice');
    expect((await second.done).state).toBe('done');
  });

  it('stops serving when its user logs out', async () => {
    const [alice, bob] = await library.two();
    await share(alice, 'a.bin', MIB);
    await alice.logout();
    const download = await bob.downloadFile('g', 'a.bin', library.file('bob', 'a.bin'));
    expect(download.status().state).toBe('waiting');
    await alice.login('alice', 'secret');
    expect((await download.done).state).toBe('done');
  });

  it('tells its owner of a shared file that has changed, and serves it no more', async () => {
    const [alice, bob] = await library.two();
    const path = await share(alice, 'a.bin', MIB);
    const broken = noticed(alice, 'share-broken');
    writeRandomFile(path, MIB);
    const download = await bob.downloadFile('g', 'a.bin', library.file('bob', 'a.bin'));
    expect(await broken).toMatchObject({ reason: expect.stringContaining('changed') });
    expect(download.status()).toMatchObject({ doneBytes: 0 });
    await bob.cancelDownload('g', 'a.bin');
    expect(existsSync(library.file('bob', 'a.bin.part'))).toBe(false);
  });

  it('does not tell people that they leave a group themselves', async () => {
    const [alice, bob] = await library.two();
    const notices: Notice[] = [];
    bob.onNotice((notice) => notices.push(notice));
    const told = noticed(alice, 'member-gone');
    await bob.leaveGroup('g');
    expect(await told).toMatchObject({ user: 'bob' });
    await bob.listGroups();
    expect(notices.filter(({ type }) => type === 'member-gone')).toEqual([]);
  });

  it('runs, and does not wait for peers, while a rate limit holds it back', async () => {
    const [alice, bob] = await library.two();
    await share(alice, 'a.bin', 4 * MIB);
    await bob.close();
    const slow = await library.client('bob', { downloadLimit: 2 * MIB });
    const download = await slow.downloadFile('g', 'a.bin', library.file('bob', 'a.bin'));
    const states = new Set<string>();
    await new Promise<void>((resolve) =>
      download.onProgress(({ state, doneBytes }) => {
        if (doneBytes > 0) states.add(state);
        if (doneBytes > 2 * MIB) resolve();
      }),
    );
    expect([...states]).toEqual(['running']);
  });

  it('shows what rests after a restart', async () => {
    const [alice, bob] = await library.two();
    await share(alice, 'a.bin', 64 * KIB);
    await alice.close();
    await bob.downloadFile('g', 'a.bin', library.file('bob', 'a.bin'));
    await bob.pauseDownload('g', 'a.bin');
    await bob.close();
    const again = await library.client('bob');
    expect(again.downloads().map((download) => download.status().state)).toEqual(['paused']);
    await library.client('alice');
    const [resumed] = await again.resumeDownload('g', 'a.bin');
    expect((await resumed?.done)?.state).toBe('done');
  });
});
