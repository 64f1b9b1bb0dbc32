/**
 * `pnpm bench swarm`: one seeder, several downloaders at once, each a process of its own, with rate limits so that the
 * machine's cores are not what limits them. Told are the times beside the bound that no scheme can beat,
 * max(F/u_seed, F/d, N·F/(u_seed + Σu)), and how many copies the seeder had to send.
 */
import * as v from 'valibot';
import { formatSize, table } from '../src/main/shell/format.ts';
import { MIB } from '../src/protocol/limits.ts';
import { outsideDigest, writeRandomFile } from './support/files.ts';
import { Network } from './support/network.ts';
import { Workspace } from './support/workspace.ts';

export interface SwarmOptions {
  readonly sizeBytes: number;
  readonly downloaders: number;
  /** Each way, of each client. */
  readonly bytesPerSecond: number;
  readonly json: boolean;
}

export const SWARM_DEFAULTS: SwarmOptions = {
  sizeBytes: 256 * MIB,
  downloaders: 8,
  bytesPerSecond: 20_000_000,
  json: false,
};

const GROUP = 'bench';
const SOURCE = 'source.bin';
const OTHER_BYTES = 256 * MIB;
const uploadsSchema = v.object({ sentBytes: v.number() });

export async function swarm(options: SwarmOptions): Promise<void> {
  const { sizeBytes, downloaders, bytesPerSecond: rate } = options;
  const workspace = new Workspace('p2p-bench-swarm', (downloaders + 1) * sizeBytes + OTHER_BYTES);
  try {
    writeRandomFile(workspace.path(SOURCE), sizeBytes);
    const network = await Network.start(workspace);
    const limits = ['--upload-limit', String(rate), '--download-limit', String(rate)];
    const seeder = await network.client('seeder', limits);
    const others = [];
    for (let n = 1; n <= downloaders; n += 1) others.push(await network.client(`peer-${n}`, limits));
    await network.form(GROUP, [seeder, ...others]);
    await seeder.command('upload_file', SOURCE, GROUP);
    const startedMs = performance.now();
    const seconds = await Promise.all(
      others.map(async (peer) => {
        await peer.download([GROUP, SOURCE, `${peer.child.name}/copy.bin`], () => {});
        return (performance.now() - startedMs) / 1000;
      }),
    );
    const { sentBytes } = v.parse(uploadsSchema, await seeder.command('show_uploads'));
    const { hex } = await outsideDigest(workspace.path(SOURCE));
    for (const peer of others) {
      const copy = await outsideDigest(workspace.path(peer.child.name, 'copy.bin'));
      if (copy.hex !== hex) throw new Error(`${peer.child.name} has a copy that differs`);
    }
    const boundSeconds = Math.max(sizeBytes / rate, (downloaders * sizeBytes) / (rate * (1 + downloaders)));
    const last = Math.max(...seconds);
    const report = {
      ...options,
      boundSeconds,
      seconds,
      last,
      overBound: last / boundSeconds,
      seederCopies: sentBytes / sizeBytes,
    };
    process.stdout.write(`${options.json ? JSON.stringify(report) : describe(report)}\n`);
    await network.quit();
  } finally {
    await workspace.close();
  }
}

function describe(report: {
  sizeBytes: number;
  downloaders: number;
  bytesPerSecond: number;
  boundSeconds: number;
  seconds: readonly number[];
  last: number;
  overBound: number;
  seederCopies: number;
}): string {
  const { seconds } = report;
  const mbs = (report.bytesPerSecond / 1e6).toFixed(0);
  return [
    `${formatSize(report.sizeBytes)} from 1 seeder to ${report.downloaders} downloaders at once, ${mbs} MB/s each way`,
    '',
    table([
      ['bound', `${report.boundSeconds.toFixed(1)} s`],
      ['first done', `${Math.min(...seconds).toFixed(1)} s`],
      ['last done', `${report.last.toFixed(1)} s, ${report.overBound.toFixed(2)} of the bound`],
      ['seeder sent', `${report.seederCopies.toFixed(2)} copies`],
    ]),
  ].join('\n');
}
