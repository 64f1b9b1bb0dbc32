/**
 * `pnpm bench micro`: what the steps cost of which everything else is made, one at a time and on one core, by mitata:
 * frames, messages, entries of a log, the picker, digests, and the way to a worker and back.
 */
import { do_not_optimize, measure } from 'mitata';
import { WorkerPool } from '../src/main/engine/pool.ts';
import { newIdentity } from '../src/main/net/identity.ts';
import { formatSize, table } from '../src/main/shell/format.ts';
import { Picker } from '../src/main/swarm/picker.ts';
import { Bitfield } from '../src/protocol/bitfield.ts';
import { encodeCbor } from '../src/protocol/cbor.ts';
import { checksum } from '../src/protocol/checksum.ts';
import { blake3 } from '../src/protocol/digest.ts';
import { encodeFrame, FrameReader, FrameType } from '../src/protocol/frame.ts';
import type { DeviceId, FileId, GroupId, RequestId, Root, UserId } from '../src/protocol/ids.ts';
import { KIB, PAGE_ITEMS_MAX } from '../src/protocol/limits.ts';
import { decodeCall, decodeResult, encodeCall, type FileListing } from '../src/protocol/messages.ts';
import { GENESIS_HASH, openEntry, readEntry, sealEntry, signatureFault } from '../src/protocol/transaction.ts';
import { countFlag, defineBench } from './support/bench.ts';
import { shortNumber } from './support/chart.ts';
import { note, type Report } from './support/report.ts';

interface Step {
  readonly name: string;
  /** How many things one call does, when it is more than one. */
  readonly count?: number;
  /** Of one thing, where its speed tells more than its time. */
  readonly bytes?: number;
  run(): unknown;
}

interface Cost {
  readonly name: string;
  readonly bytes: number | undefined;
  /** Of one thing: the median, and what 99 of 100 took at most. */
  readonly ns: number;
  readonly p99Ns: number;
}

const PICKER_PIECES = 65_536;
const FRAMES = 64;
const JOBS = 64;
const NS_PER_MS = 1e6;
const SAMPLES_MIN = 12;

const hex = (digit: string, digits: number) => digit.repeat(digits);
const DEVICE = hex('d', 64) as DeviceId;
const GROUP = hex('1', 32) as GroupId;
const FILE = hex('2', 32) as FileId;
const USER = hex('3', 32) as UserId;
const REQUEST = hex('4', 32) as RequestId;
const ROOT = hex('5', 64) as Root;
const record = {
  name: 'holiday pictures/2026/rome/IMG_0004321.jpg',
  sizeBytes: 4_321_987,
  pieceSizeBytes: 512 * KIB,
  root: ROOT,
};

export const micro = defineBench({
  what: 'single steps: frames, messages, signatures, digests, the picker, a job',
  flags: { ms: countFlag('milliseconds that each is repeated for, at least', 100, 500, 1_500) },
  async run({ ms }): Promise<Report> {
    const pool = new WorkerPool(1, new SharedArrayBuffer(16 * KIB));
    const steps = [
      ...frameSteps(),
      ...messageSteps(),
      ...(await entrySteps()),
      pickerStep(),
      ...(await digestSteps()),
      ...poolSteps(pool),
    ];
    const costs: Cost[] = [];
    try {
      for (const step of steps) {
        note(step.name);
        costs.push(await costOf(step, ms));
      }
    } finally {
      await pool.close();
    }
    return report(costs);
  },
});

async function costOf({ name, count = 1, bytes, run }: Step, ms: number): Promise<Cost> {
  const { p50, p99 } = await measure(run, { min_cpu_time: ms * NS_PER_MS, min_samples: SAMPLES_MIN });
  return { name, bytes, ns: p50 / count, p99Ns: p99 / count };
}

function frameSteps(): Step[] {
  const call = encodeFrame(FrameType.Call, {
    id: 7,
    body: encodeCall('find_file', { group: 'pdfs', name: record.name }),
  });
  const chunk = Buffer.concat(Array.from({ length: FRAMES }, () => call));
  const small = new FrameReader(() => 'buffer');
  const slot = new Uint8Array(512 * KIB);
  const header = encodeFrame(FrameType.Piece, { id: 7, aux: 1, body: slot }).subarray(0, 16);
  const large = new FrameReader(() => slot);
  return [
    {
      name: 'frame reader: a call, copied from a chunk of many',
      count: FRAMES,
      run: () => {
        for (const frame of small.feed(chunk)) do_not_optimize(frame);
      },
    },
    {
      name: 'frame reader: a piece in its slot, in reads of 16 KiB',
      run: () => {
        large.target().set(header);
        large.advance(header.length);
        for (let at = 0; at < slot.length; at += 16 * KIB) do_not_optimize(large.advance(16 * KIB));
      },
    },
  ];
}

