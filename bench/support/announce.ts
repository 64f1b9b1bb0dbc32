/**
 * The least tracker that a BitTorrent client is content with, for those that take peers from nowhere else: whoever
 * announces itself at /n/announce is told of the first n addresses that were given. It remembers nobody.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import bencode from 'bencode';

const HOST = '127.0.0.1';
/** How soon a client may ask again, in seconds: never, as far as a bench goes. */
const INTERVAL_SECONDS = 3_600;
const PEER_BYTES = 6;

/** The answer to an announcement: ports on this machine, in the compact form of BEP 23. */
export function announceAnswer(ports: readonly number[]): Uint8Array {
  const peers = Buffer.alloc(PEER_BYTES * ports.length);
  for (const [at, port] of ports.entries()) {
    peers.set(HOST.split('.').map(Number), at * PEER_BYTES);
    peers.writeUInt16BE(port, at * PEER_BYTES + 4);
  }
  return bencode.encode({ interval: INTERVAL_SECONDS, peers });
}

export class AnnounceServer {
  readonly #ports: readonly number[];
  readonly #server = createServer((request, response) => {
    const count = /^\/(\d+)\/announce\?/.exec(request.url ?? '')?.[1];
    response.statusCode = count === undefined ? 404 : 200;
    response.end(count === undefined ? undefined : announceAnswer(this.#ports.slice(0, Number(count))));
  });

  private constructor(ports: readonly number[]) {
    this.#ports = ports;
  }

  /** Does not keep the process. */
  static async start(ports: readonly number[]): Promise<AnnounceServer> {
    const announce = new AnnounceServer(ports);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    announce.#server.once('error', reject).listen(0, HOST, resolve).unref();
    await promise;
    return announce;
  }

  /** Where to announce to hear of the first `count`. */
  address(count: number): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://${HOST}:${port}/${count}/announce`;
  }

  close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    this.#server.closeAllConnections();
    return promise;
  }
}
