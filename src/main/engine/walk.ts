/**
 * What lies in a directory, for sharing it: its files and the folders that hold nothing, by names relative to it. Symbolic
 * links are not followed, and whatever can't be shared is named with the reason. Reads no file's content.
 */
import type { Dirent } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { diskError } from './pool.ts';

/** Looks at files under way at once: enough to keep the system busy. */
const LOOKS_MAX = 64;

export interface FoundFile {
  readonly path: string;
  /** Relative, its segments joined by `/`. */
  readonly name: string;
  readonly sizeBytes: number;
}

export interface Skipped {
  readonly path: string;
  readonly reason: string;
}

export interface Tree {
  readonly files: FoundFile[];
  /** Relative names of folders that hold nothing that is shared; '' where that is the directory itself. */
  readonly emptyFolders: string[];
  readonly skipped: Skipped[];
}

/** `refusal` tells why a relative name can't be shared. Throws RequestError when the directory itself can't be read. */
export async function walkTree(directory: string, refusal: (name: string) => string | undefined): Promise<Tree> {
  const tree: Tree = { files: [], emptyFolders: [], skipped: [] };
  const open = [''];
  for (let folder = open.pop(); folder !== undefined; folder = open.pop()) {
    const path = join(directory, folder);
    let entries: Dirent[];
    try {
      entries = await readdir(path, { withFileTypes: true });
    } catch (error) {
      const told = diskError(error, path);
      if (folder === '') throw told;
      tree.skipped.push({ path, reason: told.message });
      continue;
    }
    const names = new Names(tree, path, folder, refusal);
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) names.take(entry);
    await names.look();
    open.push(...names.folders.reverse());
    if (names.folders.length === 0 && names.fileCount === 0) tree.emptyFolders.push(folder);
  }
  return tree;
}

/** The entries of one folder, sorted out. */
class Names {
  readonly folders: string[] = [];
  fileCount = 0;
  readonly #tree: Tree;
  readonly #path: string;
  readonly #folder: string;
  readonly #refusal: (name: string) => string | undefined;
  readonly #files: { readonly path: string; readonly name: string }[] = [];

  constructor(tree: Tree, path: string, folder: string, refusal: (name: string) => string | undefined) {
    this.#tree = tree;
    this.#path = path;
    this.#folder = folder;
    this.#refusal = refusal;
  }

  take(entry: Dirent): void {
    const path = join(this.#path, entry.name);
    const name = this.#folder === '' ? entry.name : `${this.#folder}/${entry.name}`;
    const refusal = this.#refusal(name);
    if (entry.isSymbolicLink()) this.#skip(path, 'symbolic links are not followed');
    else if (!entry.isDirectory() && !entry.isFile()) this.#skip(path, 'it is no regular file');
    else if (refusal) this.#skip(path, `it can't be shared under its name: ${refusal}`);
    else if (entry.isDirectory()) this.folders.push(name);
    else this.#files.push({ path, name });
  }

  /** How large the files are. */
  async look(): Promise<void> {
    for (let at = 0; at < this.#files.length; at += LOOKS_MAX) {
      const looks = this.#files.slice(at, at + LOOKS_MAX).map(async (file) => {
        try {
          return { ...file, sizeBytes: (await lstat(file.path)).size };
        } catch (error) {
          this.#skip(file.path, diskError(error, file.path).message);
          return undefined;
        }
      });
      for (const file of await Promise.all(looks)) {
        if (!file) continue;
        this.#tree.files.push(file);
        this.fileCount += 1;
      }
    }
  }

  #skip(path: string, reason: string): void {
    this.#tree.skipped.push({ path, reason });
  }
}
