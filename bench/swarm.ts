/**
 * `pnpm bench swarm`: one seeder, several downloaders that begin at once, each a process of its own. Once without limits:
 * how many bytes all of them together move a second, and at what cost. Once with rate limits, so that the machine's
 * cores are not what limits them: the times beside the bound that no scheme can beat, max(F/u_seed, F/d,
 * N·F/(u_seed + Σu)), and how many copies the seeder had to send.
 */
import * as v from 'valibot';
import { formatSize, table } from '../src/main/shell/format.ts';
import { GIB, MIB } from '../src/protocol/limits.ts';
import { countFlag, defineBench, sizeFlag } from './support/bench.ts';
import { outsideDigest, writeRandomFile } from './support/files.ts';
import { cpuSeconds, summarize } from './support/measure.ts';
import { Network } from './support/network.ts';
import { note, type Report } from './support/report.ts';
import type { ShellClient } from './support/shell-client.ts';
import { Workspace } from './support/workspace.ts';

const GROUP = 'bench';
const SOURCE = 'source.bin';
const OTHER_BYTES = 256 * MIB;
const uploadsSchema = v.object({ sentBytes: v.number() });

interface Run {
  readonly sizeBytes: number;
  readonly downloaders: number;
  /** From the command to the end of each download. */
  readonly seconds: readonly number[];
  readonly lastSeconds: number;
  readonly seederCopies: number;
  readonly cpuSecondsPerGb: number;
  /** All that arrived, at all of them together. */
  readonly gbPerSecond: number;
}

export const swarm = defineBench({
  what: '1 seeder and 8 downloaders at once, unlimited and against the bound',
  flags: {
    size: sizeFlag('size of the file of the unlimited run', 64 * MIB, 256 * MIB, GIB),
    limitedSize: sizeFlag('size of the file of the limited run', 64 * MIB, 256 * MIB),
    downloaders: countFlag('downloaders', 8),
    rate: sizeFlag('bytes a second each way of each client, in the limited run', 20_000_000),
  },
  async run({ size, limitedSize, downloaders, rate }): Promise<Report> {
    note('unlimited');
    const unlimited = await measure(size, downloaders, []);
    note('limited');
    const limits = ['--upload-limit', String(rate), '--download-limit', String(rate)];
    const limited = await measure(limitedSize, downloaders, limits);
    const boundSeconds = Math.max(limitedSize / rate, (downloaders * limitedSize) / (rate * (1 + downloaders)));
    return report(unlimited, { ...limited, rate, boundSeconds, overBound: limited.lastSeconds / boundSeconds });
  },
});

async function measure(sizeBytes: number, downloaders: number, limits: readonly string[]): Promise<Run> {
  const workspace = new Workspace('p2p-bench-swarm', (downloaders + 1) * sizeBytes + OTHER_BYTES);
  try {
    writeRandomFile(workspace.path(SOURCE), sizeBytes);
    const network = await Network.start(workspace);
    const seeder = await network.client('seeder', limits);
    const others: ShellClient[] = [];
    for (let n = 1; n <= downloaders; n += 1) others.push(await network.client(`peer-${n}`, limits));
    await network.form(GROUP, [seeder, ...others]);
    await seeder.command('upload_file', SOURCE, GROUP);
    const cpu = () => [seeder, ...others].reduce((sum, { child }) => sum + cpuSeconds(child.pid), 0);
    const cpuBefore = cpu();
    const startedMs = performance.now();
    const seconds = await Promise.all(
      others.map(async (peer) => {
        await peer.download([GROUP, SOURCE, `${peer.child.name}/copy.bin`], () => {});
        return (performance.now() - startedMs) / 1000;
      }),
    );
    const movedGb = (downloaders * sizeBytes) / 1e9;
    const cpuSecondsPerGb = (cpu() - cpuBefore) / movedGb;
    const { sentBytes } = v.parse(uploadsSchema, await seeder.command('show_uploads'));
    const { hex } = await outsideDigest(workspace.path(SOURCE));
    for (const peer of others) {
      const copy = await outsideDigest(workspace.path(peer.child.name, 'copy.bin'));
      if (copy.hex !== hex) throw new Error(`${peer.child.name} has a copy that differs`);
    }
    await network.quit();
    const lastSeconds = Math.max(...seconds);
    return {
      sizeBytes,
      downloaders,
      seconds,
      lastSeconds,
      seederCopies: sentBytes / sizeBytes,
      cpuSecondsPerGb,
      gbPerSecond: movedGb / lastSeconds,
    };
  } finally {
    await workspace.close();
  }
}

interface LimitedRun extends Run {
  readonly rate: number;
  readonly boundSeconds: number;
  readonly overBound: number;
}

function report(unlimited: Run, limited: LimitedRun): Report {
  const times = ({ seconds }: Run) => summarize(seconds);
  const [free, bound] = [times(unlimited), times(limited)];
  return {
    title: `1 seeder to ${unlimited.downloaders} downloaders at once`,
    text: table([
      [`unlimited, ${formatSize(unlimited.sizeBytes)}`, ''],
      ['  moved, all together', `${unlimited.gbPerSecond.toFixed(2)} GB/s`],
      ['  CPU, all together', `${unlimited.cpuSecondsPerGb.toFixed(2)} s/GB`],
      ['  first and last done', `${free.min.toFixed(1)} s and ${free.max.toFixed(1)} s`],
      ['  seeder sent', `${unlimited.seederCopies.toFixed(2)} copies`],
      [`${(limited.rate / 1e6).toFixed(0)} MB/s each way, ${formatSize(limited.sizeBytes)}`, ''],
      ['  bound', `${limited.boundSeconds.toFixed(1)} s`],
      ['  first done', `${bound.min.toFixed(1)} s`],
      ['  last done', `${bound.max.toFixed(1)} s, ${limited.overBound.toFixed(2)} of the bound`],
      ['  seeder sent', `${limited.seederCopies.toFixed(2)} copies`],
    ]),
    data: { unlimited, limited },
    chart: [
      {
        unit: `seconds until a downloader has it (median, first, last)`,
        bars: [
          { label: `unlimited, ${formatSize(unlimited.sizeBytes)}`, value: free },
          { label: `limited, ${formatSize(limited.sizeBytes)}`, value: bound },
          { label: 'limited, the bound', value: summarize([limited.boundSeconds]) },
        ],
      },
    ],
  };
}
