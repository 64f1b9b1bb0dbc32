/** Hashing a whole file on all workers: consecutive stretches go out in order, a few at a time, and come together. */
import { RequestError } from '../../protocol/errors.ts';
import { CHECKSUM_BYTES, DIGEST_BYTES, MIB } from '../../protocol/limits.ts';
import type { PieceTree } from '../../protocol/piece-tree.ts';
import { settleAll, type WorkerPool } from './pool.ts';

const STRETCH_BYTES = 16 * MIB;

/** Digests (32 bytes a piece) and xxHash64 (8 bytes a piece) of the file's pieces, in order. */
export async function hashFile(
  pool: WorkerPool,
  fd: number,
  tree: PieceTree,
  path: string,
  onProgress: (doneBytes: number, sizeBytes: number) => void,
): Promise<{ digests: Uint8Array; sums: Uint8Array }> {
  const { sizeBytes, pieceSizeBytes } = tree;
  const digests = new Uint8Array(tree.filePieceCount * DIGEST_BYTES);
  const sums = new Uint8Array(tree.filePieceCount * CHECKSUM_BYTES);
  const stretchBytes = Math.max(STRETCH_BYTES, pieceSizeBytes);
  let nextBytes = 0;
  let doneBytes = 0;

  const worker = async () => {
    while (nextBytes < sizeBytes) {
      const positionBytes = nextBytes;
      const lengthBytes = Math.min(stretchBytes, sizeBytes - positionBytes);
      nextBytes += lengthBytes;
      const part = await pool.run({ type: 'hash', fd, positionBytes, lengthBytes, pieceSizeBytes });
      const firstPiece = positionBytes / pieceSizeBytes;
      if (part.digests.length !== Math.ceil(lengthBytes / pieceSizeBytes) * DIGEST_BYTES) {
        throw new RequestError(
          'file-changed',
          `${path} became shorter while it was read`,
          'share it once it is finished',
        );
      }
      digests.set(part.digests, firstPiece * DIGEST_BYTES);
      sums.set(part.sums, firstPiece * CHECKSUM_BYTES);
      doneBytes += lengthBytes;
      onProgress(doneBytes, sizeBytes);
    }
  };
  const untilDone = () =>
    worker().finally(() => {
      nextBytes = sizeBytes;
    });
  await settleAll(Array.from({ length: pool.size }, untilDone));
  return { digests, sums };
}
