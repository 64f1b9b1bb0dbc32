/**
 * Three members of an etcd on loopback, the leader killed (SIGKILL) and started again every five seconds, under clients of
 * two trackers.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { etcdRun } from '../support/etcd-run.ts';

const KILL_EVERY_MS = 5_000;

/** Throws when anything acknowledged is lost, anything is there twice, or a position is empty. */
export async function soakEtcd(minutes: number, clients: number, print: (text: string) => void): Promise<void> {
  const startedMs = performance.now();
  const report = await etcdRun({
    clients,
    async next(kills, acknowledged) {
      if (kills > 0 && kills % 6 === 0) print(`${kills} leaders killed, ${acknowledged()} acknowledged`);
      await delay(KILL_EVERY_MS);
      return performance.now() - startedMs < minutes * 60_000;
    },
  });
  print(`${minutes} minutes on etcd under ${clients} clients: ${JSON.stringify(report)}`);
  const { lost, doubled, gaps, digests } = report;
  if (lost > 0 || doubled > 0 || gaps > 0 || new Set(digests).size !== 1) throw new Error('not what was promised');
}
