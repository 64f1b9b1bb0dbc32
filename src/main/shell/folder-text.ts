/**
 * How folders read: what a group shares, each folder one line of it, and what came of sharing one. Pure; names are made
 * printable here.
 */
import type { FileListing } from '../../protocol/messages.ts';
import { isFolderName, printable } from '../../protocol/names.ts';
import type { SharedFolder } from '../client/types.ts';
import type { Outcome } from './command.ts';
import { count, formatDuration, formatSize, table } from './format.ts';
import { typed } from './notice-text.ts';

/** As many are named to people; programs get all. */
const SKIPPED_SHOWN_MAX = 20;

export function folderShared(path: string, shared: SharedFolder): Outcome {
  const { name, group, sizeBytes, fileCount, emptyFolderCount, createdCount, skipped, elapsedMs } = shared;
  const what = [count(fileCount, 'file'), ...(emptyFolderCount > 0 ? [count(emptyFolderCount, 'empty folder')] : [])];
  const known = fileCount + emptyFolderCount - createdCount;
  const had = known > 0 ? ` The group had ${known} of them already; you serve them too now.` : '';
  const lines = [
    `Shared ${printable(name)}/ in ${printable(group)}: ${what.join(', ')}, ${formatSize(sizeBytes)} in ${formatDuration(elapsedMs)}.${had}`,
    ...(skipped.length > 0 ? [`${skipped.length} could not be shared:`] : []),
    ...skipped.slice(0, SKIPPED_SHOWN_MAX).map((one) => `  ${printable(one.path)}: ${printable(one.reason)}`),
    ...(skipped.length > SKIPPED_SHOWN_MAX ? [`  and ${skipped.length - SKIPPED_SHOWN_MAX} more`] : []),
  ];
  return {
    data: { path, ...shared, skipped: skipped.map((one) => ({ path: one.path, reason: one.reason })) },
    text: lines.join('\n'),
  };
}

interface FoldedFolder {
  readonly name: string;
  fileCount: number;
  sizeBytes: number;
}

/** The files that lie right in a folder (or in none), and a line for each folder beside them. */
export function filesListed(group: string, folder: string | undefined, listing: readonly FileListing[]): Outcome {
  const prefix = folder === undefined ? '' : `${isFolderName(folder) ? folder.slice(0, -1) : folder}/`;
  const folders = new Map<string, FoldedFolder>();
  const files: FileListing[] = [];
  for (const file of listing) {
    const end = file.name.indexOf('/', prefix.length);
    if (end === -1) {
      if (file.name !== prefix) files.push(file);
      continue;
    }
    const name = file.name.slice(0, end + 1);
    const folded = folders.get(name) ?? { name, fileCount: 0, sizeBytes: 0 };
    if (!isFolderName(file.name)) folded.fileCount += 1;
    folded.sizeBytes += file.sizeBytes;
    folders.set(name, folded);
  }
  const folderRows = [...folders.values()].map((one) => [
    printable(one.name),
    formatSize(one.sizeBytes),
    count(one.fileCount, 'file'),
    '',
  ]);
  const fileRows = files.map(({ name, sizeBytes, sharedBy, seedersOnline }) => [
    printable(name),
    formatSize(sizeBytes),
    printable(sharedBy),
    String(seedersOnline),
  ]);
  const rows = [...folderRows, ...fileRows];
  const none =
    folder === undefined
      ? `No files in ${printable(group)} yet. Share one: upload_file <file_path> ${typed(group)}`
      : `Nothing in ${printable(prefix)} of ${printable(group)}. See what there is: list_files ${typed(group)}`;
  return {
    data: {
      group,
      ...(folder === undefined ? {} : { folder: prefix }),
      folders: [...folders.values()].map(({ name, fileCount, sizeBytes }) => ({ name, fileCount, sizeBytes })),
      files: files.map(({ name, sizeBytes, pieceSizeBytes, root, sharedBy, seedersOnline }) => ({
        name,
        sizeBytes,
        pieceSizeBytes,
        root,
        sharedBy,
        seedersOnline,
      })),
    },
    text: rows.length > 0 ? table([['FILE', 'SIZE', 'SHARED BY', 'SEEDERS ONLINE'], ...rows], new Set([1, 3])) : none,
  };
}
