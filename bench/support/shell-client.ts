/**
 * A running client, spoken to as a program would: commands go to its standard input one a line, and come back as the
 * JSON lines that src/main/shell/json-view.ts documents. One command at a time.
 */
import * as v from 'valibot';
import { quoteWord } from '../../src/main/shell/words.ts';
import type { Child } from './child.ts';

const downloadEntries = {
  name: v.string(),
  state: v.string(),
  sizeBytes: v.number(),
  doneBytes: v.number(),
  pieceCount: v.number(),
  bytesPerSecond: v.number(),
  etaSeconds: v.optional(v.number()),
  elapsedMs: v.number(),
  peers: v.array(v.object({ user: v.string(), bytes: v.number(), badPieces: v.number(), state: v.string() })),
  message: v.optional(v.string()),
  hint: v.optional(v.string()),
};
const downloadSchema = v.object(downloadEntries);
export type DownloadLine = v.InferOutput<typeof downloadSchema>;

const lineSchema = v.variant('type', [
  v.looseObject({ type: v.literal('outcome'), ok: v.literal(true) }),
  v.looseObject({
    type: v.literal('outcome'),
    ok: v.literal(false),
    message: v.string(),
    hint: v.optional(v.string()),
  }),
  v.looseObject({ type: v.literal('progress'), command: v.string() }),
  v.looseObject({ type: v.literal('notice'), notice: v.string() }),
]);
type Line = v.InferOutput<typeof lineSchema>;

export const sharedSchema = v.object({ sizeBytes: v.number(), pieceCount: v.number(), elapsedMs: v.number() });

export class ShellClient {
  readonly child: Child;

  constructor(child: Child) {
    this.child = child;
  }

  /** Sends a command and gives the fields of its outcome. Rejects with its refusal, or when the client ends. */
  async command(...words: readonly string[]): Promise<unknown> {
    const answer = this.child.lineWith((text) => {
      const line = parse(text);
      return line.type === 'outcome' ? line : undefined;
    });
    const line = words.map(quoteWord).join(' ');
    this.child.writeLine(line);
    const outcome = await answer;
    if (outcome.ok) return outcome;
    throw new Error(`${this.child.name}> ${line}: ${sentence(outcome)}`);
  }

  /** Downloads, and resolves when the file is there. Rejects when the download ends otherwise. */
  async download(
    words: readonly [string, string, string],
    onProgress: (line: DownloadLine) => void,
  ): Promise<DownloadLine> {
    const ended = this.child.lineWith((text) => {
      const line = parse(text);
      if (line.type === 'progress' && line.command === 'download_file') onProgress(v.parse(downloadSchema, line));
      return line.type === 'notice' && line.notice === 'download-ended' ? v.parse(downloadSchema, line) : undefined;
    });
    // Whatever fails first is told; the other must not go unhandled.
    const [, download] = await Promise.all([this.command('download_file', ...words), ended]);
    if (download.state !== 'done') throw new Error(`${this.child.name}: ${sentence(download)}`);
    return download;
  }

  /** Ends it as a person would. Rejects when it does not end well. */
  async quit(): Promise<void> {
    this.child.writeLine('quit');
    this.child.closeInput();
    await this.child.success();
  }
}

function parse(text: string): Line {
  return v.parse(lineSchema, JSON.parse(text));
}

function sentence({ message, hint }: { message?: string | undefined; hint?: string | undefined }): string {
  return [message ?? 'failed for an unknown reason', ...(hint ? [hint] : [])].join('; ');
}
