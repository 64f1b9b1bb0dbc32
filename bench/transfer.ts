/**
 * `pnpm bench transfer`: one file from one seeder, and from four, to one downloader, beside what people would take
 * instead, each in processes of its own, and beside plain copies. Each copies once to warm up (and that copy is
 * compared with the source by a program of nobody's here), then they take turns.
 */
import { GIB, MIB, PIECE_BYTES_DEFAULT } from '../src/protocol/limits.ts';
import { aria2 } from './peers/aria2.ts';
import { Course } from './peers/course.ts';
import { libtorrent } from './peers/libtorrent.ts';
import { ours } from './peers/ours.ts';
import type { Load, PeerKind, Taken } from './peers/peer.ts';
import { cp, socat } from './peers/plain.ts';
import { webtorrent } from './peers/webtorrent.ts';
import { countFlag, countsFlag, defineBench, namesFlag, sizeFlag } from './support/bench.ts';
import { note, type Report } from './support/report.ts';
import { type Contender, takeTurns } from './support/rounds.ts';
import { Workspace } from './support/workspace.ts';
import { nameOf, reportTransfer } from './transfer-report.ts';

const KINDS: readonly PeerKind[] = [ours, libtorrent, aria2, webtorrent, socat, cp];
const NAMES = KINDS.map(({ name }) => name);
const OTHER_BYTES = 256 * MIB;

export const transfer = defineBench({
  what: 'a file from 1 and from 4 seeders, beside other programs',
  flags: {
    size: sizeFlag('size of the file', 256 * MIB, GIB, 2 * GIB),
    rounds: countFlag('rounds, each of them once', 2, 3, 5),
    seeders: countsFlag('numbers of seeders', [1, 4]),
    pieceSize: sizeFlag('size of the pieces, of all that have pieces', PIECE_BYTES_DEFAULT),
    with: namesFlag('who takes part', NAMES, NAMES),
  },
  async run({ size: sizeBytes, rounds, seeders: counts, pieceSize: pieceBytes, with: names }): Promise<Report> {
    const workspace = new Workspace('p2p-bench', 2 * sizeBytes + OTHER_BYTES);
    try {
      const course = new Course(workspace);
      const load = await course.load('source.bin', sizeBytes, pieceBytes);
      const kinds = KINDS.filter(({ name }) => names.includes(name));
      const missing = kinds.flatMap((kind) => {
        const command = kind.missing();
        return command === undefined ? [] : [{ name: kind.name, command }];
      });
      for (const { name, command } of missing)
        note(`${name} is not installed, so it takes no part: ${command} (all of them: pnpm bench:peers)`);
      const here = kinds.filter((kind) => !missing.some(({ name }) => name === kind.name));
      const contenders = await contendersOf(course, load, here, counts);
      const taken = await takeTurns(contenders, {
        rounds,
        warmedUp: (name) => course.check(name),
        told: ({ seconds }) => `${(sizeBytes / 1e9 / seconds).toFixed(2)} GB/s`,
      });
      return reportTransfer({ sizeBytes, pieceBytes, counts, names: here.map(({ name }) => name), missing }, taken);
    } finally {
      await workspace.close();
    }
  },
});

/** Starts the seeders of all, and gives a contender for each kind and number of seeders. */
async function contendersOf(
  course: Course,
  load: Load,
  kinds: readonly PeerKind[],
  counts: readonly number[],
): Promise<Contender<Taken>[]> {
  const contenders: Contender<Taken>[] = [];
  for (const kind of kinds) {
    const own = counts.filter((count) => count <= (kind.seedersMax ?? count));
    if (own.length === 0) continue;
    note(`starting ${kind.name}`);
    const peer = await kind.start(load);
    await peer.seed(own);
    for (const count of own) contenders.push(course.contender(nameOf(kind.name, count), load, peer, count));
  }
  return contenders;
}
