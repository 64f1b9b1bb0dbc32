/**
 * `pnpm bench metadata`: how a downloader begins with a file of 1 TiB. Nobody can hash that here in time, so a made-up
 * peer serves the piece tree of a file of zeros, every piece of it right; the downloader is the real client. Told are the
 * time from the command to the first request for a piece of the file, by when the 129 pieces of metadata are fetched
 * and verified, and the client's peak memory. The sparse `.part` needs a file system that has the room on paper, so a
 * tmpfs is mounted, which takes root.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { Calls } from '../src/main/net/calls.ts';
import { newIdentity } from '../src/main/net/identity.ts';
import { dial, listen } from '../src/main/net/tls.ts';
import { formatSize, table } from '../src/main/shell/format.ts';
import { newId } from '../src/main/support/clock.ts';
import { blake3 } from '../src/protocol/digest.ts';
import { encodeFrame, FrameType } from '../src/protocol/frame.ts';
import type { RequestId } from '../src/protocol/ids.ts';
import { DIGEST_BYTES, GIB, MIB, PIECE_BYTES_DEFAULT } from '../src/protocol/limits.ts';
import { OPENED_COMPLETE } from '../src/protocol/messages.ts';
import { PieceTree } from '../src/protocol/piece-tree.ts';
import { parseAddress } from '../src/protocol/tracker-info.ts';
import { defineBench, Unavailable } from './support/bench.ts';
import { peakMemoryBytes } from './support/measure.ts';
import { freeAddress, Network } from './support/network.ts';
import type { Report } from './support/report.ts';
import { Workspace } from './support/workspace.ts';

const SIZE_BYTES = 1024 * GIB;
const GROUP = 'bench';
const NAME = 'zeros.bin';
const DISK = 'disk';

/** The tree of a file of zeros: its tree file holds one digest over and over, level by level. */
function treeOfZeros(): { tree: PieceTree; treeFile: Uint8Array; root: string } {
  const tree = new PieceTree(SIZE_BYTES, PIECE_BYTES_DEFAULT);
  const digest = blake3(new Uint8Array(PIECE_BYTES_DEFAULT));
  const digests = Buffer.alloc(tree.filePieceCount * DIGEST_BYTES, digest);
  return { tree, ...tree.build(digests) };
}

/** A peer that logs in as `giant`, makes the group, shares the file and serves whatever is asked of it. */
async function startGiant(trackerAddress: string, onFilePiece: () => void) {
  const { tree, treeFile, root } = treeOfZeros();
  const zeros = new Uint8Array(PIECE_BYTES_DEFAULT);
  const identity = await newIdentity();
  const address = addressOf(await freeAddress());
  let metadataPieces = 0;
  const listener = await listen({
    address,
    identity,
    protocol: 'p2pfs-peer/1',
    connectionsMax: 4,
    accept: (connection) => ({
      frame: ({ type, id, aux }) => {
        if (type === FrameType.Open) {
          connection.send(encodeFrame(FrameType.Opened, { id, aux: tree.pieceCount, flags: OPENED_COMPLETE }));
        }
        if (type !== FrameType.Request) return;
        const { level, positionBytes, lengthBytes } = tree.place(aux);
        if (level === 0) onFilePiece();
        else metadataPieces += 1;
        const body = level === 0 ? zeros : treeFile.subarray(positionBytes, positionBytes + lengthBytes);
        connection.sendSlot(encodeFrame(FrameType.Piece, { id, aux, body }), () => {});
      },
      closed: () => {},
    }),
  });
  let calls: Calls | undefined;
  const connection = await dial({
    address: addressOf(trackerAddress),
    identity,
    protocol: 'p2pfs-tracker/1',
    trusts: () => true,
    timeoutMs: 10_000,
    handler: { frame: (frame) => calls?.frame(frame), closed: () => calls?.end() },
  });
  calls = new Calls(connection, () => {});
  const requestId = () => newId<RequestId>();
  await calls.call('create_user', { requestId: requestId(), user: 'giant', password: 'giant-123' });
  await calls.call('login', { requestId: requestId(), user: 'giant', password: 'giant-123' });
  await calls.call('create_group', { requestId: requestId(), group: GROUP });
  const file = {
    name: NAME,
    sizeBytes: SIZE_BYTES,
    pieceSizeBytes: PIECE_BYTES_DEFAULT,
    root: tree.rootOver(blake3(lastPiece(tree, treeFile))),
  };
  if (file.root !== root) throw new Error('the tree does not hang together');
  const added = await calls.call('add_file', { requestId: requestId(), group: GROUP, ...file });
  await calls.call('announce', { address, shares: [{ group: added.group, file: added.file }] });
  return {
    metadataPieces: () => metadataPieces,
    accept: (user: string) => calls.call('accept_request', { requestId: requestId(), group: GROUP, user }),
    async close() {
      connection.close();
      await listener.close();
    },
  };
}

function lastPiece(tree: PieceTree, treeFile: Uint8Array): Uint8Array {
  const { positionBytes, lengthBytes } = tree.place(tree.pieceCount - 1);
  return treeFile.subarray(positionBytes, positionBytes + lengthBytes);
}

function addressOf(text: string) {
  const address = parseAddress(text);
  if (!address) throw new Error(`${text} is no address`);
  return address;
}

export const metadata = defineBench({ what: 'how a download of 1 TiB begins', flags: {}, run: measure });

async function measure(): Promise<Report> {
  const workspace = new Workspace('p2p-bench-metadata', 512 * MIB);
  const disk = workspace.path(DISK);
  mkdirSync(disk);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=2t', 'tmpfs', disk], { stdio: 'ignore' });
  } catch {
    await workspace.close();
    throw new Unavailable('a tmpfs of 2 TiB can not be mounted: run this bench as root');
  }
  try {
    const network = await Network.start(workspace);
    const first = Promise.withResolvers<number>();
    const giant = await startGiant(network.trackerAddress, () => first.resolve(performance.now()));
    const client = await network.client('downloader');
    await client.command('create_user', 'downloader', 'downloader-123');
    await client.command('login', 'downloader', 'downloader-123');
    await client.command('join_group', GROUP);
    await giant.accept('downloader');
    const startedMs = performance.now();
    const begun = client.command('download_file', GROUP, NAME, DISK);
    const seconds = ((await first.promise) - startedMs) / 1000;
    await begun;
    const peakBytes = peakMemoryBytes(client.child.pid);
    await client.command('cancel_download', GROUP, NAME);
    const metadataPieces = giant.metadataPieces();
    await giant.close();
    return {
      title: `the first steps of a download of ${formatSize(SIZE_BYTES)}`,
      text: table([
        ['pieces of metadata fetched', String(metadataPieces)],
        ['first piece of the file asked for after', `${seconds.toFixed(2)} s`],
        ["the downloader's peak memory", formatSize(peakBytes)],
      ]),
      data: { sizeBytes: SIZE_BYTES, metadataPieces, seconds, peakBytes },
      chart: [],
    };
  } finally {
    execFileSync('umount', ['-l', disk]);
    await workspace.close();
  }
}
