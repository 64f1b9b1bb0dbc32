import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { COMMANDS } from '../../src/main/shell/commands.ts';
import { complete } from '../../src/main/shell/completion.ts';
import { FakeClient } from '../support/fake-client.ts';
import { ManualClock } from '../support/manual-clock.ts';

let directory: string;
let client: FakeClient;
let clock: ManualClock;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'p2p-completion-'));
  client = new FakeClient();
  clock = new ManualClock();
  client.groups.push(
    { name: 'pdfs', owner: 'swas', members: 1, standing: 'owner' },
    { name: 'my pictures', owner: 'swas', members: 1, standing: 'owner' },
  );
  client.requests.push('alice');
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const listDirectory = (path: string) => readdir(path, { withFileTypes: true });
const offered = (line: string) =>
  complete({ client, commands: COMMANDS, homeDir: directory, listDirectory, clock }, line);

describe('Tab', () => {
  test('completes commands, the only one with a space behind it', async () => {
    expect(await offered('list_')).toEqual([['list_files', 'list_groups', 'list_members', 'list_requests'], 'list_']);
    expect(await offered('show')).toEqual([['show_downloads', 'show_uploads'], 'show']);
    expect(await offered('show_d')).toEqual([['show_downloads '], 'show_d']);
    expect(await offered('help wh')).toEqual([['whoami '], 'wh']);
  });

  test('completes groups, spelled so that they read as one word', async () => {
    expect(await offered('list_files ')).toEqual([['my\\ pictures', 'pdfs'], '']);
    expect(await offered('list_files my')).toEqual([['my\\ pictures '], 'my']);
    expect(await offered('list_files "my p')).toEqual([['"my pictures" '], '"my p']);
    expect(await offered("list_files 'm")).toEqual([["'my pictures' "], "'m"]);
  });

  test('completes users who asked, and files of the group that was typed', async () => {
    expect(await offered("accept_request 'my pictures' ")).toEqual([['alice '], '']);
    await offered("download_file 'my pictures' x");
    expect(client.calls).toEqual(['listRequests my pictures', 'listFiles my pictures']);
  });

  test('completes paths, into directories, and from the home directory', async () => {
    mkdirSync(join(directory, 'my dir'));
    writeFileSync(join(directory, 'my dir', 'libc.pdf'), '');
    writeFileSync(join(directory, '.hidden'), '');
    expect(await offered('upload_file ~/')).toEqual([['~/my\\ dir/'], '~/']);
    expect(await offered('upload_file ~/my\\ dir/l')).toEqual([['~/my\\ dir/libc.pdf '], '~/my\\ dir/l']);
    expect(await offered(`upload_file ${directory}/.h`)).toEqual([[`${directory}/.hidden `], `${directory}/.h`]);
    expect(await offered('upload_file /nowhere/at/all/')).toEqual([[], '/nowhere/at/all/']);
  });

  test('offers nothing for passwords, unknown commands and words too many', async () => {
    for (const line of ['login swas ', 'nonsense ', 'logout ']) expect((await offered(line))[0]).toEqual([]);
  });

  test('offers no name that a terminal would obey', async () => {
    client.groups.push({ name: 'evil\u001b[2J', owner: 'eve', members: 1, standing: 'none' });
    expect((await offered('list_files e'))[0]).toEqual([]);
  });

  test('does not throw when the client refuses, nor wait when it does not answer', async () => {
    client.refusals.set('listGroups', new Error('no tracker'));
    expect(await offered('list_files p')).toEqual([[], 'p']);
    client.listMembers = () => new Promise(() => {});
    const hanging = offered('remove_member pdfs b');
    clock.advance(1000);
    expect(await hanging).toEqual([[], 'b']);
  });
});
