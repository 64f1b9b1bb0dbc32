/**
 * How the client's notices read: one sentence each, with the command that answers it where there is one. Pure; names
 * are made printable, and quoted where they stand in a command.
 */
import { printable } from '../../protocol/names.ts';
import type { Notice } from '../client/types.ts';
import { downloadEndText } from './download-text.ts';
import { count, formatSize } from './format.ts';
import { quoteWord } from './words.ts';

/** A name as it has to be typed in a command. */
export const typed = (name: string) => quoteWord(printable(name));

export function noticeText(notice: Notice): string {
  switch (notice.type) {
    case 'tracker-connected':
      return notice.firstContact
        ? `First contact with the tracker at ${notice.address}. Its pin is\n  ${notice.pin}\nIt is stored, and must match from now on. Compare it with what the tracker's owner sees.`
        : `Connected to the tracker at ${notice.address}.`;
    case 'tracker-lost':
      return `No tracker at ${notice.address}: ${printable(notice.reason)}.\n  ${notice.hint ? `hint: ${printable(notice.hint)}` : 'Trying again until it is back.'}`;
    case 'session-ended':
      return `You are logged out: ${printable(notice.reason)}.\n  hint: log in again: login <user_id> <passwd>`;
    case 'join-requested':
      return `${printable(notice.user)} asks to join ${printable(notice.group)}. Let them in: accept_request ${typed(notice.group)} ${typed(notice.user)}`;
    case 'join-accepted':
      return `You are a member of ${printable(notice.group)} now. See what it shares: list_files ${typed(notice.group)}`;
    case 'join-rejected':
      return `Your request to join ${printable(notice.group)} was turned down.`;
    case 'group-inherited':
      return `You own ${printable(notice.group)} now.`;
    case 'member-gone':
      return `${printable(notice.user)} is no longer a member of ${printable(notice.group)}.`;
    case 'folder-shared':
      return `${printable(notice.user)} shared ${printable(notice.name)}/ (${count(notice.fileCount, 'file')}, ${formatSize(notice.sizeBytes)}) in ${printable(notice.group)}. Get it: download_file ${typed(notice.group)} ${typed(notice.name)} .`;
    case 'file-shared': {
      const what = `${printable(notice.name)} (${formatSize(notice.sizeBytes)})`;
      const shared = notice.isNewVersion ? `shared a new version of ${what}` : `shared ${what}`;
      return `${printable(notice.user)} ${shared} in ${printable(notice.group)}. Get it: download_file ${typed(notice.group)} ${typed(notice.name)} .`;
    }
    case 'share-broken':
      return `${printable(notice.path)} is no longer served: ${printable(notice.reason)}.`;
    case 'download-ended':
      return downloadEndText(notice.status);
    default:
      return notice satisfies never;
  }
}
