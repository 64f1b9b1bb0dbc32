/** Serves one page of figures over plain HTTP, for a monitor on this machine or a trusted network. Takes no input. */
import { createServer } from 'node:http';
import { RequestError } from '../../protocol/errors.ts';
import { type Address, formatAddress } from '../../protocol/tracker-info.ts';

const CONNECTIONS_MAX = 16;
const REQUEST_MS_MAX = 5_000;

export interface MetricsServer {
  readonly address: Address;
  close(): Promise<void>;
}

/** `GET /metrics` answers with `text`. Throws RequestError('port-taken'). */
export async function serveMetrics(
  address: Address,
  contentType: string,
  text: () => Promise<string>,
): Promise<MetricsServer> {
  const server = createServer(
    { requestTimeout: REQUEST_MS_MAX, headersTimeout: REQUEST_MS_MAX },
    (request, response) => {
      if (request.method !== 'GET' || request.url !== '/metrics') {
        response.writeHead(404).end('only GET /metrics is here\n');
        return;
      }
      text().then(
        (body) => response.writeHead(200, { 'content-type': contentType }).end(body),
        () => response.writeHead(500).end(),
      );
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new RequestError('port-taken', `can't serve metrics on ${formatAddress(address)}: ${error.message}`)),
    );
    server.listen(address.port, address.host, resolve);
  });
  server.on('error', () => {});
  const bound = server.address();
  return {
    address: { host: address.host, port: typeof bound === 'object' && bound ? bound.port : address.port },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
