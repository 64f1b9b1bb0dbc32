/** How folders read: what came of sharing one. Pure; names are made printable here. */
import { printable } from '../../protocol/names.ts';
import type { SharedFolder } from '../client/types.ts';
import type { Outcome } from './command.ts';
import { count, formatDuration, formatSize } from './format.ts';

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
