/**
 * Two trackers that could not hear each other, and what becomes of it when they can: names that both gave, a member whom
 * one put out while the other let them in, and what the ticket of the group that lost its name opens: nothing but its own.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Client } from '../../src/main/index.ts';
import type { Identity } from '../../src/main/net/identity.ts';
import { decodeCbor, encodeCbor } from '../../src/protocol/cbor.ts';
import { encodeFrame, FrameType } from '../../src/protocol/frame.ts';
import type { FileId, GroupId } from '../../src/protocol/ids.ts';
import { failureSchema } from '../../src/protocol/messages.ts';
import type { Signed } from '../../src/protocol/signed.ts';
import type { Address } from '../../src/protocol/tracker-info.ts';
import { freePort } from '../support/program.ts';
import { RawEnd } from '../support/raw-end.ts';
import { PASSWORD, type WireClient } from '../support/tracker.ts';
import { Trackers } from '../support/trackers.ts';

let here: Trackers;
let directory: string;
const clients: Client[] = [];
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'p2pfs-partition-'));
  here = await Trackers.of(2);
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
  await here.dispose();
  rmSync(directory, { recursive: true, force: true });
});

async function loggedIn(at: number, user: string): Promise<WireClient> {
  const client = await here.client(at);
  await client.call('login', { user, password: PASSWORD });
  return client;
}

interface Side {
  /** The device of this side's alice. */
  readonly identity: Identity;
  readonly token: Signed;
  readonly group: GroupId;
  /** For her group, from her tracker, while it was alone. */
  readonly ticket: Signed;
}

/** An alice and her group pdfs at a tracker that hears no other. */
async function alice(at: number): Promise<Side> {
  const client = await here.client(at);
  const token = await client.signUp('alice');
  const { group } = await client.call('create_group', { group: 'pdfs' });
  const { ticket } = await client.call('ticket', { group });
  return { identity: client.identity, token, group, ticket };
}

/** Bob is removed from the club on one side; on the other he leaves and is let in again. Both make alice and pdfs. */
async function apart(): Promise<[Side, Side]> {
  for (const at of [0, 1]) await here.start(at);
  await here.linked();
  const [swas, bob] = [await here.client(0), await here.client(0)];
  await swas.signUp('swas');
  await bob.signUp('bob');
  await swas.call('create_group', { group: 'club' });
  await bob.call('join_group', { group: 'club' });
  await swas.call('accept_request', { group: 'club', user: 'bob' });
  await here.agreed();
  for (const at of [0, 1]) await here.stop(at);

  await here.start(0, { apart: true });
  const winner = await alice(0);
  await (await loggedIn(0, 'swas')).call('remove_member', { group: 'club', user: 'bob' });
  await here.stop(0);

  await here.start(1, { apart: true });
  const loser = await alice(1);
  const again = await loggedIn(1, 'bob');
  await again.call('leave_group', { group: 'club' });
  await again.call('join_group', { group: 'club' });
  await (await loggedIn(1, 'swas')).call('accept_request', { group: 'club', user: 'bob' });
  await here.stop(1);

  for (const at of [0, 1]) await here.start(at);
  await here.agreed();
  return [winner, loser];
}

/** A member's client that shares a file of this name into a group; gives where peers reach it, and the file's id. */
async function seeder(user: string, group: string): Promise<{ address: Address; file: FileId }> {
  const address = { host: '127.0.0.1', port: await freePort() };
  const trackerInfoPath = join(directory, 'tracker_info.txt');
  writeFileSync(trackerInfoPath, here.lines.map(({ host, port }) => `${host} ${port}\n`).join(''));
  const client = await Client.start({ address, trackerInfoPath, dataDir: join(directory, user), workers: 1 });
  clients.push(client);
  await client.login(user, PASSWORD);
  const name = `${user}.txt`;
  writeFileSync(join(directory, name), `what ${user} shares`);
  await client.uploadFile(join(directory, name), group);
  await here.agreed();
  const { file } = await (await loggedIn(0, user)).call('find_file', { group, name });
  return { address, file: file.file };
}

/** What a serving peer says to a device that shows this ticket and asks for a file of a group. */
async function opened(address: Address, { identity, ticket }: Side, group: GroupId, file: FileId): Promise<string> {
  const end = await RawEnd.dial(address, identity);
  await end.greeted;
  end.send(
    encodeFrame(FrameType.Ticket, { body: encodeCbor(ticket) }),
    encodeFrame(FrameType.Open, { id: 1, body: encodeCbor({ group, file }) }),
  );
  const outcome = await Promise.race([
    end.next(FrameType.Opened).then(() => 'opened'),
    end.next(FrameType.Refused).then(({ body }) => decodeCbor(failureSchema, body, 'refusal').code),
  ]);
  end.connection.close();
  return outcome;
}

describe('both sides of a partition', () => {
  test('come to the same: the later names change, groups stay apart, and a removal beats letting in again', async () => {
    const [winner, loser] = await apart();
    expect(loser.group).not.toBe(winner.group);
    for (const at of [0, 1]) {
      const now = await loggedIn(at, 'swas');
      const groups = (await now.call('list_groups', {})).items;
      expect(groups.map(({ name }) => name)).toEqual(['club', 'pdfs', `pdfs~${loser.group.slice(0, 4)}`]);
      expect(groups[1]?.owner).toBe('alice');
      expect(groups[2]?.owner).toMatch(/^alice~[0-9a-f]{4}$/);
      expect((await now.call('list_members', { group: 'club' })).items).toEqual(['swas']);
    }
    // Each alice is who she was, logged in as she was, under the name that she has now.
    for (const [{ identity, token, group }, name] of [
      [winner, /^alice$/],
      [loser, /^alice~[0-9a-f]{4}$/],
    ] as const) {
      const client = await here.client(1, identity);
      expect((await client.call('resume', { token })).userName).toMatch(name);
      await client.call('ticket', { group });
    }
  });

  test('a ticket of the group that lost its name opens its own files, and none of the one that kept it', async () => {
    const [winner, loser] = await apart();
    const swas = await loggedIn(0, 'swas');
    const [, kept, renamed] = (await swas.call('list_groups', {})).items;
    const winners = await seeder(kept?.owner ?? '', kept?.name ?? '');
    const losers = await seeder(renamed?.owner ?? '', renamed?.name ?? '');
    expect(await opened(losers.address, loser, loser.group, losers.file)).toBe('opened');
    // Neither the winner's group by its id, nor its file as one of the loser's.
    expect(await opened(winners.address, loser, winner.group, winners.file)).toBe('no-ticket');
    expect(await opened(winners.address, loser, loser.group, winners.file)).toBe('not-shared');
    expect(await opened(losers.address, winner, loser.group, losers.file)).toBe('no-ticket');
    expect(await opened(winners.address, winner, winner.group, winners.file)).toBe('opened');
    // Nor is there another to be had.
    const asked = await here.client(0, loser.identity);
    await asked.call('resume', { token: loser.token });
    expect((await asked.refusal('ticket', { group: winner.group })).code).toBe('not-a-member');
  });
});
