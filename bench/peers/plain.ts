/** Copies that verify nothing and hide nothing: `cp` on the disk, `socat` over loopback. What they take is the floor. */

import { MIB } from '../../src/protocol/limits.ts';
import { endedChildrenCpuSeconds } from '../support/measure.ts';
import { freePort } from '../support/network.ts';
import { missingCommand } from '../support/tools.ts';
import type { PeerKind, Taken } from './peer.ts';

const SOCAT_BLOCK_BYTES = MIB;

/** What it takes to run processes from their start to their end. */
async function taken(run: () => Promise<unknown>): Promise<Taken> {
  const cpuBefore = endedChildrenCpuSeconds();
  const startedMs = performance.now();
  await run();
  const seconds = (performance.now() - startedMs) / 1000;
  return { seconds, cpuSeconds: endedChildrenCpuSeconds() - cpuBefore };
}

export const cp: PeerKind = {
  name: 'cp',
  seedersMax: 1,
  missing: () => undefined,
  start: async ({ workspace, source }) => ({
    seed: async () => {},
    // A clone of the file would copy nothing.
    download: (_, directory) =>
      taken(() => workspace.start('cp', 'cp', ['--reflink=never', source, `${directory}/${source}`]).success()),
  }),
};

export const socat: PeerKind = {
  name: 'socat',
  seedersMax: 1,
  missing: () => missingCommand('socat'),
  start: async ({ workspace, source }) => ({
    seed: async () => {},
    async download(_, directory) {
      const port = await freePort();
      const block = ['-u', '-b', String(SOCAT_BLOCK_BYTES)];
      const receiver = [...block, `TCP-LISTEN:${port},bind=127.0.0.1,reuseaddr`, `CREATE:${directory}/${source}`];
      const sender = [...block, `OPEN:${source},rdonly`, `TCP:127.0.0.1:${port},retry=1000,interval=0.005`];
      return taken(() =>
        Promise.all([receiver, sender].map((args) => workspace.start('socat', 'socat', args).success())),
      );
    },
  }),
};
