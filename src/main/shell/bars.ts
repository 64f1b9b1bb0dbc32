/**
 * Progress bars on a terminal (cli-progress), one for each thing under way. Owns the lines they stand on: whoever prints
 * while bars are up prints through `above`, or the bars would be torn. No cursor or wrapping mode of the terminal is
 * changed, so that a killed process leaves the terminal as it was.
 */
import cliProgress from 'cli-progress';
import { printable } from '../../protocol/names.ts';
import { displayWidth, formatPercent } from './format.ts';

export interface Bar {
  readonly label: string;
  readonly done: number;
  readonly total: number;
  /** What stands behind the percentage: rate, time left. */
  readonly note: string;
}

const BAR_COLUMNS = 24;
const LABEL_COLUMNS = 28;

/** The whole line of one bar: label, bar, percentage, note. */
export function barLine(bar: Bar): string {
  const share = bar.total === 0 ? 1 : Math.min(1, bar.done / bar.total);
  const full = Math.floor(share * BAR_COLUMNS);
  const drawn = '█'.repeat(full) + '░'.repeat(BAR_COLUMNS - full);
  const percent = formatPercent(bar.done, bar.total).padStart(5);
  return `${fitLabel(printable(bar.label))} ${drawn} ${percent}  ${bar.note}`.trimEnd();
}

/** Pads, or cuts the middle out: the end of a file's name tells as much as its beginning. */
function fitLabel(label: string): string {
  const width = displayWidth(label);
  if (width <= LABEL_COLUMNS) return label + ' '.repeat(LABEL_COLUMNS - width);
  const characters = [...label];
  const head: string[] = [];
  const tail: string[] = [];
  let columns = 1;
  while (characters.length > 0) {
    const fromHead = head.length <= tail.length;
    const next = (fromHead ? characters.shift() : characters.pop()) ?? '';
    columns += displayWidth(next);
    if (columns > LABEL_COLUMNS) break;
    if (fromHead) head.push(next);
    else tail.unshift(next);
  }
  return `${head.join('')}…${tail.join('')}`;
}

export class Bars {
  readonly #stream: NodeJS.WritableStream;
  readonly #bars = new Map<string, Bar>();
  readonly #handles = new Map<string, cliProgress.SingleBar>();
  #multiBar: cliProgress.MultiBar | undefined;

  constructor(stream: NodeJS.WritableStream) {
    this.#stream = stream;
  }

  show(key: string, bar: Bar): void {
    this.#bars.set(key, bar);
    const handle = this.#handles.get(key);
    if (!handle) {
      this.above(() => {});
      return;
    }
    handle.setTotal(bar.total);
    handle.update(bar.done, { line: barLine(bar) });
  }

  hide(key: string): void {
    if (!this.#bars.delete(key)) return;
    this.above(() => {});
  }

  /** Takes the bars down, prints, and draws them again below. */
  above(print: () => void): void {
    this.#erase();
    print();
    this.#draw();
  }

  close(): void {
    this.#bars.clear();
    this.#erase();
  }

  #draw(): void {
    if (this.#bars.size === 0) return;
    const multiBar = new cliProgress.MultiBar({
      stream: this.#stream,
      format: (_options, _params, payload: { readonly line: string }) => payload.line,
      clearOnComplete: true,
      hideCursor: false,
      linewrap: true,
      gracefulExit: false,
    });
    for (const [key, bar] of this.#bars) {
      this.#handles.set(key, multiBar.create(bar.total, bar.done, { line: barLine(bar) }));
    }
    multiBar.update();
    this.#multiBar = multiBar;
  }

  #erase(): void {
    this.#multiBar?.stop();
    this.#multiBar = undefined;
    this.#handles.clear();
  }
}
