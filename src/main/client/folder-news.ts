/**
 * Somebody shares a folder, and the tracker tells of each file: gathers that, so that a person hears of it once. Told is
 * one folder at a time, when nothing of it has come for a while.
 */
import type { Clock } from '../support/clock.ts';
import type { Notice } from './types.ts';

const QUIET_MS = 1_000;

type FileShared = Extract<Notice, { type: 'file-shared' }>;
type FolderShared = Extract<Notice, { type: 'folder-shared' }>;

interface Gathered {
  news: FolderShared;
  stop: () => void;
}

export class FolderNews {
  readonly #clock: Pick<Clock, 'after'>;
  readonly #tell: (news: FolderShared) => void;
  readonly #gathered = new Map<string, Gathered>();

  constructor(clock: Pick<Clock, 'after'>, tell: (news: FolderShared) => void) {
    this.#clock = clock;
    this.#tell = tell;
  }

  /** Takes a file that lies in a folder; false: it lies in none. */
  take({ group, user, name, sizeBytes }: FileShared): boolean {
    const end = name.indexOf('/');
    if (end === -1) return false;
    const folder = name.slice(0, end);
    const key = JSON.stringify([group, user, folder]);
    const known = this.#gathered.get(key);
    known?.stop();
    const files = name.endsWith('/') ? 0 : 1;
    const news: FolderShared = {
      type: 'folder-shared',
      group,
      user,
      name: folder,
      fileCount: (known?.news.fileCount ?? 0) + files,
      sizeBytes: (known?.news.sizeBytes ?? 0) + sizeBytes,
    };
    const stop = this.#clock.after(QUIET_MS, () => {
      this.#gathered.delete(key);
      this.#tell(news);
    });
    this.#gathered.set(key, { news, stop });
    return true;
  }

  close(): void {
    for (const { stop } of this.#gathered.values()) stop();
    this.#gathered.clear();
  }
}
