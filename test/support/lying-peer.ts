/** A member who announces a file and answers every request with the right number of wrong bytes. */
import { randomBytes } from 'node:crypto';
import { Calls } from '../../src/main/net/calls.ts';
import { newIdentity } from '../../src/main/net/identity.ts';
import { dial, type Listener, listen } from '../../src/main/net/tls.ts';
import { newId } from '../../src/main/support/clock.ts';
import { encodeFrame, FrameType } from '../../src/protocol/frame.ts';
import type { RequestId } from '../../src/protocol/ids.ts';
import { OPENED_COMPLETE } from '../../src/protocol/messages.ts';
import { PieceTree } from '../../src/protocol/piece-tree.ts';
import type { ClientProcess, JsonLine } from './client-process.ts';
import type { Network } from './network.ts';
import { freePort } from './program.ts';

const requestId = () => newId<RequestId>();

export class LyingPeer {
  readonly #listener: Listener;
  readonly #hangUp: () => void;
  requestsSeen = 0;

  private constructor(listener: Listener, hangUp: () => void) {
    this.#listener = listener;
    this.#hangUp = hangUp;
  }

  /** Joins the group as `mallory`, accepted by its owner, and announces the first file of the listing. */
  static async start(network: Network, owner: ClientProcess, group: string, listing: JsonLine): Promise<LyingPeer> {
    const [record] = listing['files'] as { name: string; sizeBytes: number; pieceSizeBytes: number }[];
    if (!record) throw new Error('a file to lie about');
    const tree = new PieceTree(record.sizeBytes, record.pieceSizeBytes);
    const identity = await newIdentity();
    const address = { host: '127.0.0.1', port: await freePort() };
    let peer: LyingPeer | undefined;
    const listener = await listen({
      address,
      identity,
      protocol: 'p2pfs-peer/1',
      connectionsMax: 16,
      accept: (connection) => ({
        frame: ({ type, id, aux }) => {
          if (type === FrameType.Open) {
            connection.send(encodeFrame(FrameType.Opened, { id, aux: tree.pieceCount, flags: OPENED_COMPLETE }));
          } else if (type === FrameType.Request) {
            if (peer) peer.requestsSeen += 1;
            const body = randomBytes(tree.place(aux).lengthBytes);
            connection.send(encodeFrame(FrameType.Piece, { id, aux, body }));
          }
        },
        closed: () => {},
      }),
    });
    let calls: Calls | undefined;
    const connection = await dial({
      address: network.trackerHome.address,
      identity,
      protocol: 'p2pfs-tracker/1',
      trusts: () => true,
      timeoutMs: 10_000,
      handler: { frame: (frame) => calls?.frame(frame), closed: () => calls?.end() },
    });
    calls = new Calls(connection, () => {});
    await calls.call('create_user', { requestId: requestId(), user: 'mallory', password: 'secret' });
    await calls.call('login', { requestId: requestId(), user: 'mallory', password: 'secret' });
    await calls.call('join_group', { requestId: requestId(), group });
    await owner.done('accept_request', group, 'mallory');
    const found = await calls.call('find_file', { group, name: record.name });
    const shares = [{ group: found.group, file: found.file.file }];
    await calls.call('announce', { address, shares });
    peer = new LyingPeer(listener, () => connection.close());
    return peer;
  }

  async close(): Promise<void> {
    this.#hangUp();
    await this.#listener.close();
  }
}
