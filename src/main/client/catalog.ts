/**
 * The catalog: what a client remembers from one start to the next (SQLite): the session, the pins of trackers, what it
 * shares and from where, and the downloads under way. A change is durable when the call returns.
 */
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { FileId, GroupId, Root, TrackerId } from '../../protocol/ids.ts';
import type { DownloadStore, StoredDownload } from '../swarm/download-manager.ts';
import type { FolderStore } from '../swarm/folder-manager.ts';
import { FOLDER_SCHEMA, folderStore } from './folder-store.ts';

/** A file that we serve to a group. */
export interface Share {
  readonly group: GroupId;
  readonly file: FileId;
  readonly groupName: string;
  readonly name: string;
  readonly path: string;
  readonly sizeBytes: number;
  readonly pieceSizeBytes: number;
  readonly root: Root;
  /** The file's modification time when its content was known to be right. */
  readonly mtimeMs: number;
}

export interface StoredSession {
  readonly userName: string;
  /** The session token as CBOR bytes. */
  readonly token: Uint8Array;
}

/** Files looked into for pieces that need not be fetched. */
const SIMILAR_MAX = 256;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS session (
    only INTEGER PRIMARY KEY CHECK (only = 1), userName TEXT NOT NULL, token BLOB NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS pins (address TEXT PRIMARY KEY, pin TEXT NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS shares (
    "group" TEXT NOT NULL, file TEXT NOT NULL, groupName TEXT NOT NULL, name TEXT NOT NULL, path TEXT NOT NULL,
    sizeBytes INTEGER NOT NULL, pieceSizeBytes INTEGER NOT NULL, root TEXT NOT NULL, mtimeMs REAL NOT NULL,
    PRIMARY KEY ("group", file)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS sharesByRoot ON shares (root);
  CREATE TABLE IF NOT EXISTS downloads (
    id INTEGER PRIMARY KEY AUTOINCREMENT, "group" TEXT NOT NULL, groupName TEXT NOT NULL, file TEXT NOT NULL,
    name TEXT NOT NULL, sizeBytes INTEGER NOT NULL, pieceSizeBytes INTEGER NOT NULL, root TEXT NOT NULL,
    destination TEXT NOT NULL, state TEXT NOT NULL, have BLOB
  ) STRICT;
`;

interface DownloadRow {
  readonly id: number;
  readonly group: GroupId;
  readonly groupName: string;
  readonly file: FileId;
  readonly name: string;
  readonly sizeBytes: number;
  readonly pieceSizeBytes: number;
  readonly root: Root;
  readonly destination: string;
  readonly state: StoredDownload['state'];
  readonly have: Uint8Array | null;
}

export class Catalog {
  readonly #database: Database.Database;
  readonly downloads: DownloadStore;
  readonly folders: FolderStore;

  constructor(directory: string) {
    this.#database = new Database(join(directory, 'catalog.sqlite'));
    this.#database.pragma('journal_mode = WAL');
    this.#database.pragma('synchronous = FULL');
    this.#database.exec(SCHEMA);
    this.#database.exec(FOLDER_SCHEMA);
    this.downloads = downloadStore(this.#database);
    this.folders = folderStore(this.#database);
  }

  get session(): StoredSession | undefined {
    return this.#database.prepare<[], StoredSession>('SELECT userName, token FROM session').get();
  }

  set session(session: StoredSession | undefined) {
    if (session) this.#database.prepare('INSERT OR REPLACE INTO session VALUES (1, @userName, @token)').run(session);
    else this.#database.prepare('DELETE FROM session').run();
  }

  pin(address: string): TrackerId | undefined {
    return this.#database.prepare<[string], { pin: TrackerId }>('SELECT pin FROM pins WHERE address = ?').get(address)
      ?.pin;
  }

  setPin(address: string, pin: TrackerId): void {
    this.#database.prepare('INSERT OR REPLACE INTO pins VALUES (?, ?)').run(address, pin);
  }

  /** All of them in one transaction. */
  addShares(shares: readonly Share[]): void {
    const insert = this.#database.prepare(
      `INSERT OR REPLACE INTO shares VALUES
       (@group, @file, @groupName, @name, @path, @sizeBytes, @pieceSizeBytes, @root, @mtimeMs)`,
    );
    this.#database.transaction(() => {
      for (const share of shares) insert.run(share);
    })();
  }

  share(group: GroupId, file: FileId): Share | undefined {
    return this.#database
      .prepare<[string, string], Share>('SELECT * FROM shares WHERE "group" = ? AND file = ?')
      .get(group, file);
  }

  /** Every share of this name, in every group of this name that there ever was. */
  sharesNamed(groupName: string, name: string): readonly Share[] {
    return this.#database
      .prepare<[string, string], Share>('SELECT * FROM shares WHERE groupName = ? AND name = ? ORDER BY rowid DESC')
      .all(groupName, name);
  }

  /** Files that may hold pieces of another: of the same piece size, those of the same name first, then the newest. */
  similar(name: string, pieceSizeBytes: number, root: Root, isSinglePiece: boolean): readonly Share[] {
    const matches = isSinglePiece ? 'root = @root' : 'pieceSizeBytes = @pieceSizeBytes AND sizeBytes > @pieceSizeBytes';
    return this.#database
      .prepare<[object], Share>(
        `SELECT * FROM shares WHERE ${matches} GROUP BY path, root ORDER BY name = @name DESC, rowid DESC LIMIT ${SIMILAR_MAX}`,
      )
      .all({ name, pieceSizeBytes, root });
  }

  shares(): readonly Share[] {
    return this.#database.prepare<[], Share>('SELECT * FROM shares ORDER BY groupName, name').all();
  }

  removeShare(group: GroupId, file: FileId): void {
    this.#database.prepare('DELETE FROM shares WHERE "group" = ? AND file = ?').run(group, file);
  }

  /** All of them in one transaction. */
  removeShares(group: GroupId, files: readonly FileId[]): void {
    this.#database.transaction(() => {
      for (const file of files) this.removeShare(group, file);
    })();
  }

  removeGroup(group: GroupId): void {
    this.#database.prepare('DELETE FROM shares WHERE "group" = ?').run(group);
  }

  close(): void {
    this.#database.close();
  }
}

function downloadStore(database: Database.Database): DownloadStore {
  const insert = database.prepare(
    `INSERT INTO downloads ("group", groupName, file, name, sizeBytes, pieceSizeBytes, root, destination, state)
     VALUES (@group, @groupName, @file, @name, @sizeBytes, @pieceSizeBytes, @root, @destination, 'running')`,
  );
  const update = database.prepare('UPDATE downloads SET state = ?, have = ? WHERE id = ?');
  const remove = database.prepare('DELETE FROM downloads WHERE id = ?');
  const all = database.prepare<[], DownloadRow>('SELECT * FROM downloads ORDER BY id');
  return {
    add: ({ group, groupName, file, destination }) =>
      Number(insert.run({ ...file, group, groupName, destination }).lastInsertRowid),
    update: (id, state, have) => {
      update.run(state, have ?? null, id);
    },
    remove: (id) => {
      remove.run(id);
    },
    all: () =>
      all.all().map(({ id, group, groupName, destination, state, have, ...file }) => ({
        id,
        group,
        groupName,
        destination,
        state,
        have: have ?? undefined,
        file,
      })),
  };
}
