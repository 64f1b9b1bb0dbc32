/** Any one tracker is enough: two are killed 30 times under clients, and nothing acknowledged is lost or done twice. */
import { expect, test } from 'vitest';
import { killRun } from '../support/kill-run.ts';

const CLIENTS = 32;
const KILLS = 30;
const HEALED_MS_MAX = 5_000;

test(`${KILLS} kills of two trackers in turn, under ${CLIENTS} clients, lose nothing`, {
  timeout: 240_000,
}, async () => {
  const report = await killRun({ clients: CLIENTS, kills: KILLS });
  console.log(JSON.stringify(report));
  expect(report).toMatchObject({ kills: KILLS, lost: 0, doubled: 0 });
  expect(new Set(report.digests).size).toBe(1);
  expect(report.healedMs).toBeLessThan(HEALED_MS_MAX);
  expect(report.acknowledged).toBeGreaterThan(KILLS);
  expect(report.heldByBoth).toBeGreaterThan(0);
});
