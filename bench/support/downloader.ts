/**
 * A process that downloads one file through the library and tells how its event loop fared. Started by benches:
 *
 *   node downloader.ts <user> <password> <group> <file name> <destination> <the client program's own arguments>
 *
 * Says `{"ready":true}` when it has logged in, downloads on a line of input, says what it measured, and ends with its
 * input, so that whoever started it can read its counters in between.
 */
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { Client } from '../../src/main/index.ts';
import { parseFlags } from '../../src/main/shell/flags.ts';

const RESOLUTION_MS = 1;

const [user = '', password = '', group = '', name = '', destination = '', ...words] = process.argv.slice(2);
const { stdout, stderr } = process;
const parsed = parseFlags(words, { stdout: stderr, stderr, parallelism: availableParallelism() });
if (!('flags' in parsed)) throw new Error('downloader: see the arguments above');
const say = (fields: object) => void stdout.write(`${JSON.stringify(fields)}\n`);

const client = await Client.start(parsed.flags.options);
await client.login(user, password);
const input = createInterface({ input: process.stdin });
const ended = once(input, 'close');
say({ ready: true });
await once(input, 'line');

const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
delay.enable();
const startedMs = performance.now();
const download = await client.downloadFile(group, name, destination);
const { pieceCount } = await download.done;
const seconds = (performance.now() - startedMs) / 1000;
delay.disable();
// The histogram holds whole intervals between two looks; what is over the interval that was asked for is delay.
const delayMs = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - RESOLUTION_MS);
say({ seconds, pieceCount, loopP99Ms: delayMs(delay.percentile(99)), loopMaxMs: delayMs(delay.max) });
await ended;
await client.close();
