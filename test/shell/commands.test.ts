import { describe, expect, test } from 'vitest';
import { usageOf } from '../../src/main/shell/command.ts';
import { COMMANDS } from '../../src/main/shell/commands.ts';
import { interpret, withoutSecrets } from '../../src/main/shell/interpret.ts';
import { downloadStatus, FakeClient, FakeDownload } from '../support/fake-client.ts';

async function run(client: FakeClient, line: string) {
  const interpreted = interpret(COMMANDS, line, '/home/swas');
  if (!interpreted) throw new Error('nothing to run');
  return interpreted.command.run(
    { client, onShareProgress: () => {}, options: interpreted.options },
    interpreted.words,
  );
}

const text = async (client: FakeClient, line: string) => (await run(client, line)).text;

describe('the table', () => {
  test('has the commands of DESIGN section 10, as spelled', () => {
    const usages = COMMANDS.map(usageOf);
    expect(usages).toEqual(
      expect.arrayContaining([
        'quit',
        'create_user <user_id> <passwd>',
        'login <user_id> <passwd>',
        'logout',
        'create_group <group_id>',
        'join_group <group_id>',
        'leave_group <group_id>',
        'list_requests <group_id>',
        'accept_request <group_id> <user_id>',
        'list_groups',
        'list_files <group_id> [folder]',
        'upload_file [--replace] <file_path> <group_id>',
        'download_file <group_id> <file_name> <destination_path>',
        'show_downloads',
      ]),
    );
  });

  test('has each name once, and a line of help for each', () => {
    expect(new Set(COMMANDS.map((command) => command.name)).size).toBe(COMMANDS.length);
    for (const command of COMMANDS) expect(command.help).toMatch(/^[a-z].*[^.]$/);
  });

  test.each([
    ['create_user swas 123', 'createUser swas 123', 'Created user swas.'],
    ['login swas 123', 'login swas 123', 'Logged in as swas.'],
    ['logout', 'logout', 'Logged out.'],
    ['create_group pdfs', 'createGroup pdfs', 'Created group pdfs. You own it.'],
    ['join_group pdfs', 'joinGroup pdfs', 'Asked to join pdfs. Its owner, alice, decides.'],
    ['leave_group pdfs', 'leaveGroup pdfs', 'Left pdfs. bob owns it now.'],
    ['accept_request pdfs alice', 'acceptRequest pdfs alice', 'alice is a member of pdfs now.'],
    ['reject_request pdfs alice', 'rejectRequest pdfs alice', 'Turned down the request of alice to join pdfs.'],
    ['remove_member pdfs alice', 'removeMember pdfs alice', 'Removed alice from pdfs.'],
    [
      'upload_file ~/libc.pdf pdfs',
      'uploadFile /home/swas/libc.pdf pdfs',
      'Shared libc.pdf in pdfs: 2.0 MiB in 4 pieces.',
    ],
    [
      'check_file --repair pdfs a.bin',
      'checkFile pdfs a.bin --repair',
      '1 piece of 4 of /home/swas/a.bin is wrong. Mend it: check_file --repair pdfs a.bin',
    ],
    ['pause_download pdfs a.bin', 'pauseDownload pdfs a.bin', ''],
    ['resume_download pdfs a.bin', 'resumeDownload pdfs a.bin', ''],
    ['cancel_download pdfs a.bin', 'cancelDownload pdfs a.bin', ''],
    ['download_file pdfs "my file" .', 'downloadFile pdfs my file .', 'Downloading my file (1000 B) to .'],
  ])('%s', async (line, call, outcome) => {
    const client = new FakeClient();
    expect(await text(client, line)).toBe(outcome);
    expect(client.calls).toEqual([call]);
  });

  test('says what to do where there is nothing to list', async () => {
    const client = new FakeClient();
    expect(await text(client, 'list_groups')).toBe('No groups yet. Make one: create_group <group_id>');
    expect(await text(client, "list_files 'my pdfs'")).toBe(
      "No files in my pdfs yet. Share one: upload_file <file_path> 'my pdfs'",
    );
    expect(await text(client, 'list_requests pdfs')).toBe('Nobody is asking to join pdfs.');
    expect(await text(client, 'show_downloads')).toMatch(/^No downloads yet\. Start one: download_file /);
    expect(await text(client, 'whoami')).toMatch(/^Nobody is logged in/);
  });

  test('aligns lists, and makes names of others safe to print', async () => {
    const client = new FakeClient();
    client.groups.push({ name: 'pdfs', owner: 'swas', members: 3, standing: 'owner' });
    client.groups.push({ name: 'a\u001b[31mb', owner: 'al\u202eice', members: 12, standing: 'none' });
    expect(await text(client, 'list_groups')).toBe(
      [
        'GROUP    OWNER   MEMBERS  YOU',
        'pdfs     swas          3  you own it',
        'a\ufffd[31mb  al\ufffdice       12  -',
      ].join('\n'),
    );
  });

  test('explains one command or all', async () => {
    const client = new FakeClient();
    expect(await text(client, 'help login')).toBe('login <user_id> <passwd>  log in on this client');
    expect((await text(client, 'help')).split('\n')).toHaveLength(COMMANDS.length);
    await expect(run(client, 'help logn')).rejects.toThrow('there is no command "logn"');
  });

  test('shows a line a download, with its state', async () => {
    const client = new FakeClient();
    const peers = [{ device: 'd', userName: 'bob', bytes: 1, badPieces: 0, state: 'active' as const }];
    const add = (fields: Parameters<typeof downloadStatus>[0]) =>
      client.started.push(new FakeDownload(downloadStatus(fields)));
    add({ doneBytes: 420, bytesPerSecond: 12.3 * 1024 * 1024, etaSeconds: 2.4, peers });
    add({ name: 'b', state: 'done', doneBytes: 1000, elapsedMs: 3100 });
    add({ name: 'c', state: 'waiting' });
    add({ name: 'd', state: 'paused' });
    add({ name: 'e', state: 'failed' });
    add({ name: 'f', state: 'cancelled' });
    expect((await text(client, 'show_downloads')).split('\n')).toEqual([
      '[D] [pdfs] libc.pdf   42 %  12.3 MiB/s  ETA 3 s  1 peer',
      '[C] [pdfs] b         100 %  1000 B in 3.1 s',
      '[W] [pdfs] c           0 %  waiting for peers',
      '[P] [pdfs] d           0 %  paused',
      '[F] [pdfs] e           0 %  failed: for an unknown reason',
      '[X] [pdfs] f           0 %  cancelled',
    ]);
  });
});

