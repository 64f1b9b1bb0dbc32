/**
 * What a bench comes back with, and where that goes: a text for people, JSON for programs, and the two of them with a
 * chart as files under bench/results/, which git ignores.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { type Panel, svgChart } from './chart.ts';
import type { Summary } from './measure.ts';

export interface Report {
  /** What was measured, in a sentence without a full stop. */
  readonly title: string;
  /** Tables and sentences, below the title. */
  readonly text: string;
  /** The same as numbers and more, as JSON. */
  readonly data: object;
  /** None when nothing is to be compared. */
  readonly chart: readonly Panel[];
}

const RESULTS = join(import.meta.dirname, '..', 'results');

/** One object with all there is to know about a run. */
export function asJson(name: string, report: Report): object {
  const machine = {
    processor: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    node: process.version,
  };
  return { bench: name, title: report.title, at: new Date().toISOString(), machine, ...report.data };
}

/** Writes the files; returns their paths. */
export function writeResults(name: string, report: Report): string[] {
  mkdirSync(RESULTS, { recursive: true });
  const write = (extension: string, text: string) => {
    const path = join(RESULTS, `${name}.${extension}`);
    writeFileSync(path, text);
    return path;
  };
  const paths = [write('json', `${JSON.stringify(asJson(name, report), undefined, 2)}\n`)];
  if (report.chart.length > 0) paths.push(write('svg', svgChart(report.title, report.chart)));
  return paths;
}

/** Two digits; nothing for what was not measured. */
export const fixed = (value: number) => (Number.isNaN(value) ? '' : value.toFixed(2));
export const spread = ({ min, max }: Summary) => (Number.isNaN(min) ? '' : `${fixed(min)} to ${fixed(max)}`);
export const withSpread = (summary: Summary) => `${fixed(summary.median)} (${spread(summary)})`;

/** How a bench goes on. Numbers alone go to standard output. */
export const note = (text: string) => void process.stderr.write(`${text}\n`);
