/**
 * What the picker costs a piece, from a small file to one of two million pieces: the way of a piece from the first
 * "have" to done, and its memory. Several peers gain pieces in random order while one that has everything and they
 * themselves are asked, so that availabilities differ and change all the time. Peers coming and going is measured apart.
 */
import { table } from '../src/main/shell/format.ts';
import { Picker } from '../src/main/swarm/picker.ts';
import { Bitfield } from '../src/protocol/bitfield.ts';
import { countFlag, defineBench } from './support/bench.ts';
import type { Bar } from './support/chart.ts';
import { summarize } from './support/measure.ts';
import type { Report } from './support/report.ts';

const PIECES = [4_096, 65_536, 2_097_152];
/** Beside the seeder. */
const GAINING_PEERS = 4;
/** In flight: taken, not yet done. */
const WINDOW = 64;
/** One piece in so many is given back once, as after a stall. */
const PUT_BACK = 32;

interface Round {
  readonly pieceNs: number;
  readonly joinNsPerPiece: number;
}

/** Numbers that a seed repeats, quick enough not to be what is measured (xorshift). */
function quickRandom(): () => number {
  let state = 0x9e3779b9;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

function shuffled(count: number, random: () => number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  for (let at = count - 1; at > 0; at -= 1) {
    const other = Math.floor(random() * (at + 1));
    const [a, b] = [order[at] ?? 0, order[other] ?? 0];
    order[at] = b;
    order[other] = a;
  }
  return order;
}

function run(pieces: number): Round {
  const random = quickRandom();
  const orders = Array.from({ length: GAINING_PEERS }, () => shuffled(pieces, random));
  const picker = new Picker<number>(pieces, random);
  picker.unlock(0, pieces, () => false);
  const joinedNs = process.hrtime.bigint();
  picker.addPeer(0, Bitfield.full(pieces));
  const joinNsPerPiece = Number(process.hrtime.bigint() - joinedNs) / pieces;
  for (let peer = 1; peer <= GAINING_PEERS; peer += 1) picker.addPeer(peer, new Bitfield(pieces));
  const window: number[] = [];
  const startNs = process.hrtime.bigint();
  for (let n = 0; n < pieces; n += 1) {
    for (const [at, order] of orders.entries()) picker.peerGained(at + 1, order[n] ?? 0);
    const index = picker.take(n % (GAINING_PEERS + 1)) ?? picker.take(0);
    if (index === undefined) throw new Error('a seeder always has something');
    window.push(index);
    if (window.length < WINDOW) continue;
    const oldest = window.shift() ?? 0;
    if (n % PUT_BACK === 0) {
      picker.putBack(oldest);
      picker.remove(oldest);
    }
  }
  return { pieceNs: Number(process.hrtime.bigint() - startNs) / pieces, joinNsPerPiece };
}

/** Bytes that a picker without peers holds, a piece; and what one more peer adds. */
function bytesPerPiece(pieces: number): { readonly own: number; readonly peer: number } {
  // Small ones many times, so that what is measured stands out.
  const count = Math.max(1, Math.round(2_097_152 / pieces));
  const used = () => {
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  globalThis.gc?.();
  const emptyBytes = used();
  const pickers = Array.from({ length: count }, () => new Picker<number>(pieces, Math.random));
  for (const one of pickers) one.unlock(0, pieces, () => false);
  const ownBytes = used();
  for (const one of pickers) one.addPeer(0, new Bitfield(pieces));
  const peerBytes = used();
  const held = pickers.length * pieces;
  return { own: (ownBytes - emptyBytes) / held, peer: (peerBytes - ownBytes) / held };
}

export const picker = defineBench({
  what: 'time and memory a piece, at 4,096 to 2,097,152 pieces',
  flags: { rounds: countFlag('rounds; small files have more', 1, 5) },
  run: async ({ rounds }) => measure(rounds),
});

/** The last column of the table compares the least disturbed round with that of the smallest file. */
function measure(rounds: number): Report {
  const bars: Bar[] = [];
  const rows = [['pieces', 'ns a piece', 'median', 'peer joins', 'bytes a piece', 'each peer', 'of the first']];
  let firstNs: number | undefined;
  for (const pieces of PIECES) {
    const memory = bytesPerPiece(pieces);
    run(pieces);
    const count = Math.ceil(rounds * Math.max(1, Math.min(10, 131_072 / pieces)));
    const results = Array.from({ length: count }, () => run(pieces));
    const pieceNs = summarize(results.map((result) => result.pieceNs));
    const { min, median } = pieceNs;
    bars.push({ label: `${pieces.toLocaleString('en')} pieces`, value: pieceNs });
    const join = summarize(results.map(({ joinNsPerPiece }) => joinNsPerPiece));
    firstNs ??= min;
    rows.push([
      String(pieces),
      min.toFixed(0),
      median.toFixed(0),
      `${((join.median * pieces) / 1e6).toFixed(2)} ms`,
      memory.own.toFixed(2),
      memory.peer.toFixed(2),
      (min / firstNs).toFixed(2),
    ]);
  }
  return {
    title: 'the way of a piece through the picker',
    text: table(rows),
    data: { rows },
    chart: [{ unit: 'ns a piece', bars }],
  };
}
