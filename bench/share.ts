/**
 * `pnpm bench share`: how long `upload_file` takes over a file that the page cache holds, until the tracker has
 * acknowledged it, beside programs that only hash: `b3sum` (BLAKE3, as ours, on as many threads as there are cores; and
 * on one) and `sha1sum` (what BitTorrent hashes with).
 */
import { availableParallelism } from 'node:os';
import * as v from 'valibot';
import { formatSize, table } from '../src/main/shell/format.ts';
import { GIB, MIB } from '../src/protocol/limits.ts';
import { countFlag, defineBench, sizeFlag } from './support/bench.ts';
import { writeRandomFile } from './support/files.ts';
import { cpuSeconds, endedChildrenCpuSeconds } from './support/measure.ts';
import { Network } from './support/network.ts';
import { note, type Report, spread } from './support/report.ts';
import { type Contender, type Rounds, takeTurns } from './support/rounds.ts';
import { type ShellClient, sharedSchema } from './support/shell-client.ts';
import { missingCommand } from './support/tools.ts';
import { Workspace } from './support/workspace.ts';

const SOURCE = 'source.bin';
const OTHER_BYTES = 256 * MIB;
const OURS = 'upload_file';
const B3SUM = 'b3sum';

interface Taken {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

export const share = defineBench({
  what: 'hashing a file to share it, beside b3sum and sha1sum',
  flags: {
    size: sizeFlag('size of the file', 512 * MIB, 2 * GIB),
    rounds: countFlag('rounds, each of them once', 3, 5, 9),
  },
  async run({ size, rounds }): Promise<Report> {
    const workspace = new Workspace('p2p-bench-share', size + OTHER_BYTES);
    try {
      writeRandomFile(workspace.path(SOURCE), size);
      const network = await Network.start(workspace);
      const seeder = await network.client('seeder');
      await network.enroll(seeder);
      const lacking = missingCommand('b3sum');
      if (lacking !== undefined) note(`b3sum is not installed, so it takes no part: ${lacking}`);
      const contenders = [
        uploading(seeder),
        ...(lacking === undefined ? [hashing(workspace, B3SUM), hashing(workspace, B3SUM, '--num-threads', '1')] : []),
        hashing(workspace, 'sha1sum'),
      ];
      const taken = await takeTurns(contenders, {
        rounds,
        told: ({ seconds }) => `${(size / 1e9 / seconds).toFixed(2)} GB/s`,
      });
      return report(
        size,
        contenders.map(({ name }) => name),
        taken,
      );
    } finally {
      await workspace.close();
    }
  },
});

/** Into a new group each time: a group that has the file need not take it again. */
function uploading(seeder: ShellClient): Contender<Taken> {
  let number = 0;
  return {
    name: OURS,
    async run() {
      number += 1;
      const group = `bench-${number}`;
      await seeder.command('create_group', group);
      const cpuBefore = cpuSeconds(seeder.child.pid);
      const { elapsedMs } = v.parse(sharedSchema, await seeder.command('upload_file', SOURCE, group));
      return { seconds: elapsedMs / 1000, cpuSeconds: cpuSeconds(seeder.child.pid) - cpuBefore };
    },
  };
}

function hashing(workspace: Workspace, command: string, ...flags: readonly string[]): Contender<Taken> {
  return {
    name: [command, ...flags].join(' '),
    async run() {
      const [cpuBefore, startedMs] = [endedChildrenCpuSeconds(), performance.now()];
      await workspace.start(command, command, [...flags, SOURCE]).success();
      const seconds = (performance.now() - startedMs) / 1000;
      return { seconds, cpuSeconds: endedChildrenCpuSeconds() - cpuBefore };
    },
  };
}

function report(sizeBytes: number, names: readonly string[], taken: Rounds<Taken>): Report {
  const sizeGb = sizeBytes / 1e9;
  const rate = ({ seconds }: Taken) => sizeGb / seconds;
  const lines = names.map((name) => ({
    name,
    gbPerSecond: taken.of(name, rate),
    oursOverIt: taken.ratio(OURS, name, rate),
    cpuSecondsPerGb: taken.of(name, (one) => one.cpuSeconds / sizeGb),
  }));
  return {
    title: `${formatSize(sizeBytes)} hashed on ${availableParallelism()} cores, medians of ${taken.count}`,
    text: table(
      [
        ['', 'GB/s', 'SPREAD', 'OURS / IT', 'SPREAD', 'CPU s/GB'],
        ...lines.map(({ name, gbPerSecond, oursOverIt, cpuSecondsPerGb }) => [
          name,
          gbPerSecond.median.toFixed(2),
          spread(gbPerSecond),
          name === OURS ? '' : oursOverIt.median.toFixed(2),
          name === OURS ? '' : spread(oursOverIt),
          cpuSecondsPerGb.median.toFixed(2),
        ]),
      ],
      new Set([1, 3, 5]),
    ),
    data: { sizeBytes, lines, rounds: taken.raw() },
    chart: [{ unit: 'GB/s', bars: lines.map(({ name, gbPerSecond }) => ({ label: name, value: gbPerSecond })) }],
  };
}
