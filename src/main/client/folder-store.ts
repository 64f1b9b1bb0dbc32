/** The catalog's tables of folder downloads: the orders, and a row for each of their files. */
import type { Database } from 'better-sqlite3';
import type { FileId, GroupId, Root } from '../../protocol/ids.ts';
import type { FolderState, FolderStore } from '../swarm/folder-manager.ts';
import type { FolderFile, FolderOrder } from '../swarm/folder-task.ts';

export const FOLDER_SCHEMA = `
  CREATE TABLE IF NOT EXISTS folders (
    id INTEGER PRIMARY KEY, "group" TEXT NOT NULL, groupName TEXT NOT NULL, name TEXT NOT NULL,
    destination TEXT NOT NULL, state TEXT NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS folder_files (
    folder INTEGER NOT NULL REFERENCES folders (id), file TEXT NOT NULL, name TEXT NOT NULL, sizeBytes INTEGER NOT NULL,
    pieceSizeBytes INTEGER NOT NULL, root TEXT NOT NULL, state TEXT NOT NULL, have BLOB,
    PRIMARY KEY (folder, file)
  ) STRICT, WITHOUT ROWID;
`;

interface FileRow {
  readonly file: FileId;
  readonly name: string;
  readonly sizeBytes: number;
  readonly pieceSizeBytes: number;
  readonly root: Root;
  readonly state: FolderFile['state'];
  readonly have: Uint8Array | null;
}

interface OrderRow extends FolderOrder {
  readonly group: GroupId;
  readonly state: FolderState;
}

export function folderStore(database: Database): FolderStore {
  // Downloads of files and of folders are numbered together: the number is taken where files have theirs, and given back.
  const number = database.prepare(
    `INSERT INTO downloads ("group", groupName, file, name, sizeBytes, pieceSizeBytes, root, destination, state)
     VALUES ('', '', '', '', 0, 0, '', '', 'paused')`,
  );
  const unnumber = database.prepare('DELETE FROM downloads WHERE id = ?');
  const insert = database.prepare(
    `INSERT INTO folders VALUES (@id, @group, @groupName, @name, @destination, 'running')`,
  );
  const insertFile = database.prepare(
    `INSERT INTO folder_files VALUES (@folder, @file, @name, @sizeBytes, @pieceSizeBytes, @root, 'open', NULL)`,
  );
  const update = database.prepare('UPDATE folders SET state = ? WHERE id = ?');
  const updateFile = database.prepare('UPDATE folder_files SET state = ?, have = ? WHERE folder = ? AND file = ?');
  const removeFiles = database.prepare('DELETE FROM folder_files WHERE folder = ?');
  const remove = database.prepare('DELETE FROM folders WHERE id = ?');
  const orders = database.prepare<[], OrderRow>('SELECT * FROM folders ORDER BY id');
  const order = database.prepare<[number], OrderRow>('SELECT * FROM folders WHERE id = ?');
  const files = database.prepare<[number], FileRow>(
    'SELECT file, name, sizeBytes, pieceSizeBytes, root, state, have FROM folder_files WHERE folder = ? ORDER BY name',
  );
  return {
    add: database.transaction((folder: Omit<FolderOrder, 'id'>, records) => {
      const id = Number(number.run().lastInsertRowid);
      unnumber.run(id);
      insert.run({ ...folder, id });
      for (const { file, name, sizeBytes, pieceSizeBytes, root } of records) {
        insertFile.run({ folder: id, file, name, sizeBytes, pieceSizeBytes, root });
      }
      return id;
    }),
    update: (id, state) => {
      update.run(state, id);
    },
    note: database.transaction((id: number, changed: readonly FolderFile[]) => {
      for (const { file, state, have } of changed) updateFile.run(state, have ?? null, id, file.file);
    }),
    remove: database.transaction((id: number) => {
      removeFiles.run(id);
      remove.run(id);
    }),
    get: (id) => {
      const found = order.get(id);
      if (!found) return undefined;
      const rows = files.all(id).map(({ state, have, ...file }) => ({ file, state, have: have ?? undefined }));
      return { ...found, files: rows };
    },
    orders: () => orders.all(),
  };
}
