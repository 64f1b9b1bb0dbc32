/**
 * The view of a person at a terminal: sentences above the prompt, a bar while a file is hashed, and in the prompt itself
 * who is logged in and how the downloads under way stand.
 */
import type { RequestError } from '../../protocol/errors.ts';
import { printable } from '../../protocol/names.ts';
import type { Notice, ShareProgress } from '../client/types.ts';
import { describeError } from '../support/failures.ts';
import type { DownloadStatus } from '../swarm/status.ts';
import type { Outcome } from './command.ts';
import { count, formatPercent, formatRate } from './format.ts';
import { noticeText } from './notice-text.ts';
import { shareBar } from './progress-bar.ts';
import type { Terminal } from './terminal.ts';
import type { View } from './view.ts';

const SHARE = 'share';

/** `> `, `swas> `, `swas (libc.pdf 42 %, 660 MiB/s)> `. */
export function promptText(userName: string | undefined, running: readonly DownloadStatus[]): string {
  const downloads = downloadsSummary(running);
  const user = userName === undefined ? '' : printable(userName);
  return `${[user, ...(downloads ? [`(${downloads})`] : [])].filter(Boolean).join(' ')}> `;
}

function downloadsSummary(running: readonly DownloadStatus[]): string | undefined {
  const [first] = running;
  if (!first) return undefined;
  const sum = (field: (status: DownloadStatus) => number) =>
    running.reduce((total, status) => total + field(status), 0);
  const what = running.length === 1 ? printable(first.name) : count(running.length, 'download');
  const percent = formatPercent(
    sum((status) => status.doneBytes),
    sum((status) => status.sizeBytes),
  );
  const isWaiting = running.every((status) => status.state === 'waiting');
  return `${what} ${percent}, ${isWaiting ? 'waiting for peers' : formatRate(sum((status) => status.bytesPerSecond))}`;
}

export class TerminalView implements View {
  readonly #terminal: Pick<Terminal, 'print' | 'showBar' | 'hideBar'>;
  #open = true;

  constructor(terminal: Pick<Terminal, 'print' | 'showBar' | 'hideBar'>) {
    this.#terminal = terminal;
  }

  outcome(_command: string, { text }: Outcome): void {
    this.#terminal.hideBar(SHARE);
    if (text !== '') this.#print(text);
  }

  refusal(_command: string | null, error: RequestError): void {
    this.#terminal.hideBar(SHARE);
    this.#print(describeError(error));
  }

  shareProgress(_group: string, progress: ShareProgress): void {
    if (this.#open) this.#terminal.showBar(SHARE, shareBar(progress));
  }

  /** The prompt shows it: repl.ts looks at the running downloads twice a second. */
  downloadProgress(): void {}

  notice(notice: Notice): void {
    this.#print(noticeText(notice));
  }

  close(): void {
    this.#open = false;
    this.#terminal.hideBar(SHARE);
  }

  #print(text: string): void {
    if (this.#open) this.#terminal.print(text);
  }
}
