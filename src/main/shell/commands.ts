/**
 * The one table of client commands. A new command is one entry: what it is called, what it takes, what it does, and how
 * its outcome reads. Nothing else in the shell names a command. Refusals are not made here: the client throws them.
 */

import { invariant } from '../../protocol/errors.ts';
import type { GroupListing } from '../../protocol/messages.ts';
import { printable } from '../../protocol/names.ts';
import type { ClientApi, Download } from '../client/types.ts';
import {
  type Arguments,
  type Command,
  type CommandContext,
  countFits,
  type Outcome,
  type Parameter,
  usageOf,
} from './command.ts';
import { downloadData, downloadLines } from './download-text.ts';
import { filesListed, folderShared } from './folder-text.ts';
import { count, formatSize, table } from './format.ts';
import { findCommand } from './interpret.ts';
import { typed } from './notice-text.ts';

const NEW_USER = { name: 'user_id', kind: 'new' } as const;
const NEW_GROUP = { name: 'group_id', kind: 'new' } as const;
const GROUP = { name: 'group_id', kind: 'group' } as const;
const USER = { name: 'user_id', kind: 'user' } as const;
const REQUESTER = { name: 'user_id', kind: 'requester' } as const;
const MEMBER = { name: 'user_id', kind: 'member' } as const;
const PASSWORD = { name: 'passwd', kind: 'secret' } as const;
const LOCAL_FILE = { name: 'file_path', kind: 'path' } as const;
const SHARED_FILE = { name: 'file_name', kind: 'file' } as const;
const FOLDER = { name: 'folder', kind: 'file', optional: true } as const;
const DESTINATION = { name: 'destination_path', kind: 'path' } as const;
const REPLACE = '--replace';
const REPAIR = '--repair';
const COMMAND = { name: 'command', kind: 'command', optional: true } as const;

const STANDINGS: Readonly<Record<GroupListing['standing'], string>> = {
  owner: 'you own it',
  member: 'member',
  asked: 'asked to join',
  none: '-',
};

function entry<const P extends readonly Parameter[]>(
  name: string,
  parameters: P,
  help: string,
  run: (context: CommandContext, words: Arguments<P>) => Promise<Outcome>,
  options: readonly string[] = [],
): Command {
  const isComplete = (words: readonly (string | undefined)[]): words is Arguments<P> => countFits(parameters, words);
  return {
    name,
    parameters,
    options,
    help,
    run(context, words) {
      invariant(isComplete(words), `${name} is run with ${words.length} words`);
      return run(context, words);
    },
  };
}

/** A command about downloads that are known already, named by their group and file. */
function downloadEntry(
  name: string,
  help: string,
  done: string,
  act: (client: ClientApi, group: string, file: string) => Promise<readonly Download[]>,
): Command {
  return entry(name, [GROUP, SHARED_FILE], help, async ({ client }, [group, file]) => {
    const statuses = (await act(client, group, file)).map((download) => download.status());
    return {
      data: { downloads: statuses.map(downloadData) },
      text: statuses.map(({ destination }) => `${done}: ${printable(file)} to ${printable(destination)}`).join('\n'),
    };
  });
}

