/**
 * What a shell shows, whoever looks: outcomes, refusals, progress and notices. The terminal, the script in text and the
 * script in JSON each are one View; whoever runs commands knows none of them.
 */
import { RequestError } from '../../protocol/errors.ts';
import type { Notice, ShareProgress } from '../client/types.ts';
import { EXIT_CODES, exitCodeOf } from '../support/failures.ts';
import type { DownloadStatus } from '../swarm/status.ts';
import type { Outcome } from './command.ts';

export interface View {
  outcome(command: string, outcome: Outcome): void;
  /** `command` as typed; null when the line, or the program itself, got as far as no command. */
  refusal(command: string | null, error: RequestError): void;
  shareProgress(group: string, progress: ShareProgress): void;
  downloadProgress(status: DownloadStatus): void;
  notice(notice: Notice): void;
  /** Takes down what is drawn. Nothing is shown afterwards. */
  close(): void;
}

/** Where text goes: process.stdout and stderr fit. */
export interface TextOutput {
  write(text: string): unknown;
}

/**
 * What can be told to a person as a refusal, with a code. Undefined: a bug of ours, which has to stop the process with
 * its stack shown.
 */
export function asRefusal(error: unknown): RequestError | undefined {
  if (error instanceof RequestError) return error;
  if (!(error instanceof Error)) return undefined;
  switch (exitCodeOf(error)) {
    case EXIT_CODES.unreachable:
      return new RequestError('tracker-unreachable', error.message);
    case EXIT_CODES.disk:
      return new RequestError('disk-error', error.message);
    default:
      return undefined;
  }
}
