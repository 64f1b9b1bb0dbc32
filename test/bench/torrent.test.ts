/** What other programs are told: torrents, and a tracker's answers. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Torrent } from '../../bench/peers/torrent.ts';
import { AnnounceServer, announceAnswer } from '../../bench/support/announce.ts';

const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
const sha1 = (bytes: Uint8Array) => latin1(createHash('sha1').update(bytes).digest());

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'p2pfs-torrent-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

test('a torrent holds the SHA-1 of each piece, the last of which may be shorter', () => {
  const bytes = Buffer.from('0123456789');
  writeFileSync(join(directory, 'ten.bin'), bytes);
  const pieces = [bytes.subarray(0, 4), bytes.subarray(4, 8), bytes.subarray(8)].map(sha1).join('');
  const info = `d6:lengthi10e4:name7:ten.bin12:piece lengthi4e6:pieces60:${pieces}7:privatei1ee`;
  const torrent = new Torrent(join(directory, 'ten.bin'), 4);
  expect(latin1(torrent.file())).toBe(`d4:info${info}e`);
  expect(latin1(torrent.file('http://t/announce'))).toBe(`d8:announce17:http://t/announce4:info${info}e`);
});

test('a tracker answers with addresses of six bytes each', () => {
  expect(latin1(announceAnswer([6881, 258]))).toBe(
    'd8:intervali3600e5:peers12:\x7f\x00\x00\x01\x1a\xe1\x7f\x00\x00\x01\x01\x02e',
  );
});

test('a tracker tells of as many peers as its address says', async () => {
  const tracker = await AnnounceServer.start([1, 2, 3]);
  try {
    const answer = await fetch(`${tracker.address(2)}?info_hash=x`);
    expect(latin1(new Uint8Array(await answer.arrayBuffer()))).toBe(latin1(announceAnswer([1, 2])));
    const { origin } = new URL(tracker.address(1));
    expect((await fetch(`${origin}/scrape`)).status).toBe(404);
  } finally {
    await tracker.close();
  }
});
