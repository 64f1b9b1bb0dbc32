/**
 * PURE. The folders of a group, as the names of its files make them: `a/b/c` makes `a` and `a/b`. Files and folders share
 * one namespace, and whether a name clashes with it takes one look for each of its segments.
 */
import { foldersOf, isFolderName } from '../../protocol/names.ts';

/** What stands where a name, or one of its folders, would: a file or a folder of this name. */
export interface Clash {
  readonly name: string;
  readonly is: 'file' | 'folder';
}

export class Folders {
  /** How many names lie in each folder, at any depth. */
  readonly #counts = new Map<string, number>();

  has(folder: string): boolean {
    return this.#counts.has(folder);
  }

  add(name: string): void {
    for (const folder of foldersOf(name)) this.#counts.set(folder, (this.#counts.get(folder) ?? 0) + 1);
  }

  delete(name: string): void {
    for (const folder of foldersOf(name)) {
      const count = (this.#counts.get(folder) ?? 0) - 1;
      if (count > 0) this.#counts.set(folder, count);
      else this.#counts.delete(folder);
    }
  }

  /** Why a new name can't stand beside the files there are: one of its folders is a file, or it is a folder itself. */
  clash(name: string, isFile: (name: string) => boolean): Clash | undefined {
    for (const folder of foldersOf(name)) if (isFile(folder)) return { name: folder, is: 'file' };
    return !isFolderName(name) && this.has(name) ? { name, is: 'folder' } : undefined;
  }
}
