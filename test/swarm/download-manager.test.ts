/** What the DownloadManager makes of downloads that can't be taken up. Real files; no peer ever comes. */
import { mkdir, mkdtemp, rm, rmdir, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Engine } from '../../src/main/engine/engine.ts';
import { newIdentity } from '../../src/main/net/identity.ts';
import { silentLogger } from '../../src/main/support/logger.ts';
import { DownloadManager, type DownloadStore, type StoredDownload } from '../../src/main/swarm/download-manager.ts';
import { PeerLinks } from '../../src/main/swarm/peer-links.ts';
import { TokenBucket } from '../../src/main/swarm/token-bucket.ts';
import type { FileId, Root } from '../../src/protocol/ids.ts';
import { KIB, MIB } from '../../src/protocol/limits.ts';
import { GROUP } from '../support/keys.ts';
import { ManualClock } from '../support/manual-clock.ts';

let directory: string;
let engine: Engine;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'p2pfs-manager-'));
  engine = await Engine.start({ workers: 1, memoryBytes: 4 * MIB, treeDirectory: join(directory, 'trees') });
});
afterAll(async () => {
  await engine.close();
  await rm(directory, { recursive: true });
});

/** Rows in memory. */
function memoryStore(): DownloadStore {
  const rows = new Map<number, StoredDownload>();
  return {
    add: (order) => {
      const id = rows.size + 1;
      rows.set(id, { ...order, id, state: 'running', have: undefined });
      return id;
    },
    update: (id, state, have) => {
      const row = rows.get(id);
      if (row) rows.set(id, { ...row, state, have });
    },
    remove: (id) => {
      rows.delete(id);
    },
    all: () => [...rows.values()],
  };
}

it('a download that can not be resumed has failed, says why, and can be resumed once that is mended', async () => {
  const clock = new ManualClock();
  const store = memoryStore();
  const tickets = { get: async () => ({ body: new Uint8Array(1), signature: new Uint8Array(64) }), drop: () => {} };
  const links = new PeerLinks({ identity: await newIdentity(), slots: engine.slots, tickets, clock });
  const manager = new DownloadManager({
    engine,
    links,
    peers: { watch: () => ({ stop: () => {}, ready: Promise.resolve() }) },
    store,
    clock,
    random: () => 0.5,
    logger: silentLogger,
    pipeline: undefined,
    peersMax: 10,
    limit: new TokenBucket(undefined, 0),
    onFinished: async () => {},
    onLost: () => {},
    onChange: () => {},
  });
  const file = {
    file: '6'.repeat(32) as FileId,
    name: 'libc.pdf',
    sizeBytes: 100 * KIB,
    pieceSizeBytes: 16 * KIB,
    root: 'f'.repeat(64) as Root,
  };
  const destination = join(directory, 'libc.pdf');
  await manager.start({ group: GROUP, groupName: 'pdfs', file, destination });
  await manager.pause('pdfs', 'libc.pdf');
  await unlink(`${destination}.part`);
  await mkdir(`${destination}.part`);
  await expect(manager.resume('pdfs', 'libc.pdf')).rejects.toMatchObject({ kind: 'disk' });
  expect(manager.list().map((download) => download.status().state)).toEqual(['failed']);
  expect(manager.runningFiles()).toEqual([]);
  expect(store.all().map(({ state }) => state)).toEqual(['failed']);
  await rmdir(`${destination}.part`);
  await manager.resume('pdfs', 'libc.pdf');
  expect(manager.list().map((download) => download.status().state)).toEqual(['waiting']);
  await manager.close();
  await links.close();
  expect(clock.timerCount).toBe(0);
});
