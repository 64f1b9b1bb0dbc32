/** One process's samples as a page that 0x draws, as a profile for other viewers, and as a table for the terminal. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import zeroEks from '0x';
import { cpuProfile, fold, type Sample, type ThreadTime, threadTimes } from './flame-tree.ts';

const RESULTS = join(import.meta.dirname, '..', 'results', 'flame');
const HOTTEST_MAX = 3;
/** A thread that took less of the process's time than this has a place in the graph, and none in the table. */
const TABLE_SHARE_MIN = 0.01;

/** Writes the files, and returns the table. */
export async function flamePage(
  name: string,
  how: string,
  samples: readonly Sample[],
  sizeBytes: number,
): Promise<string> {
  const root = fold(samples);
  mkdirSync(RESULTS, { recursive: true });
  const profile = join(RESULTS, `${name}.cpuprofile`);
  writeFileSync(profile, JSON.stringify(cpuProfile(root)));
  const title = `${name}, by ${how}, ${(sizeBytes / 1e9).toFixed(2)} GB`;
  await zeroEks({ visualizeCpuProfile: profile, workingDir: RESULTS, name, title });
  const page = join(RESULTS, `${name}.html`);
  writeFileSync(page, showingAll(readFileSync(page, 'utf8')));
  return `\n${name}: ${page}\n${table(threadTimes(root, HOTTEST_MAX), sizeBytes)}`;
}

/** 0x begins with native code hidden, which here is most of it. The page's address says what is hidden; a button changes it. */
function showingAll(html: string): string {
  const state = encodeURIComponent(JSON.stringify({ merged: false, nodeId: 0, excludeTypes: [] }));
  const script = `<script>if (!location.hash) history.replaceState(null, '', '#${state}')</script>`;
  return html.replace(/<body[^>]*>/, (body) => `${body}\n${script}`);
}

function table(threads: readonly ThreadTime[], sizeBytes: number): string {
  const all = threads.reduce((sum, { micros }) => sum + micros, 0);
  const perGb = (micros: number) => (micros / 1e6 / (sizeBytes / 1e9)).toFixed(2).padStart(6);
  const lines = threads
    .filter(({ micros }) => micros >= TABLE_SHARE_MIN * all)
    .flatMap(({ thread, micros, hottest }) => [
      `${perGb(micros)} s/GB  ${thread}`,
      ...hottest.map((frame) => `${perGb(frame.micros)}         ${frame.name}`),
    ]);
  return `${lines.join('\n')}\n`;
}