describe('bad input', () => {
  const refusal = (line: string) => {
    try {
      interpret(COMMANDS, line, '/home/swas');
    } catch (error) {
      return error;
    }
    return undefined;
  };

  test.each([
    ['lits_files pdfs', 'did you mean list_files? help lists all commands'],
    ['LIST-FILES pdfs', 'did you mean list_files? help lists all commands'],
    ['xyzzy', 'help lists all commands'],
  ])('unknown command: %s', (line, hint) => {
    expect(refusal(line)).toMatchObject({ code: 'unknown-command', kind: 'usage', hint });
  });

  test.each([
    ['create_user swas', 'create_user takes 2 arguments, not 1', 'usage: create_user <user_id> <passwd>'],
    ['logout now', 'logout takes no arguments, not 1', 'usage: logout'],
    ['list_files', 'list_files takes at most 2 arguments, not 0', 'usage: list_files <group_id> [folder]'],
    ['help a b', 'help takes at most 1 argument, not 2', 'usage: help [command]'],
  ])('wrong count: %s', (line, message, hint) => {
    expect(refusal(line)).toMatchObject({ code: 'bad-request', kind: 'usage', message, hint });
  });

  test('comments and empty lines are nothing', () => {
    expect(interpret(COMMANDS, '# login "', '')).toBeUndefined();
    expect(interpret(COMMANDS, ' ', '')).toBeUndefined();
  });
});

describe('the history keeps no password', () => {
  test.each([
    ['list_files pdfs ', 'list_files pdfs'],
    ['login swas 123', 'login swas'],
    [`create_user 'a b' 123 `, `create_user 'a b'`],
    ['login swas 123 456', 'login swas'],
    ['login swas "12', undefined],
    ['logn swas 123', undefined],
    ['create-user swas 123', undefined],
    ['lits_files pdfs', 'lits_files pdfs'],
    ['# note', undefined],
  ])('%s', (line, kept) => expect(withoutSecrets(COMMANDS, line)).toBe(kept));
});
