/**
 * Loads a tracker from a process of its own: `node tracker-load.ts <port> <clients>`. It makes a user, a group and some
 * files for each client, then does what it is told on standard input, a JSON line each time, and answers with one:
 * transactions or look-ups pipelined over all clients, logins, or look-ups one after the other, timed.
 */
import { createInterface } from 'node:readline';
import { type Identity, newIdentity } from '../../src/main/net/identity.ts';
import { newId } from '../../src/main/support/clock.ts';
import type { RequestId } from '../../src/protocol/ids.ts';
import { PIECE_BYTES_DEFAULT } from '../../src/protocol/limits.ts';
import { encodeCall, type Params } from '../../src/protocol/messages.ts';
import type { LoadOrder, LoadResult } from './tracker-bench.ts';
import { WireClient } from './wire-client.ts';

interface Loader {
  readonly wire: WireClient;
  readonly user: string;
  readonly group: string;
  readonly lookups: readonly Uint8Array[];
}

/** Files of each group that look-ups choose from. */
const FILES_PER_GROUP = 256;
const PASSWORD = 'correct horse battery staple';
const ROOT = 'ab'.repeat(32) as Params<'add_file'>['root'];

const [port, clientCount] = process.argv.slice(2).map(Number);
if (!port || !clientCount) throw new Error('usage: tracker-load.ts <port> <clients>');
const address = { host: '127.0.0.1', port };

const fileName = (number: number) => `holiday pictures/2026/rome/IMG_${String(number).padStart(7, '0')}.jpg`;
const requestId = () => newId<RequestId>();

function addFile(group: string, name: string): Uint8Array {
  const params = { group, name, sizeBytes: 4_321_987, pieceSizeBytes: PIECE_BYTES_DEFAULT, root: ROOT };
  return encodeCall('add_file', { requestId: requestId(), ...params });
}

/** A client with a user, a group of its own, and files in it. */
async function newLoader(number: number): Promise<Loader> {
  const identity: Identity = await newIdentity();
  const wire = await WireClient.connect(address, identity);
  const user = `user${number}`;
  const group = `group ${number}`;
  await wire.call('create_user', { requestId: requestId(), user, password: PASSWORD });
  await wire.call('login', { requestId: requestId(), user, password: PASSWORD });
  await wire.call('create_group', { requestId: requestId(), group });
  const names = Array.from({ length: FILES_PER_GROUP }, (_, at) => fileName(at));
  const adding = names.map((name) => addFile(group, name));
  await wire.pipeline(
    16,
    () => adding.pop(),
    () => {},
  );
  return { wire, user, group, lookups: names.map((name) => encodeCall('find_file', { group, name })) };
}

let filesMade = FILES_PER_GROUP;

/** The next call of a client, as long as there is time. */
function callOf(what: LoadOrder['what'], { user, group, lookups }: Loader): Uint8Array {
  switch (what) {
    case 'transactions':
      filesMade += 1;
      return addFile(group, fileName(filesMade));
    case 'look-ups':
    case 'probe':
      return lookups[Math.floor(Math.random() * lookups.length)] ?? new Uint8Array();
    case 'listings':
      return encodeCall('list_files', { group });
    case 'logins':
      return encodeCall('login', { requestId: requestId(), user, password: PASSWORD });
    default:
      return what satisfies never;
  }
}

async function load({ what, ms, depth }: LoadOrder, loaders: readonly Loader[]): Promise<LoadResult> {
  const startedMs = performance.now();
  const untilMs = startedMs + ms;
  let count = 0;
  const timesMs: number[] = [];
  const each = async (loader: Loader) => {
    let askedMs = 0;
    await loader.wire.pipeline(
      depth,
      () => {
        askedMs = performance.now();
        return askedMs < untilMs ? callOf(what, loader) : undefined;
      },
      () => {
        count += 1;
        if (what === 'probe') timesMs.push(performance.now() - askedMs);
      },
    );
  };
  await Promise.all((what === 'probe' ? loaders.slice(0, 1) : loaders).map(each));
  const seconds = (performance.now() - startedMs) / 1000;
  timesMs.sort((a, b) => a - b);
  const at = (share: number) => timesMs[Math.floor(share * (timesMs.length - 1))] ?? 0;
  return { count, seconds, p50: at(0.5), p99: at(0.99), max: at(1) };
}

const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);

const loaders = await Promise.all(Array.from({ length: clientCount }, (_, number) => newLoader(number)));
say('ready');
for await (const line of createInterface({ input: process.stdin })) {
  say(await load(JSON.parse(line) as LoadOrder, loaders));
}
process.exit(0);
