/**
 * Sharing a directory: its tree is walked, its files are hashed (small ones many at a time) and given to the tracker, a
 * bounded number of each at once, so that neither worker nor tracker waits for the other. What can't be shared is named
 * with the reason, and the rest is shared. It returns once the tracker has acknowledged everything, and the catalog.
 */
import { RequestError } from '../../protocol/errors.ts';
import type { FileId, GroupId, Root } from '../../protocol/ids.ts';
import { fileNameRefusal, shareNameRefusal } from '../../protocol/names.ts';
import { PieceTree } from '../../protocol/piece-tree.ts';
import { type ContentFacts, type Engine, type FileStamp, SMALL_FILE_BYTES_MAX } from '../engine/engine.ts';
import { type FoundFile, type Skipped, walkTree } from '../engine/walk.ts';
import type { Share } from './catalog.ts';

/** Small files of one job: a task's cost is shared by many, and still all workers have something to do. */
const BATCH_FILES_MAX = 64;
/** Requests to the tracker under way: what it does in one turn, it commits at once. */
const REQUESTS_MAX = 64;
/** Shares remembered in one transaction of the catalog. */
const KEPT_AT_ONCE = 256;

/** Refusals that concern one file; any other ends it all. */
const OF_ONE_FILE: ReadonlySet<string> = new Set(['name-taken', 'bad-name', 'bad-request', 'not-the-owner']);

export interface FolderShareOptions {
  readonly engine: Engine;
  /** Jobs that the engine does at once. */
  readonly workers: number;
  readonly pieceSizeBytes: number;
  /** The directory, and the name that it is shared under. */
  readonly directory: string;
  readonly name: string;
  readonly group: string;
  addFile(file: { name: string; sizeBytes: number; pieceSizeBytes: number; root: Root }): Promise<Added>;
  /** Remembers shares that the tracker has acknowledged. */
  keep(shares: readonly Share[]): void;
  onProgress(doneBytes: number, sizeBytes: number): void;
}

interface Added {
  readonly group: GroupId;
  readonly file: FileId;
  readonly created: boolean;
}

export interface FolderShared {
  readonly sizeBytes: number;
  readonly pieceCount: number;
  readonly fileCount: number;
  readonly emptyFolderCount: number;
  /** How many of them the group did not have before. */
  readonly createdCount: number;
  readonly skipped: readonly Skipped[];
}

type Hashed = ContentFacts & FileStamp;

export async function shareFolder(options: FolderShareOptions): Promise<FolderShared> {
  const shareName = (name: string) => `${options.name}/${name}`.normalize('NFC');
  const tree = await walkTree(options.directory, (name) => fileNameRefusal(shareName(name)));
  const sharing = new Sharing(
    options,
    tree.files.reduce((sum, file) => sum + file.sizeBytes, 0),
    tree.skipped,
  );
  const batches = batchesOf(tree.files);
  const worker = async () => {
    for (const batch of batches) await sharing.hash(batch, shareName);
  };
  try {
    // One more than there are workers, so that none waits for the tracker.
    await Promise.all(Array.from({ length: options.workers + 1 }, worker));
    for (const folder of tree.emptyFolders) {
      await sharing.addFolder(folder === '' ? `${options.name}/` : `${shareName(folder)}/`);
    }
  } finally {
    await sharing.settle();
  }
  return sharing.outcome();
}

/** Files in the order found; small ones together. */
function* batchesOf(files: readonly FoundFile[]): Generator<readonly FoundFile[], void, undefined> {
  let batch: FoundFile[] = [];
  let bytes = 0;
  for (const file of files) {
    const isFull = batch.length === BATCH_FILES_MAX || bytes + file.sizeBytes > SMALL_FILE_BYTES_MAX;
    if (batch.length > 0 && isFull) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(file);
    bytes += file.sizeBytes;
  }
  if (batch.length > 0) yield batch;
}

class Sharing {
  readonly #options: FolderShareOptions;
  readonly #totalBytes: number;
  readonly #skipped: Skipped[];
  readonly #requests = new Set<Promise<void>>();
  #kept: Share[] = [];
  #failure: unknown;
  #refusal: RequestError | undefined;
  #doneBytes = 0;
  #sizeBytes = 0;
  #pieceCount = 0;
  #fileCount = 0;
  #emptyFolderCount = 0;
  #createdCount = 0;

  constructor(options: FolderShareOptions, totalBytes: number, skipped: Skipped[]) {
    this.#options = options;
    this.#totalBytes = totalBytes;
    this.#skipped = skipped;
  }

  /** Hashes a batch and has its files on their way to the tracker. */
  async hash(batch: readonly FoundFile[], shareName: (name: string) => string): Promise<void> {
    const hashed = await this.#hashed(batch);
    for (const [at, file] of batch.entries()) {
      const facts = hashed[at];
      if (facts === undefined || facts instanceof RequestError) {
        this.#skip(file.path, facts ?? new RequestError('internal', 'it was not read'));
        continue;
      }
      await this.#send(shareName(file.name), file.path, facts);
    }
  }

