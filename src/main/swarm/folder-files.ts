/**
 * PURE. What a tracker's listing says of a folder, checked before anything is made of it: names from others are data. Each
 * must lie in the folder, be a name that a directory may hold, and not be a file and a folder at once; so none leads
 * outside the destination.
 */
import { ProtocolViolation, RequestError } from '../../protocol/errors.ts';
import type { FileRecord } from '../../protocol/messages.ts';
import { foldersOf, isFolderName, printable, shareNameRefusal } from '../../protocol/names.ts';
import { PieceTree } from '../../protocol/piece-tree.ts';

export interface FolderContents {
  readonly files: readonly FileRecord[];
  /** Relative names, parents before what they hold; empty folders too. */
  readonly folders: readonly string[];
}

/** Throws RequestError('bad-name') for a listing that can't be right. */
export function checkFolder(folder: string, listing: readonly FileRecord[]): FolderContents {
  const names = new Set<string>();
  const folders = new Set<string>();
  const files: FileRecord[] = [];
  for (const record of listing) {
    const refusal = refusalOf(folder, record) ?? (names.has(record.name) ? 'it is there twice' : undefined);
    if (refusal) throw distrusted(record.name, refusal);
    names.add(record.name);
    const relative = relativeName(folder, record.name);
    for (const one of foldersOf(relative)) folders.add(one);
    if (!isFolderName(record.name)) files.push(record);
  }
  for (const { name } of files) {
    if (folders.has(relativeName(folder, name))) throw distrusted(name, 'it is a file and a folder at once');
  }
  return { files, folders: [...folders].sort() };
}

/** The name of a file of the folder, seen from the folder; '' for the folder itself. */
export function relativeName(folder: string, name: string): string {
  return name.slice(folder.length + 1);
}

/**
 * In which turn each file may be fetched. While `a` is fetched it is called `a.part`: where that is a file of the folder
 * too, it has to wait.
 */
export function turnsOf(files: readonly FileRecord[]): (file: FileRecord) => number {
  const names = new Set(files.map(({ name }) => name));
  const turn = (name: string): number => {
    const stem = name.endsWith('.part') ? name.slice(0, -'.part'.length) : undefined;
    return stem !== undefined && names.has(stem) ? turn(stem) + 1 : 0;
  };
  return ({ name }) => turn(name);
}

function refusalOf(folder: string, { name, sizeBytes, pieceSizeBytes }: FileRecord): string | undefined {
  if (!name.startsWith(`${folder}/`)) return 'it is not in the folder';
  try {
    new PieceTree(sizeBytes, pieceSizeBytes);
  } catch (error) {
    if (!(error instanceof ProtocolViolation)) throw error;
    return error.message;
  }
  return shareNameRefusal(name, sizeBytes);
}

function distrusted(name: string, why: string): RequestError {
  return new RequestError('bad-name', `the tracker names a file "${printable(name)}": ${why}`, 'do not trust it');
}
