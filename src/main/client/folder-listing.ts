/** What a group shares, seen folder by folder, by the pages that a tracker gives of it in the order of names. */
import { RequestError } from '../../protocol/errors.ts';
import type { FileListing, Params, Result } from '../../protocol/messages.ts';
import { isFolderName } from '../../protocol/names.ts';

export type AskPage = (params: Params<'list_files'>) => Promise<Result<'list_files'>>;

/** All files in a folder, at any depth, and its empty folders. Names in one folder follow each other. */
export async function listFolder(ask: AskPage, group: string, folder: string): Promise<readonly FileListing[]> {
  const inside = `${folder}/`;
  const items: FileListing[] = [];
  for (let after: string | undefined = folder; after !== undefined; ) {
    const page: Result<'list_files'> = await ask({ group, after });
    items.push(...page.items.filter(({ name }) => name.startsWith(inside)));
    // Between `a` and `a/` lie names such as `a b` and `a-b`.
    const last = page.items.at(-1)?.name ?? '';
    const isPast = last > inside && !last.startsWith(inside);
    after = isPast ? undefined : page.next;
  }
  return items;
}

/** A name as people type it, without the slash that marks a folder. */
export function folderName(typed: string): string {
  return isFolderName(typed) ? typed.slice(0, -1) : typed;
}

export function isNoSuchFile(error: unknown): error is RequestError {
  return error instanceof RequestError && error.code === 'no-such-file';
}
