/** A way through TCP that can be muffled at a certain request: that still arrives, and no answer comes back. */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';

export class MuffledProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isMuffled = false;
  #cue: { readonly text: string; readonly heard: () => void } | undefined;

  private constructor(target: { host: string; port: number }) {
    this.#server = createServer((client) => {
      const upstream = connect(target);
      for (const socket of [client, upstream]) {
        this.#sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => {
          this.#sockets.delete(socket);
          client.destroy();
          upstream.destroy();
        });
      }
      client.on('data', (bytes) => {
        if (this.#cue && bytes.includes(this.#cue.text)) {
          this.#isMuffled = true;
          this.#cue.heard();
          this.#cue = undefined;
        }
        upstream.write(bytes);
      });
      upstream.on('data', (bytes) => {
        if (!this.#isMuffled) client.write(bytes);
      });
    });
  }

  static async to(endpoint: string): Promise<MuffledProxy> {
    const [host = '', port = ''] = endpoint.split(':');
    const proxy = new MuffledProxy({ host, port: Number(port) });
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get endpoint(): string {
    const address = this.#server.address();
    if (address === null || typeof address === 'string') throw new Error('not listening');
    return `127.0.0.1:${address.port}`;
  }

  /** From a request on that contains this. Resolves when it came by. */
  muffleAt(text: string): Promise<void> {
    return new Promise((heard) => {
      this.#cue = { text, heard };
    });
  }

  /** What was kept back is gone: those connections break. */
  unmuffle(): void {
    this.#isMuffled = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}