function messageSteps(): Step[] {
  const params = { requestId: REQUEST, group: 'pdfs', ...record };
  const call = encodeCall('add_file', params);
  const found = { group: GROUP, file: { file: FILE, ...record } };
  const listing: FileListing = { file: FILE, ...record, sharedBy: 'swas', seedersOnline: 3 };
  const items = Array.from({ length: PAGE_ITEMS_MAX }, () => listing);
  const result = encodeCbor(found);
  const page = encodeCbor({ items });
  return [
    { name: 'message: encode a call of add_file', run: () => do_not_optimize(encodeCall('add_file', params)) },
    { name: 'message: decode and check that call', run: () => do_not_optimize(decodeCall(call)) },
    { name: 'message: encode the answer to find_file', run: () => do_not_optimize(encodeCbor(found)) },
    { name: 'message: decode and check that answer', run: () => do_not_optimize(decodeResult('find_file', result)) },
    {
      name: `message: encode ${PAGE_ITEMS_MAX} files of list_files`,
      run: () => do_not_optimize(encodeCbor({ items })),
    },
    {
      name: `message: decode and check ${PAGE_ITEMS_MAX} files`,
      run: () => do_not_optimize(decodeResult('list_files', page)),
    },
  ];
}

async function entrySteps(): Promise<Step[]> {
  const { id, privateKey, publicKey } = await newIdentity();
  const transaction = {
    origin: id,
    epoch: 1,
    seq: 1,
    hlc: { ms: 1_800_000_000_000, counter: 0 },
    versionVector: {},
    requestId: REQUEST,
    actor: { device: DEVICE, user: USER },
    op: { type: 'file-shared', file: FILE, group: GROUP, by: USER, ...record },
  } as const;
  const { body } = openEntry(transaction);
  const entry = readEntry(sealEntry(body, GENESIS_HASH, privateKey).signed);
  return [
    { name: 'log entry: encode', run: () => do_not_optimize(openEntry(transaction)) },
    {
      name: 'log entry: chain, sign (Ed25519) and hash',
      run: () => do_not_optimize(sealEntry(body, GENESIS_HASH, privateKey)),
    },
    { name: 'log entry: decode, check and hash', run: () => do_not_optimize(readEntry(entry.signed)) },
    { name: 'log entry: verify its signature', run: () => do_not_optimize(signatureFault(entry, publicKey)) },
  ];
}

/** Of a download in the middle: a peer has everything, and each piece that was taken is given back. */
function pickerStep(): Step {
  const picker = new Picker<number>(PICKER_PIECES, Math.random);
  picker.unlock(0, PICKER_PIECES, () => false);
  picker.addPeer(0, Bitfield.full(PICKER_PIECES));
  return {
    name: `picker: take one of ${PICKER_PIECES.toLocaleString('en')} pieces and put it back`,
    run: () => {
      const index = picker.take(0);
      if (index === undefined) throw new Error('a seeder always has something');
      picker.putBack(index);
    },
  };
}

async function digestSteps(): Promise<Step[]> {
  return [16 * KIB, 512 * KIB].flatMap((bytes) => {
    const piece = new Uint8Array(new SharedArrayBuffer(bytes)).fill(7);
    return [
      { name: `BLAKE3 of ${formatSize(bytes)}`, bytes, run: () => do_not_optimize(blake3(piece)) },
      { name: `xxHash64 of ${formatSize(bytes)}`, bytes, run: () => do_not_optimize(checksum(piece)) },
    ];
  });
}

/** A job that has nothing to do. */
function poolSteps(pool: WorkerPool): Step[] {
  const tree = {
    treeFd: undefined,
    sumsFd: undefined,
    pieceCount: 1,
    sizeBytes: 1,
    pieceSizeBytes: 16 * KIB,
    root: ROOT,
  };
  const job = () => pool.run<'read'>({ type: 'read', tree, fileFd: 0, pieces: new Float64Array() });
  return [
    { name: 'Piscina: a job of no work, there and back', run: job },
    {
      name: `Piscina: the same, ${JOBS} under way`,
      count: JOBS,
      run: () => Promise.all(Array.from({ length: JOBS }, job)),
    },
  ];
}

function report(costs: readonly Cost[]): Report {
  const duration = (ns: number) => (ns < 1_000 ? `${shortNumber(ns)} ns` : `${shortNumber(ns / 1_000)} us`);
  const rows = costs.map(({ name, bytes, ns, p99Ns }) => [
    name,
    duration(ns),
    duration(p99Ns),
    bytes === undefined ? '' : `${shortNumber(bytes / ns)} GB/s`,
  ]);
  return {
    title: 'single steps, on one core',
    text: table([['', 'median', 'p99', ''], ...rows]),
    data: { costs },
    chart: [],
  };
}
