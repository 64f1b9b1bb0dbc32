/**
 * The programs that carry a file here, ours and others', behind one face: some processes that have all of the file, and
 * one that fetches it from the first few of them. What a download took is told the same way of all.
 */
import { cpuSeconds, peakMemoryBytes } from '../support/measure.ts';
import type { Workspace } from '../support/workspace.ts';

export interface Load {
  readonly workspace: Workspace;
  /** The file that is carried, by its name in the workspace and at its destination. */
  readonly source: string;
  readonly sizeBytes: number;
  readonly pieceBytes: number;
}

/** What one copy took, from the command to begin until the last byte is verified and handed to the system. */
export interface Taken {
  readonly seconds: number;
  /** In all processes that took part. */
  readonly cpuSeconds: number;
  /** Unknown where both ends are one process, or have ended. */
  readonly ends?: {
    readonly downloaderCpuSeconds: number;
    readonly seedersCpuSeconds: number;
    readonly downloaderPeakBytes: number;
    readonly seederPeakBytes: number;
  };
  /** Ours alone: how much later than asked for the downloader's event loop looked up. */
  readonly loop?: { readonly p99Ms: number; readonly maxMs: number };
}

export interface Peer {
  /** Starts processes that have the file, as many as the largest count; resolves when each has checked it and serves. */
  seed(counts: readonly number[]): Promise<void>;
  /** A fresh process fetches the file into a new directory, from as many of them: one of the counts. */
  download(seeders: number, directory: string): Promise<Taken>;
}

export interface PeerKind {
  readonly name: string;
  /** The most seeders that it can fetch from here; undefined for any number. */
  readonly seedersMax?: number;
  /** What is missing to run it, and the command that brings it; undefined when nothing is. */
  missing(): string | undefined;
  start(load: Load): Promise<Peer>;
}

/** CPU time and memory of the two ends since this call, once the download is done. Both must still run then. */
export function watchEnds(downloaderPid: number, seederPids: readonly number[]): () => Omit<Taken, 'seconds'> {
  const sum = (pids: readonly number[]) => pids.reduce((total, pid) => total + cpuSeconds(pid), 0);
  const [downloaderBefore, seedersBefore] = [sum([downloaderPid]), sum(seederPids)];
  return () => {
    const downloaderCpuSeconds = sum([downloaderPid]) - downloaderBefore;
    const seedersCpuSeconds = sum(seederPids) - seedersBefore;
    return {
      cpuSeconds: downloaderCpuSeconds + seedersCpuSeconds,
      ends: {
        downloaderCpuSeconds,
        seedersCpuSeconds,
        downloaderPeakBytes: peakMemoryBytes(downloaderPid),
        seederPeakBytes: Math.max(...seederPids.map(peakMemoryBytes)),
      },
    };
  };
}
