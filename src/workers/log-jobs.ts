/** What crosses between the tracker's main thread and the thread that writes its log, both ways. */
import type { KeyObject } from 'node:crypto';

export interface LogWriterStart {
  readonly path: string;
}

/** An entry on its way to the disk; its body is the next `bodyBytes` of the batch's bodies. */
export interface LogRow {
  readonly origin: string;
  readonly seq: number;
  readonly hlcMs: number;
  readonly hlcCounter: number;
  readonly requestId: string;
  readonly bodyBytes: number;
  /** Undefined: the entry is ours, to be chained and signed. */
  readonly signature: Uint8Array | undefined;
  /** The hash of the entry before it. Undefined: that is the last one that was signed here. */
  readonly prevHash: Uint8Array | undefined;
}

export type LogJob =
  | { readonly type: 'key'; readonly privateKey: KeyObject }
  /** Entries that are committed together, in the order of each log. */
  | { readonly type: 'commit'; readonly rows: readonly LogRow[]; readonly bodies: Uint8Array }
  | { readonly type: 'pragmas' }
  | { readonly type: 'close' };

/** Answers come in the order of the jobs; a key is not answered. */
export type LogAnswer =
  | { readonly type: 'committed' }
  /** Nothing is committed from here on. */
  | { readonly type: 'failed'; readonly code: string; readonly message: string }
  | { readonly type: 'pragmas'; readonly journalMode: unknown; readonly synchronous: unknown }
  | { readonly type: 'closed' };
