/**
 * A folder on disk that a download fills: made new, its sub-folders made one by one, never through a symbolic link that
 * somebody put in the way. What is removed again is only what the download made.
 */
import { lstat, mkdir, open, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { RequestError } from '../../protocol/errors.ts';
import { foldersOf } from '../../protocol/names.ts';
import { type FileStamp, statOf } from './engine.ts';
import { diskError } from './pool.ts';

/** Throws RequestError('destination-exists') when there is anything of that name. */
export async function makeFolder(path: string): Promise<void> {
  await mkdir(path).catch((error) => Promise.reject(diskError(error, path)));
}

/** Makes sure of a folder below an existing one, and of those between. Throws RequestError when something else is there. */
export async function ensureFolder(root: string, relative: string): Promise<void> {
  for (const folder of ['', ...foldersOf(`${relative}/`)]) {
    const path = join(root, folder);
    try {
      await mkdir(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw diskError(error, path);
      const found = await lstat(path).catch((lookError) => Promise.reject(diskError(lookError, path)));
      if (!found.isDirectory()) {
        throw new RequestError('destination-exists', `${path} is in the way: it is no directory`, 'move it away');
      }
    }
  }
}

/** Removes a file that a download made, unless its owner has changed it since. */
export async function removeUnchanged(path: string, stamp: FileStamp): Promise<void> {
  const found = await statOf(path);
  if (found?.size !== stamp.sizeBytes || found.mtimeMs !== stamp.mtimeMs) return;
  await unlink(path).catch((error) => Promise.reject(diskError(error, path)));
}

/** Removes folders, parents given before what they hold, as far as they are empty. */
export async function removeEmptyFolders(root: string, folders: readonly string[]): Promise<void> {
  for (const folder of [...folders].reverse()) await rmdir(join(root, folder)).catch(() => {});
  await rmdir(root).catch(() => {});
}

/** Returns when the file survives a power loss; one that is gone needs not. */
export async function syncFile(path: string): Promise<void> {
  try {
    const file = await open(path, 'r');
    await file.datasync().finally(() => file.close());
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw diskError(error, path);
  }
}
