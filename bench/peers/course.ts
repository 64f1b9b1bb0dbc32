/**
 * One random file, and downloads of it that take turns: each into a new directory, with the copy of the one before gone
 * by then, and the copy of a warm-up compared with the file by a program of nobody's here.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { outsideDigest, writeRandomFile } from '../support/files.ts';
import type { Contender } from '../support/rounds.ts';
import type { Workspace } from '../support/workspace.ts';
import type { Load, Peer, Taken } from './peer.ts';

const COPY = 'copy';

export class Course {
  readonly #workspace: Workspace;
  /** By name of the contender, the file that it carries. */
  readonly #sources = new Map<string, string>();
  readonly #digests = new Map<string, string>();

  constructor(workspace: Workspace) {
    this.#workspace = workspace;
  }

  /** Writes a file, for any number of contenders. */
  async load(source: string, sizeBytes: number, pieceBytes: number): Promise<Load> {
    if (!this.#digests.has(source)) {
      writeRandomFile(this.#workspace.path(source), sizeBytes);
      this.#digests.set(source, (await outsideDigest(this.#workspace.path(source))).hex);
    }
    return { workspace: this.#workspace, source, sizeBytes, pieceBytes };
  }

  contender(name: string, { source }: Load, peer: Peer, seeders: number): Contender<Taken> {
    this.#sources.set(name, source);
    const run = () => {
      rmSync(this.#workspace.path(COPY), { recursive: true, force: true });
      mkdirSync(this.#workspace.path(COPY));
      return peer.download(seeders, COPY);
    };
    return { name, run };
  }

  /** Throws when the copy that the contender has just made is not the file. */
  async check(name: string): Promise<void> {
    const source = this.#sources.get(name) ?? '';
    const copy = await outsideDigest(this.#workspace.path(COPY, source));
    if (copy.hex !== this.#digests.get(source)) throw new Error(`${name} made a copy that differs`);
  }
}
