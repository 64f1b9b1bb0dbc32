/** New versions and repairs, with real processes and the commands that people type. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MIB } from '../../src/protocol/limits.ts';
import { Network, sha256, writeRandomFile } from '../support/network.ts';

let network: Network;
beforeEach(async () => {
  network = await Network.start();
});
afterEach(() => network.dispose());

function damage(path: string, positionBytes: number): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, 'damaged', positionBytes);
  closeSync(fd);
}

it('upload_file --replace publishes a version of which only what changed is fetched; check_file --repair mends a copy', async () => {
  const [alice, bob] = await network.members(['alice', 'bob']);
  if (!alice || !bob) throw new Error('two members');
  const file = alice.home.file('film.mkv');
  writeRandomFile(file, 8 * MIB);
  await alice.run.done('upload_file', file, 'pdfs');
  await bob.run.done('download_file', 'pdfs', 'film.mkv', bob.home.file('old.mkv'));
  await bob.run.notice('download-ended');

  damage(file, 5 * MIB);
  await alice.run.done('upload_file', '--replace', file, 'pdfs');
  await bob.run.done('download_file', 'pdfs', 'film.mkv', bob.home.file('new.mkv'));
  const ended = await bob.run.line((line) => line['notice'] === 'download-ended' && line['id'] === 2);
  expect(ended).toMatchObject({ ok: true, copiedBytes: 8 * MIB - MIB / 2 });
  expect(await sha256(bob.home.file('new.mkv'))).toBe(await sha256(file));

  damage(bob.home.file('new.mkv'), MIB);
  expect(await bob.run.done('check_file', 'pdfs', 'film.mkv')).toMatchObject({ badPieces: 1, pieceCount: 16 });
  await bob.run.done('check_file', '--repair', 'pdfs', 'film.mkv');
  await bob.run.line((line) => line['notice'] === 'download-ended' && line['id'] === -1 && line['ok'] === true);
  expect(await sha256(bob.home.file('new.mkv'))).toBe(await sha256(file));
  expect(await bob.run.done('check_file', 'pdfs', 'film.mkv')).toMatchObject({ badPieces: 0 });
});