export const COMMANDS: readonly Command[] = [
  entry('create_user', [NEW_USER, PASSWORD], 'make an account', async ({ client }, [user, password]) => {
    const { trackers } = await client.createUser(user, password);
    return { data: { user, trackers }, text: `Created user ${printable(user)}.` };
  }),
  entry('login', [USER, PASSWORD], 'log in on this client', async ({ client }, [user, password]) => {
    const { trackers } = await client.login(user, password);
    return { data: { user, trackers }, text: `Logged in as ${printable(user)}.` };
  }),
  entry('logout', [], 'log out and stop serving', async ({ client }) => {
    const { trackers } = await client.logout();
    return { data: { trackers }, text: 'Logged out.' };
  }),
  entry('whoami', [], 'say who is logged in here', async ({ client: { userName } }) => ({
    data: { user: userName ?? null },
    text: userName === undefined ? 'Nobody is logged in. Log in: login <user_id> <passwd>' : printable(userName),
  })),
  entry('create_group', [NEW_GROUP], 'make a group that you own', async ({ client }, [group]) => {
    const { trackers } = await client.createGroup(group);
    return { data: { group, trackers }, text: `Created group ${printable(group)}. You own it.` };
  }),
  entry('join_group', [GROUP], "ask a group's owner to let you in", async ({ client }, [group]) => {
    const { owner, trackers } = await client.joinGroup(group);
    return {
      data: { group, owner, trackers },
      text: `Asked to join ${printable(group)}. Its owner, ${printable(owner)}, decides.`,
    };
  }),
  entry('leave_group', [GROUP], 'leave a group', async ({ client }, [group]) => {
    const { newOwner, dissolved, trackers } = await client.leaveGroup(group);
    const after = dissolved
      ? ' You were its last member: the group is gone.'
      : newOwner === undefined
        ? ''
        : ` ${printable(newOwner)} owns it now.`;
    return { data: { group, newOwner, dissolved, trackers }, text: `Left ${printable(group)}.${after}` };
  }),
  entry('list_requests', [GROUP], 'list who asks to join a group of yours', async ({ client }, [group]) => {
    const users = await client.listRequests(group);
    return {
      data: { group, users },
      text: users.length > 0 ? users.map(printable).join('\n') : `Nobody is asking to join ${printable(group)}.`,
    };
  }),
  entry('accept_request', [GROUP, REQUESTER], 'let a user into a group of yours', async ({ client }, [group, user]) => {
    const { trackers } = await client.acceptRequest(group, user);
    return { data: { group, user, trackers }, text: `${printable(user)} is a member of ${printable(group)} now.` };
  }),
  entry('reject_request', [GROUP, REQUESTER], 'turn down a request to join', async ({ client }, [group, user]) => {
    const { trackers } = await client.rejectRequest(group, user);
    return {
      data: { group, user, trackers },
      text: `Turned down the request of ${printable(user)} to join ${printable(group)}.`,
    };
  }),
  entry('remove_member', [GROUP, MEMBER], 'put a member out of a group of yours', async ({ client }, [group, user]) => {
    const { trackers } = await client.removeMember(group, user);
    return { data: { group, user, trackers }, text: `Removed ${printable(user)} from ${printable(group)}.` };
  }),
  entry('list_members', [GROUP], 'list the members of a group', async ({ client }, [group]) => {
    const users = await client.listMembers(group);
    return { data: { group, users }, text: users.map(printable).join('\n') };
  }),
  entry('list_groups', [], 'list all groups', async ({ client }) => {
    const groups = await client.listGroups();
    const rows = groups.map(({ name, owner, members, standing }) => [
      printable(name),
      printable(owner),
      String(members),
      STANDINGS[standing],
    ]);
    return {
      data: { groups: groups.map(({ name, owner, members, standing }) => ({ name, owner, members, standing })) },
      text:
        rows.length > 0
          ? table([['GROUP', 'OWNER', 'MEMBERS', 'YOU'], ...rows], new Set([2]))
          : 'No groups yet. Make one: create_group <group_id>',
    };
  }),
  entry(
    'list_files',
    [GROUP, FOLDER],
    'list what a group shares, or a folder of it',
    async ({ client }, [group, folder]) => filesListed(group, folder, await client.listFiles(group, folder)),
  ),
  entry(
    'upload_file',
    [LOCAL_FILE, GROUP],
    'share a file or a folder with a group; --replace: as a new version under its name',
    async (context, [path, group]) => {
      const shared = await context.client.uploadFile(path, group, {
        replace: context.options.has(REPLACE),
        onProgress: (progress) => context.onShareProgress(group, progress),
      });
      if ('fileCount' in shared) return folderShared(path, shared);
      const { name, sizeBytes, pieceCount, root, created, elapsedMs } = shared;
      const what = `${formatSize(sizeBytes)} in ${count(pieceCount, 'piece')}`;
      return {
        data: { path, group, name, sizeBytes, pieceCount, root, created, elapsedMs },
        text: created
          ? `Shared ${printable(name)} in ${printable(group)}: ${what}.`
          : `${printable(group)} has ${printable(name)} already; you serve it too now: ${what}.`,
      };
    },
    [REPLACE],
  ),
  entry(
    'check_file',
    [GROUP, SHARED_FILE],
    'read a file that you share again; --repair: fetch what is wrong of it',
    async (context, [group, name]) => {
      const { path, pieceCount, badPieces, repair } = await context.client.checkFile(group, name, {
        repair: context.options.has(REPAIR),
        onProgress: (progress) => context.onShareProgress(group, progress),
      });
      const wrong = `${count(badPieces, 'piece')} of ${pieceCount} of ${printable(path)} ${badPieces === 1 ? 'is' : 'are'} wrong`;
      return {
        data: {
          group,
          name,
          path,
          pieceCount,
          badPieces,
          ...(repair ? { repair: downloadData(repair.status()) } : {}),
        },
        text:
          badPieces === 0
            ? `All ${count(pieceCount, 'piece')} of ${printable(path)} are right.`
            : `${wrong}. ${repair ? 'Fetching them from the group.' : `Mend it: check_file --repair ${typed(group)} ${typed(name)}`}`,
      };
    },
    [REPAIR],
  ),
  entry(
    'download_file',
    [GROUP, SHARED_FILE, DESTINATION],
    'fetch a file or a folder of a group in the background',
    async ({ client }, [group, name, destination]) => {
      const status = (await client.downloadFile(group, name, destination)).status();
      const what = `${printable(status.name)} (${formatSize(status.sizeBytes)})`;
      return {
        data: { ...downloadData(status) },
        text:
          status.state === 'waiting'
            ? `No member who has ${what} is online. The download starts by itself when one comes; cancel_download gives it up.`
            : `Downloading ${what} to ${printable(status.destination)}`,
      };
    },
  ),
  entry('show_downloads', [], 'show how the downloads stand', async ({ client }) => {
    const statuses = client.downloads().map((download) => download.status());
    return {
      data: { downloads: statuses.map(downloadData) },
      text:
        statuses.length > 0
          ? downloadLines(statuses)
          : 'No downloads yet. Start one: download_file <group_id> <file_name> <destination_path>',
    };
  }),
  entry('show_uploads', [], 'show what this client has given', async ({ client }) => {
    const { sentBytes, peers } = client.uploads();
    return {
      data: { sentBytes, peers },
      text: `${formatSize(sentBytes)} sent since the start; ${count(peers, 'peer')} connected for files of yours.`,
    };
  }),
  downloadEntry('pause_download', 'stop a download for now', 'Paused', (client, ...names) =>
    client.pauseDownload(...names),
  ),
  downloadEntry('resume_download', 'go on with a paused or failed download', 'Going on with', (client, ...names) =>
    client.resumeDownload(...names),
  ),
  downloadEntry(
    'cancel_download',
    'give a download up and remove what has come of it',
    'Cancelled',
    (client, ...names) => client.cancelDownload(...names),
  ),
  entry('help', [COMMAND], 'list the commands, or explain one', async (_context, [name]) => {
    const shown = name === undefined ? COMMANDS : [findCommand(COMMANDS, name)];
    return {
      data: { commands: shown.map((command) => ({ name: command.name, usage: usageOf(command), help: command.help })) },
      text: table(shown.map((command) => [usageOf(command), command.help])),
    };
  }),
  entry('quit', [], 'stop serving and end', async () => ({ data: {}, text: '', ends: true })),
];
