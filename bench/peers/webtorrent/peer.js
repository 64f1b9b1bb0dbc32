/**
 * One WebTorrent peer, driven line by line. Started by bench/peers/webtorrent.ts:
 *
 *   peer.js seed TORRENT DIRECTORY      checks what lies there, says {"port": n}, serves until its input ends
 *   peer.js download TORRENT DIRECTORY  says {"port": n}; a line of input with ports, separated by spaces, is the command
 *                                       to fetch from them: says {"seconds": s} when done
 *
 * TCP in the clear: no encryption, no uTP, no WebRTC, no discovery; peers are told of each other.
 */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import WebTorrent from 'webtorrent';

const HOST = '127.0.0.1';
const OPTIONS = {
  dht: false,
  tracker: false,
  lsd: false,
  utPex: false,
  natUpnp: false,
  natPmp: false,
  utp: false,
  secure: 0,
};

const [role, torrentPath, path] = process.argv.slice(2);
const torrentFile = readFileSync(torrentPath);
const say = (fields) => void process.stdout.write(`${JSON.stringify(fields)}\n`);
const input = createInterface({ input: process.stdin });
const inputEnded = once(input, 'close');
const client = new WebTorrent(OPTIONS);
client.on('error', (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});

if (role === 'seed') {
  const torrent = client.add(torrentFile, { path });
  await once(torrent, 'done');
  say({ port: client.torrentPort });
} else {
  if (client.torrentPort === 0) await once(client, 'listening');
  say({ port: client.torrentPort });
  const [ports] = await once(input, 'line');
  const startedMs = performance.now();
  const torrent = client.add(torrentFile, { path });
  torrent.once('infoHash', () => {
    for (const port of ports.split(' ')) torrent.addPeer(`${HOST}:${port}`);
  });
  await once(torrent, 'done');
  say({ seconds: (performance.now() - startedMs) / 1000 });
}
await inputEnded;
process.exit(0);
