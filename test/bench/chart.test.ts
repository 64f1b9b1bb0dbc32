/** The chart of a report as an SVG document. */
import { expect, test } from 'vitest';
import { shortNumber, svgChart } from '../../bench/support/chart.ts';

const bar = (label: string, median: number, max = median) => ({ label, value: { median, min: 0, max } });
const widths = (svg: string) =>
  [...svg.matchAll(/class="bar"[^>]* width="([\d.]+)"/g)].map(([, width]) => Number(width));

test('bars are as long as their medians, measured against the largest of all values of their panel', () => {
  const svg = svgChart('speeds', [
    { unit: 'GB/s', bars: [bar('a', 1), bar('b', 2, 4)] },
    { unit: 's', bars: [bar('a', 500), bar('b', 250)] },
  ]);
  const [a = 0, b = 0, otherA = 0, otherB = 0] = widths(svg);
  expect(b / a).toBeCloseTo(2, 2);
  expect(otherA / a).toBeCloseTo(4, 2);
  expect(otherA / otherB).toBeCloseTo(2, 2);
});

test('what was not measured has no bar', () => {
  expect(widths(svgChart('', [{ unit: 's', bars: [bar('a', 1), bar('b', Number.NaN)] }]))).toHaveLength(1);
});

test('text is text, whatever its characters', () => {
  const svg = svgChart('a < b & c', [{ unit: '>', bars: [bar('<script>', 0)] }]);
  expect(svg).toContain('a &lt; b &amp; c');
  expect(svg).not.toContain('<script>');
});

test('numbers have three digits', () => {
  expect([0.4567, 2, 45.67, 456.7, 45_678].map(shortNumber)).toEqual(['0.457', '2.00', '45.7', '457', '45,678']);
});
