/** What a client offers to the shell and to programs; client.ts of this room is the implementation. */
import { MIB } from '../../protocol/limits.ts';
import type { FileListing, GroupListing } from '../../protocol/messages.ts';
import type { DownloadStatus } from '../swarm/status.ts';

/** How many trackers hold a change when it is answered. */
export interface Acknowledged {
  readonly trackers: number;
}

export interface ShareProgress {
  readonly path: string;
  readonly doneBytes: number;
  readonly sizeBytes: number;
}

export interface SharedFile {
  readonly name: string;
  readonly group: string;
  readonly sizeBytes: number;
  readonly pieceCount: number;
  readonly root: string;
  /** False when the group had this very file already: we are one more seeder of it. */
  readonly created: boolean;
  readonly elapsedMs: number;
}

/** What this client has given since it started. */
export interface UploadStatus {
  readonly sentBytes: number;
  readonly peers: number;
}

export interface FileCheck {
  readonly path: string;
  readonly pieceCount: number;
  readonly badPieces: number;
  /** The download that mends it, where it was asked for and is needed. */
  readonly repair: Download | undefined;
}

/** A directory whose tree was shared, each file under `<name>/...`. */
export interface SharedFolder {
  readonly name: string;
  readonly group: string;
  readonly sizeBytes: number;
  readonly pieceCount: number;
  readonly fileCount: number;
  readonly emptyFolderCount: number;
  /** How many of the files and empty folders the group did not have before. */
  readonly createdCount: number;
  /** What could not be shared, and why. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
  readonly elapsedMs: number;
}

/** One download of one file: polled, awaited or listened to. */
export interface Download {
  status(): DownloadStatus;
  /** Resolves when the file stands under its name; rejects with a RequestError when it failed or was cancelled. */
  readonly done: Promise<DownloadStatus>;
  /** Calls back after each change worth showing (at most some tens a second); returns how to stop listening. */
  onProgress(listener: (status: DownloadStatus) => void): () => void;
}

/** What a client tells without being asked. */
export type Notice =
  /** firstContact: the pin was stored just now and must match from then on. */
  | {
      readonly type: 'tracker-connected';
      readonly address: string;
      readonly pin: string;
      readonly firstContact: boolean;
    }
  /** The client keeps trying; a refusal that trying can't mend (a pin that does not match) comes as error. */
  | { readonly type: 'tracker-lost'; readonly address: string; readonly reason: string; readonly hint?: string }
  | { readonly type: 'session-ended'; readonly reason: string }
  | { readonly type: 'join-requested'; readonly group: string; readonly user: string }
  | { readonly type: 'join-accepted'; readonly group: string }
  | { readonly type: 'join-rejected'; readonly group: string }
  | { readonly type: 'group-inherited'; readonly group: string }
  | { readonly type: 'member-gone'; readonly group: string; readonly user: string }
  | {
      readonly type: 'file-shared';
      readonly group: string;
      readonly user: string;
      readonly name: string;
      readonly sizeBytes: number;
      /** It takes the place of an older version under this name. */
      readonly isNewVersion: boolean;
    }
  /** Files that came into a folder one after the other, told together. */
  | {
      readonly type: 'folder-shared';
      readonly group: string;
      readonly user: string;
      readonly name: string;
      readonly fileCount: number;
      readonly sizeBytes: number;
    }
  | { readonly type: 'share-broken'; readonly path: string; readonly reason: string }
  | { readonly type: 'download-ended'; readonly status: DownloadStatus };

/** Every method rejects with a RequestError that says why and what to do next. */
export interface ClientApi {
  /** The user who is logged in on this client, also after a restart. */
  readonly userName: string | undefined;
  createUser(user: string, password: string): Promise<Acknowledged>;
  login(user: string, password: string): Promise<Acknowledged>;
  logout(): Promise<Acknowledged>;
  createGroup(group: string): Promise<Acknowledged>;
  /** Asks the owner to be let in. */
  joinGroup(group: string): Promise<Acknowledged & { readonly owner: string }>;
  leaveGroup(
    group: string,
  ): Promise<Acknowledged & { readonly newOwner: string | undefined; readonly dissolved: boolean }>;
  listRequests(group: string): Promise<readonly string[]>;
  acceptRequest(group: string, user: string): Promise<Acknowledged>;
  rejectRequest(group: string, user: string): Promise<Acknowledged>;
  removeMember(group: string, user: string): Promise<Acknowledged>;
  listMembers(group: string): Promise<readonly string[]>;
  listGroups(): Promise<readonly GroupListing[]>;
  /** All files of a group; or those in one of its folders, at any depth. */
  listFiles(group: string, folder?: string): Promise<readonly FileListing[]>;
  /** Of a directory, shares the whole tree. */
  uploadFile(
    path: string,
    group: string,
    options?: { readonly replace?: boolean; readonly onProgress?: (progress: ShareProgress) => void },
  ): Promise<SharedFile | SharedFolder>;
  /** Reads a shared file again; with `repair`, has wrong pieces fetched from the group. */
  checkFile(
    group: string,
    name: string,
    options?: { readonly repair?: boolean; readonly onProgress?: (progress: ShareProgress) => void },
  ): Promise<FileCheck>;
  /** Resolves as soon as the download runs (or waits for peers). */
  downloadFile(group: string, name: string, destination: string): Promise<Download>;
  /** Pausing, taking up again and giving up: all downloads of that file, whatever their destination. */
  pauseDownload(group: string, name: string): Promise<readonly Download[]>;
  resumeDownload(group: string, name: string): Promise<readonly Download[]>;
  cancelDownload(group: string, name: string): Promise<readonly Download[]>;
  downloads(): readonly Download[];
  uploads(): UploadStatus;
  onNotice(listener: (notice: Notice) => void): () => void;
  /** Stops downloads (they can be taken up later) and serving, tells the tracker, closes everything. */
  close(): Promise<void>;
}

export interface ClientOptions {
  /** Where peers reach us, and where we listen. */
  readonly address: { readonly host: string; readonly port: number };
  readonly trackerInfoPath: string;
  readonly dataDir: string;
  /** Threads that hash, verify and write, at most; they start when there is work for them. Default: one a core, 1 to 8. */
  readonly workers?: number;
  /** Bytes of all slots together. Default: 32 MiB. */
  readonly memoryBytes?: number;
  /** Requests in flight per peer. Default: adaptive. */
  readonly pipeline?: number;
  /** Connections of one download. Default: 50. */
  readonly peersMax?: number;
  /** Bytes a second of all uploads, of all downloads together. Default: no limit. */
  readonly uploadLimit?: number;
  readonly downloadLimit?: number;
  /** Of the files that this client shares; a power of two, 16 KiB to 16 MiB. Default: 512 KiB. */
  readonly pieceSizeBytes?: number;
  /** Accept the key that a tracker shows now in place of the one stored before. Default: false. */
  readonly acceptNewPin?: boolean;
}

export const MEMORY_BYTES_DEFAULT = 32 * MIB;
export const PEERS_MAX_DEFAULT = 50;
/** One thread hashes faster than any disk or network here delivers eight times over; more only take memory. */
const WORKERS_DEFAULT_MAX = 8;

/** While a file is hashed the main thread has nothing to do: its core counts too. */
export function defaultWorkers(parallelism: number): number {
  return Math.min(Math.max(parallelism, 1), WORKERS_DEFAULT_MAX);
}
