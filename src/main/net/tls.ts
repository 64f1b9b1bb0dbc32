/**
 * TLS 1.3 with a certificate on both ends, pinned by the public key's hash before a byte of ours is read.
 * `listen` accepts, `dial` connects; both give Connections. There is no plaintext mode and no session resumption.
 */
import { constants, type X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { type ConnectionOptions, connect, createServer, type TLSSocket, type Server as TlsServer } from 'node:tls';
import { RequestError } from '../../protocol/errors.ts';
import type { DeviceId, TrackerId } from '../../protocol/ids.ts';
import { keyId } from '../../protocol/signed.ts';
import { type Address, formatAddress } from '../../protocol/tracker-info.ts';
import { Connection, type ConnectionHandler } from './connection.ts';
import type { Identity } from './identity.ts';

export type Protocol = 'p2pfs-tracker/1' | 'p2pfs-replica/1' | 'p2pfs-peer/1';

const HANDSHAKE_MS_MAX = 10_000;

const common = (identity: Identity, protocols: readonly Protocol[]) => ({
  key: identity.keyPem,
  cert: identity.certPem,
  minVersion: 'TLSv1.3' as const,
  maxVersion: 'TLSv1.3' as const,
  ciphers: 'TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256',
  ALPNProtocols: [...protocols],
  secureOptions: constants.SSL_OP_NO_TICKET,
  // Certificates are self-signed: who is there is decided by the key's hash, below.
  rejectUnauthorized: false,
});

/** The id that the other side's certificate proved; undefined when it showed none. */
function provenId(socket: TLSSocket): (DeviceId & TrackerId) | undefined {
  const certificate: X509Certificate | undefined = socket.getPeerX509Certificate();
  if (!certificate || socket.isSessionReused()) return undefined;
  try {
    return keyId(certificate.publicKey.export({ type: 'spki', format: 'der' }));
  } catch {
    // A kind of key that TLS knows and Node's crypto does not.
    return undefined;
  }
}

export interface Listener {
  readonly address: Address;
  readonly connectionCount: number;
  /** Stops accepting and closes every connection. */
  close(): Promise<void>;
}

/**
 * Listens; `accept` is given each new connection and returns who hears of its frames, or undefined to refuse it.
 * Throws RequestError('port-taken') when the address can't be had.
 */
export async function listen(options: {
  address: Address;
  identity: Identity;
  /** What is spoken here; where it is several, the dialling side chooses. */
  protocol: Protocol | readonly Protocol[];
  connectionsMax: number;
  accept(connection: Connection, protocol: Protocol): ConnectionHandler | undefined;
}): Promise<Listener> {
  const { address, identity, connectionsMax, accept } = options;
  const protocols = [options.protocol].flat();
  const connections = new Set<Connection>();
  const server: TlsServer = createServer({
    ...common(identity, protocols),
    requestCert: true,
    handshakeTimeout: HANDSHAKE_MS_MAX,
  });
  server.maxConnections = connectionsMax;
  server.on('tlsClientError', () => {});
  /** Those still in their handshake too: closing waits for none of them. */
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('secureConnection', (socket) => {
    const peerId = provenId(socket);
    const protocol = protocols.find((spoken) => spoken === socket.alpnProtocol);
    if (!peerId || !protocol) {
      socket.on('error', () => {});
      socket.destroy();
      return;
    }
    const connection = new Connection(socket, peerId);
    const handler = accept(connection, protocol);
    if (!handler) {
      connection.close();
      return;
    }
    connection.attach(handler);
    connections.add(connection);
    socket.once('close', () => connections.delete(connection));
    socket.on('data', (chunk) => connection.receivedChunk(chunk));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, address)));
    server.listen({ host: address.host, port: address.port, backlog: 4096 }, resolve);
  });
  server.on('error', () => {});
  const bound = server.address();
  return {
    address: { host: address.host, port: typeof bound === 'object' && bound ? bound.port : address.port },
    get connectionCount() {
      return connections.size;
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const connection of connections) connection.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function listenError(error: NodeJS.ErrnoException, address: Address): RequestError {
  const where = formatAddress(address);
  if (error.code === 'EADDRINUSE') {
    return new RequestError('port-taken', `${where} is taken by another program`, 'quit it, or choose another port');
  }
  if (error.code === 'EADDRNOTAVAIL') {
    return new RequestError(
      'port-taken',
      `${where} is not an address of this machine`,
      'give one that `ip addr` lists',
    );
  }
  return new RequestError('port-taken', `can't listen on ${where}: ${error.message}`);
}

/**
 * Connects, and checks who answers: `trusts` is asked with the proven id before anything of ours is read or sent.
 * Rejects with RequestError('pin-mismatch') when it says no, with the system's error when nobody answers.
 */
export async function dial(options: {
  address: Address;
  identity: Identity;
  protocol: Protocol;
  trusts(peerId: DeviceId & TrackerId): boolean;
  handler: ConnectionHandler;
  timeoutMs: number;
  signal?: AbortSignal;
}): Promise<Connection> {
  const { address, identity, protocol, trusts, handler, timeoutMs, signal } = options;
  let connection: Connection | undefined;
  const early = new Uint8Array(1);
  const socket = connect({
    ...common(identity, [protocol]),
    host: address.host,
    port: address.port,
    checkServerIdentity: () => undefined,
    onread: {
      buffer: () => connection?.target() ?? early,
      // The memory for the first byte had to be named before there was a connection.
      callback: (bytes: number, memory: Uint8Array) => {
        if (memory === early) connection?.receivedChunk(early.subarray(0, bytes));
        else connection?.received(bytes);
        return true;
      },
    },
  } as ConnectionOptions);
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => fail(new Error('it does not answer')), timeoutMs);
    const abort = () => fail(new Error('given up'));
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      socket.off('error', fail);
      socket.off('close', lost);
    };
    const fail = (error: Error) => {
      done();
      socket.on('error', () => {});
      socket.destroy();
      reject(error);
    };
    const lost = () => fail(new Error('it closed the connection during the handshake'));
    socket.once('error', fail);
    socket.once('close', lost);
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted) abort();
    socket.once('secureConnect', () => {
      const peerId = provenId(socket);
      if (!peerId || socket.alpnProtocol !== protocol) {
        fail(new Error(`it does not speak ${protocol}`));
      } else if (trusts(peerId)) {
        done();
        connection = new Connection(socket, peerId);
        connection.attach(handler);
        resolve();
      } else {
        fail(
          new RequestError('pin-mismatch', `${formatAddress(address)} shows the key ${peerId}, which is not its pin`),
        );
      }
    });
  });
  if (!connection) throw new Error('unreachable: resolved without a connection');
  return connection;
}