  /** A folder that holds nothing: a share of no bytes, which nobody needs to fetch. */
  async addFolder(name: string): Promise<void> {
    const refusal = shareNameRefusal(name, 0);
    const { pieceSizeBytes, directory } = this.#options;
    if (refusal) this.#skip(`${directory} (${name})`, new RequestError('bad-name', refusal));
    else
      await this.#send(name, undefined, { sizeBytes: 0, mtimeMs: 0, pieceSizeBytes, root: emptyRoot(pieceSizeBytes) });
  }

  /** Waits for the tracker's answers, and remembers what it acknowledged. Throws the first failure. */
  async settle(): Promise<void> {
    await Promise.all(this.#requests);
    this.#flush();
    if (this.#failure) throw this.#failure;
  }

  /** Throws the refusal when nothing at all could be shared. */
  outcome(): FolderShared {
    if (this.#fileCount + this.#emptyFolderCount === 0) {
      const [first] = this.#skipped;
      if (this.#refusal) throw this.#refusal;
      throw new RequestError(
        'not-a-file',
        `nothing in ${this.#options.directory} can be shared${first ? `: ${first.path}: ${first.reason}` : ''}`,
      );
    }
    this.#options.onProgress(this.#sizeBytes, this.#sizeBytes);
    return {
      sizeBytes: this.#sizeBytes,
      pieceCount: this.#pieceCount,
      fileCount: this.#fileCount,
      emptyFolderCount: this.#emptyFolderCount,
      createdCount: this.#createdCount,
      skipped: this.#skipped,
    };
  }

  async #hashed(batch: readonly FoundFile[]): Promise<readonly (Hashed | RequestError)[]> {
    if (this.#failure) throw this.#failure;
    const { engine, pieceSizeBytes, onProgress } = this.#options;
    const [first] = batch;
    const before = this.#doneBytes;
    if (first && first.sizeBytes > SMALL_FILE_BYTES_MAX) {
      let told = 0;
      const tell = (doneBytes: number) => {
        this.#doneBytes += doneBytes - told;
        told = doneBytes;
        onProgress(Math.min(this.#doneBytes, this.#totalBytes), this.#totalBytes);
      };
      return [await engine.hash(first.path, pieceSizeBytes, tell).catch(asRefusal)];
    }
    const hashed = await engine.hashSmall(
      batch.map(({ path }) => path),
      pieceSizeBytes,
    );
    this.#doneBytes = Math.max(before, this.#doneBytes) + batch.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    onProgress(Math.min(this.#doneBytes, this.#totalBytes), this.#totalBytes);
    return hashed;
  }

  /** Resolves when there is room for the next request. */
  async #send(name: string, path: string | undefined, facts: Hashed): Promise<void> {
    while (this.#requests.size >= REQUESTS_MAX) await Promise.race(this.#requests);
    if (this.#failure) throw this.#failure;
    const request: Promise<void> = this.#add(name, path, facts).finally(() => this.#requests.delete(request));
    this.#requests.add(request);
  }

  async #add(name: string, path: string | undefined, facts: Hashed): Promise<void> {
    const { sizeBytes, pieceSizeBytes, root, mtimeMs } = facts;
    try {
      const { group, file, created } = await this.#options.addFile({ name, sizeBytes, pieceSizeBytes, root });
      if (created) this.#createdCount += 1;
      if (path === undefined) {
        this.#emptyFolderCount += 1;
        return;
      }
      this.#fileCount += 1;
      this.#sizeBytes += sizeBytes;
      this.#pieceCount += new PieceTree(sizeBytes, pieceSizeBytes).filePieceCount;
      const { group: groupName } = this.#options;
      this.#kept.push({ group, file, groupName, name, path, sizeBytes, pieceSizeBytes, root, mtimeMs });
      if (this.#kept.length >= KEPT_AT_ONCE) this.#flush();
    } catch (error) {
      if (error instanceof RequestError && OF_ONE_FILE.has(error.code)) this.#skip(path ?? name, error);
      else this.#failure ??= error;
    }
  }

  #flush(): void {
    const kept = this.#kept;
    this.#kept = [];
    if (kept.length > 0) this.#options.keep(kept);
  }

  #skip(path: string, refusal: RequestError): void {
    this.#refusal ??= refusal;
    this.#skipped.push({ path, reason: refusal.message });
  }
}

function asRefusal(error: unknown): RequestError {
  if (error instanceof RequestError) return error;
  throw error;
}

const emptyRoot = (pieceSizeBytes: number) => new PieceTree(0, pieceSizeBytes).build(new Uint8Array(0)).root;
