/**
 * The jobs of the worker pool: what the main thread asks, and what comes back. All are stateless: descriptors, positions
 * and places in the shared memory are named in the job. A worker reads and writes only what its job names.
 */

/** The tree that a piece is checked against. A file of one piece, which its root covers, has neither descriptor. */
export interface TreeFiles {
  /** Digests of all pieces but the last, 32 bytes each, by index. */
  readonly treeFd: number | undefined;
  /** xxHash64 of all pieces, 8 bytes each, by index; zero for those never kept. */
  readonly sumsFd: number | undefined;
  readonly pieceCount: number;
  readonly sizeBytes: number;
  readonly pieceSizeBytes: number;
  readonly root: string;
}

/** Pieces between the shared memory and a file, or its tree. */
export interface SlotJob {
  readonly tree: TreeFiles;
  readonly fileFd: number;
  /** For each piece its index, and where its first byte lies in the shared memory. */
  readonly pieces: Float64Array;
}

export type Job =
  /** Checks each piece's digest; writes those that hold, and their xxHash64. */
  | ({ readonly type: 'keep' } & SlotJob)
  /** Reads pieces into memory and checks their xxHash64. */
  | ({ readonly type: 'read' } & SlotJob)
  /** Digests and xxHash64 of consecutive pieces of a file. */
  | {
      readonly type: 'hash';
      readonly fd: number;
      readonly positionBytes: number;
      readonly lengthBytes: number;
      readonly pieceSizeBytes: number;
    }
  /** Hashes small files whole, and stores their trees and checksums in a directory. */
  | {
      readonly type: 'share';
      readonly paths: readonly string[];
      readonly pieceSizeBytes: number;
      readonly treeDirectory: string;
    }
  /** Which of a run of consecutive pieces on disk hold against the tree; takes their xxHash64. */
  | {
      readonly type: 'verify';
      readonly tree: TreeFiles;
      readonly fileFd: number;
      readonly firstIndex: number;
      readonly count: number;
      /** A byte for each piece: those that are not zero count as right without being read. */
      readonly known: Uint8Array;
      /** Pieces that have no xxHash64 yet were never kept: they count as wrong without being read. */
      readonly onlySummed: boolean;
    }
  /** Which of the file's pieces have the same digest in another file, by both tree files. */
  | {
      readonly type: 'match';
      readonly treeFd: number;
      readonly pieceCount: number;
      readonly sourceTreeFd: number;
      readonly sourcePieceCount: number;
    }
  /** Copies pieces from another file, checking each against the tree; takes their xxHash64. */
  | {
      readonly type: 'copy';
      readonly tree: TreeFiles;
      readonly fileFd: number;
      readonly sourceFd: number;
      readonly pairs: PiecePairs;
    };

/** Pairs of pieces with the same digest: index wanted, index in the source, and so on. */
export type PiecePairs = Uint32Array;

/** A file as it was found while it was hashed. */
export interface SmallFile {
  readonly sizeBytes: number;
  readonly mtimeMs: number;
  readonly root: string;
}

export interface Results {
  /** For each piece: 1 when it was right and is written. */
  readonly keep: { readonly right: Uint8Array };
  /** For each piece: 1 when memory holds it as it was verified. */
  readonly read: { readonly right: Uint8Array };
  /** 32 bytes and 8 bytes for each piece. Shorter than asked for when the file ends early. */
  readonly hash: { readonly digests: Uint8Array; readonly sums: Uint8Array };
  /** For each path. */
  readonly share: { readonly files: readonly ({ readonly ok: SmallFile } | { readonly failed: JobFailure })[] };
  /** For each piece: 1 when it holds. */
  readonly verify: { readonly right: Uint8Array };
  readonly match: { readonly pairs: PiecePairs };
  /** For each pair: 1 when the piece is written now. */
  readonly copy: { readonly right: Uint8Array };
}

/** What the system said instead of doing the job, in a form that crosses threads whole. */
export interface JobFailure {
  /** The system's code, such as ENOSPC. */
  readonly code: string;
  readonly message: string;
}

export type JobAnswer<T extends Job['type']> = { readonly ok: Results[T] } | { readonly failed: JobFailure };

/** Given to each worker when it starts. */
export interface WorkerStart {
  readonly memory: SharedArrayBuffer;
}
