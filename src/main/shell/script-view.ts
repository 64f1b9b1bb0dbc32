/**
 * The view of a script in text: outcomes on standard output, refusals and notices on standard error, so that a pipe gets
 * only what was asked for. Progress goes to standard error too: bars where that is a terminal, else a line now and then.
 */
import type { RequestError } from '../../protocol/errors.ts';
import { printable } from '../../protocol/names.ts';
import type { Notice, ShareProgress } from '../client/types.ts';
import type { Clock } from '../support/clock.ts';
import { describeError } from '../support/failures.ts';
import type { DownloadStatus } from '../swarm/status.ts';
import type { Bars } from './bars.ts';
import type { Outcome } from './command.ts';
import { downloadLines } from './download-text.ts';
import { formatPercent } from './format.ts';
import { noticeText } from './notice-text.ts';
import { downloadBar, shareBar } from './progress-bar.ts';
import { Throttle } from './throttle.ts';
import type { TextOutput, View } from './view.ts';

const LINE_INTERVAL_MS = 2000;
const SHARE = 'share';

export interface ScriptOutputs {
  readonly stdout: TextOutput;
  readonly stderr: TextOutput;
  /** Drawn on standard error where that is a terminal. */
  readonly bars: Bars | undefined;
}

export class ScriptView implements View {
  readonly #outputs: ScriptOutputs;
  readonly #throttle: Throttle;
  readonly #lostTrackers = new Set<string>();
  #open = true;

  constructor(outputs: ScriptOutputs, clock: Pick<Clock, 'monotonicMs'>) {
    this.#outputs = outputs;
    this.#throttle = new Throttle(clock, LINE_INTERVAL_MS, 'first after an interval');
  }

  outcome(_command: string, { text }: Outcome): void {
    this.#endShare();
    if (text !== '') this.#print(this.#outputs.stdout, text);
  }

  refusal(command: string | null, error: RequestError): void {
    this.#endShare();
    const text = describeError(error);
    this.#print(this.#outputs.stderr, command === null ? text : `${printable(command)}: ${text}`);
  }

  shareProgress(_group: string, progress: ShareProgress): void {
    if (!this.#open) return;
    const bar = shareBar(progress);
    if (this.#outputs.bars) this.#outputs.bars.show(SHARE, bar);
    else if (this.#throttle.passes(SHARE)) {
      this.#print(this.#outputs.stderr, `${printable(bar.label)}  ${formatPercent(bar.done, bar.total)}`);
    }
  }

  downloadProgress(status: DownloadStatus): void {
    if (!this.#open) return;
    if (this.#outputs.bars) this.#outputs.bars.show(`download ${status.id}`, downloadBar(status));
    else if (this.#throttle.passes(`download ${status.id}`)) this.#print(this.#outputs.stderr, downloadLines([status]));
  }

  notice(notice: Notice): void {
    const { stdout, stderr, bars } = this.#outputs;
    if (notice.type === 'download-ended') {
      bars?.hide(`download ${notice.status.id}`);
      this.#print(notice.status.state === 'done' ? stdout : stderr, noticeText(notice));
    } else if (this.#isNews(notice)) this.#print(stderr, noticeText(notice));
  }

  close(): void {
    this.#open = false;
    this.#outputs.bars?.close();
  }

  /** That the tracker answers is no news to a script, unless it meets it for the first time or had lost it. */
  #isNews(notice: Notice): boolean {
    if (notice.type === 'tracker-lost') this.#lostTrackers.add(notice.address);
    if (notice.type !== 'tracker-connected') return true;
    return this.#lostTrackers.delete(notice.address) || notice.firstContact;
  }

  #endShare(): void {
    this.#throttle.forget(SHARE);
    this.#outputs.bars?.hide(SHARE);
  }

  #print(output: TextOutput, text: string): void {
    if (!this.#open) return;
    const print = () => output.write(`${text}\n`);
    if (this.#outputs.bars) this.#outputs.bars.above(print);
    else print();
  }
}
