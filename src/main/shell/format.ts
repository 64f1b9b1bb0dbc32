/**
 * How the shell writes numbers and tables for people: sizes and rates in binary units, durations, percentages, plurals
 * and aligned columns. Pure. Names from others are made printable by whoever puts them into a sentence, not here.
 */
import { GIB, KIB, MIB } from '../../protocol/limits.ts';

const UNITS = [
  { bytes: 1, label: 'B' },
  { bytes: KIB, label: 'KiB' },
  { bytes: MIB, label: 'MiB' },
  { bytes: GIB, label: 'GiB' },
  { bytes: 1024 * GIB, label: 'TiB' },
  { bytes: 1024 * 1024 * GIB, label: 'PiB' },
] as const;

/** `512 B`, `2.0 GiB`, `660 MiB`: three digits at most, so that columns stay narrow. */
export function formatSize(bytes: number): string {
  let text = '';
  for (const unit of UNITS) {
    const value = bytes / unit.bytes;
    const digits = unit.bytes === 1 || value >= 99.95 ? 0 : 1;
    text = `${value.toFixed(digits)} ${unit.label}`;
    if (Math.round(value) < 1024) break;
  }
  return text;
}

export const formatRate = (bytesPerSecond: number) => `${formatSize(bytesPerSecond)}/s`;

/** The average over a whole transfer; one that took no time at all has no rate worth telling. */
export function averageRate(bytes: number, elapsedMs: number): string | undefined {
  return elapsedMs > 0 ? formatRate((bytes * 1000) / elapsedMs) : undefined;
}

/** `40 ms`, `3.1 s`, `2 min 5 s`, `1 h 3 min`, `2 d 4 h`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`;
  return formatSeconds(ms / 1000);
}

/** Whole seconds and up: what an estimate can honestly claim. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Rounded down: 100 % means that nothing is missing. An empty file is complete from the start. */
export function percentOf(done: number, total: number): number {
  return total === 0 ? 100 : Math.floor((100 * done) / total);
}

export const formatPercent = (done: number, total: number) => `${percentOf(done, total)} %`;

/** `1 peer`, `2 peers`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** Rows as columns two spaces apart; a column all of numbers and units aligns to the right. No trailing spaces. */
export function table(rows: readonly (readonly string[])[], rightColumns: ReadonlySet<number> = new Set()): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, displayWidth(cell));
  }
  const pad = (cell: string, column: number) => {
    const space = ' '.repeat((widths[column] ?? 0) - displayWidth(cell));
    return rightColumns.has(column) ? space + cell : cell + space;
  };
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}

/** Columns a text takes on a terminal, near enough: a wide (CJK, emoji) character takes two, a combining mark none. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const character of text) {
    if (/\p{Mn}/u.test(character)) continue;
    width +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff00-\uff60]|\p{Emoji_Presentation}/u.test(
        character,
      )
        ? 2
        : 1;
  }
  return width;
}
