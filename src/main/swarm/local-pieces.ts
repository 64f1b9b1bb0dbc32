/**
 * Never fetch what the disk has: pieces of a download that another shared file holds under the same digest are copied,
 * and pieces that a `.part` of an older version holds in their place are kept where they are. Each is checked against
 * the tree like any that comes from a peer. Runs beside the download, once the digests of all its pieces are known.
 */
import { Bitfield } from '../../protocol/bitfield.ts';
import { RequestError } from '../../protocol/errors.ts';
import { MIB } from '../../protocol/limits.ts';
import type { Content } from '../engine/content.ts';
import type { ContentFacts, Engine } from '../engine/engine.ts';
import type { Logger } from '../support/logger.ts';

const COPY_BYTES_MAX = 16 * MIB;

/** A file on this disk that may hold pieces of a download. */
export interface LocalFile extends ContentFacts {
  readonly path: string;
}

export interface LocalPiecesOptions {
  readonly engine: Engine;
  readonly content: Content;
  readonly logger: Logger;
  readonly sources: readonly LocalFile[];
  /** The `.part` holds bytes of an older version of the file. */
  readonly lookInPlace: boolean;
  /** Whether the download still wants a piece; if so, nobody else is asked for it until kept or unkept is called. */
  claim(index: number): boolean;
  kept(index: number): void;
  unkept(index: number): void;
  isOver(): boolean;
}

/**
 * Resolves when there is nothing more to be found here; `onClaimed` is called as soon as all that will be looked at is
 * claimed. Rejects with RequestError when the disk refuses to write.
 */
export async function bringLocalPieces(options: LocalPiecesOptions, onClaimed: () => void): Promise<void> {
  const found: { readonly source: Content; pairs: Uint32Array }[] = [];
  try {
    if (options.lookInPlace) await keepInPlace(options);
    for (const file of options.sources) {
      const source = await openSource(options, file);
      if (!source) continue;
      const held = { source, pairs: new Uint32Array() };
      found.push(held);
      held.pairs = Uint32Array.from(claimPairs(await options.content.match(source), options.claim));
    }
    onClaimed();
    for (const { source, pairs } of found) await copyFrom(source, pairs, options);
  } finally {
    for (const { source } of found) await source.release();
  }
}

async function openSource({ engine, logger }: LocalPiecesOptions, source: LocalFile): Promise<Content | undefined> {
  try {
    return await engine.openUnchecked(source, source.path);
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    logger.debug({ path: source.path, reason: error.message }, 'no source of local pieces');
    return undefined;
  }
}

async function keepInPlace({ content, claim, kept, unkept }: LocalPiecesOptions): Promise<void> {
  const { tree } = content;
  const known = Bitfield.full(tree.pieceCount);
  const claimed: number[] = [];
  for (let index = 0; index < tree.filePieceCount; index += 1) {
    if (!claim(index)) continue;
    known.clear(index);
    claimed.push(index);
  }
  const right = await content.verify({ levels: [tree.level(0)], known, onlySummed: false });
  for (const index of claimed) (right.has(index) ? kept : unkept)(index);
}

async function copyFrom(
  source: Content,
  pairs: Uint32Array,
  { content, kept, unkept, isOver }: LocalPiecesOptions,
): Promise<void> {
  const stretch = 2 * Math.max(1, Math.floor(COPY_BYTES_MAX / content.tree.pieceSizeBytes));
  for (let at = 0; at < pairs.length && !isOver(); at += stretch) {
    const some = pairs.subarray(at, at + stretch);
    const right = await content.copy(source, some);
    for (const [n, isRight] of right.entries()) (isRight ? kept : unkept)(some[2 * n] ?? 0);
  }
}

function* claimPairs(pairs: Uint32Array, claim: (index: number) => boolean): Generator<number> {
  for (let at = 0; at < pairs.length; at += 2) {
    const index = pairs[at] ?? 0;
    if (claim(index)) yield* [index, pairs[at + 1] ?? 0];
  }
}
