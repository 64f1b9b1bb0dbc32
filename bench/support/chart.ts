/**
 * Horizontal bars as an SVG document: a panel for each unit, a bar for each contender up to its median, a whisker from
 * the least to the most. Written by hand, since this is all that is drawn, and the libraries that draw without a browser
 * are larger than the rest of the development tools together. Pure.
 */
import type { Summary } from './measure.ts';

export interface Bar {
  readonly label: string;
  readonly value: Summary;
}

export interface Panel {
  /** What the bars count, such as GB/s. */
  readonly unit: string;
  readonly bars: readonly Bar[];
}

const WIDTH = 760;
const LABEL_WIDTH = 230;
const VALUE_WIDTH = 80;
const BAR_HEIGHT = 16;
const ROW_HEIGHT = 24;
const PANEL_HEAD = 34;
const TITLE_HEIGHT = 34;
const MARGIN = 12;

const STYLE = [
  'svg{background:#fff;font:13px system-ui,sans-serif;fill:#222}',
  '.title{font-weight:600}',
  '.unit{fill:#666}',
  '.bar{fill:#4c78a8}',
  '.whisker{stroke:#222;stroke-width:1.5}',
].join('');

export function svgChart(title: string, panels: readonly Panel[]): string {
  const parts = [`<text class="title" x="${MARGIN}" y="22">${escaped(title)}</text>`];
  let top = TITLE_HEIGHT;
  for (const panel of panels) {
    parts.push(...panelParts(panel, top));
    top += PANEL_HEAD + panel.bars.length * ROW_HEIGHT;
  }
  const height = top + MARGIN;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}">`,
    `<style>${STYLE}</style>`,
    ...parts,
    '</svg>\n',
  ].join('\n');
}

function panelParts({ unit, bars }: Panel, top: number): string[] {
  const known = bars.filter(({ value }) => Number.isFinite(value.median));
  // Of a panel whose numbers are all zero, any scale is right.
  const most = Math.max(...known.map(({ value }) => value.max)) || 1;
  const width = (value: number) => ((WIDTH - LABEL_WIDTH - VALUE_WIDTH - MARGIN) * value) / most;
  const parts = [`<text class="unit" x="${LABEL_WIDTH}" y="${top + 24}">${escaped(unit)}</text>`];
  for (const [row, { label, value }] of known.entries()) {
    const y = top + PANEL_HEAD + row * ROW_HEIGHT;
    const middle = y + BAR_HEIGHT / 2;
    const text = (x: number, anchor: string, content: string) =>
      `<text x="${x}" y="${middle + 5}" text-anchor="${anchor}">${escaped(content)}</text>`;
    const [low, high] = [value.min, value.max].map((end) => (LABEL_WIDTH + width(end)).toFixed(1));
    parts.push(
      text(LABEL_WIDTH - 8, 'end', label),
      `<rect class="bar" x="${LABEL_WIDTH}" y="${y}" width="${width(value.median).toFixed(1)}" height="${BAR_HEIGHT}"/>`,
      `<line class="whisker" x1="${low}" x2="${high}" y1="${middle}" y2="${middle}"/>`,
      text(Math.round(LABEL_WIDTH + width(value.max) + 8), 'start', shortNumber(value.median)),
    );
  }
  return parts;
}

/** Three digits, more where a number has more before its point. */
export function shortNumber(value: number): string {
  if (!Number.isFinite(value)) return '';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value) || 1)));
  return digits === 0 ? Math.round(value).toLocaleString('en') : value.toFixed(Math.min(digits, 4));
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
