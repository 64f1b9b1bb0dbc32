/**
 * What this client serves: files of its catalog, and downloads as far as they have come. A file that is gone, changed or
 * damaged is not served; its owner is told once.
 */
import { Bitfield } from '../../protocol/bitfield.ts';
import { RequestError } from '../../protocol/errors.ts';
import type { FileId, GroupId } from '../../protocol/ids.ts';
import type { Engine } from '../engine/engine.ts';
import type { DownloadTask } from '../swarm/download-task.ts';
import type { Served, ShareSource } from '../swarm/peer-server.ts';
import type { Catalog, Share } from './catalog.ts';

/** Downloads under way, of files or of folders. */
export interface Running {
  running(group: GroupId, file: FileId): DownloadTask | undefined;
  runningFiles(): readonly { readonly group: GroupId; readonly file: FileId }[];
}

export interface SharesOptions {
  readonly catalog: Catalog;
  readonly engine: Engine;
  /** Asked only once the client is assembled. */
  downloads(): readonly Running[];
  /** A share can't be served any more. */
  onBroken(share: Share, reason: string): void;
}

export class Shares implements ShareSource {
  readonly #options: SharesOptions;
  readonly #broken = new Set<string>();

  constructor(options: SharesOptions) {
    this.#options = options;
  }

  /** Files that may be announced. */
  files(): readonly { readonly group: GroupId; readonly file: FileId }[] {
    const whole = this.#options.catalog.shares().filter((share) => !this.#broken.has(keyOf(share)));
    return [...whole, ...this.#options.downloads().flatMap((running) => running.runningFiles())];
  }

  /** A file was shared anew: what was wrong with it before is mended. */
  mended(share: Share): void {
    this.#broken.delete(keyOf(share));
  }

  async open(group: GroupId, file: FileId): Promise<Served> {
    const running = this.#options
      .downloads()
      .map((all) => all.running(group, file))
      .find((task) => task !== undefined);
    const { content, have } = running ?? {};
    if (running && content && have) {
      content.retain();
      return {
        content,
        have,
        onHave: (listener) => running.onHave(listener),
        damaged: () => {},
        failed: () => {},
        release: () => void content.release(),
      };
    }
    const share = this.#options.catalog.share(group, file);
    if (!share || this.#broken.has(keyOf(share))) throw new RequestError('not-shared', 'this file is not shared here');
    return this.#openShare(share);
  }

  async #openShare(share: Share): Promise<Served> {
    try {
      const content = await this.#options.engine.openShare(share, share.path, share);
      return {
        content,
        have: Bitfield.full(content.tree.pieceCount),
        onHave: () => () => {},
        damaged: (index) => this.#break(share, `piece ${index} is not what it was when the file was shared`),
        failed: (error) => this.#break(share, error.message),
        release: () => void content.release(),
      };
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.#break(share, error.message);
      throw new RequestError('not-shared', 'this file can no longer be read here');
    }
  }

  /** A check found it wrong. */
  reportBroken(share: Share, reason: string): void {
    this.#break(share, reason);
  }

  #break(share: Share, reason: string): void {
    if (this.#broken.has(keyOf(share))) return;
    this.#broken.add(keyOf(share));
    this.#options.onBroken(share, reason);
  }
}

const keyOf = ({ group, file }: { group: GroupId; file: FileId }) => `${group}/${file}`;
