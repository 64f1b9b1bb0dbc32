/**
 * Holds many TLS connections to a tracker, each logged in and otherwise idle: `node tracker-idle.ts <port> <count>`. It
 * answers pings, says when all stand and how many still do when asked. A process of its own, for it needs as many
 * descriptors as the tracker.
 */
import { createInterface } from 'node:readline';
import { newIdentity } from '../../src/main/net/identity.ts';
import { newId } from '../../src/main/support/clock.ts';
import type { RequestId } from '../../src/protocol/ids.ts';
import { WireClient } from './wire-client.ts';

const CONNECTING_AT_ONCE = 64;
const [port, count] = process.argv.slice(2).map(Number);
if (!port || !count) throw new Error('usage: tracker-idle.ts <port> <count>');
const address = { host: '127.0.0.1', port };

/** All of them are one installation: a certificate each would take a minute to make and cost the tracker no more. */
const identity = await newIdentity();
const first = await WireClient.connect(address, identity);
const account = { user: 'idle', password: 'correct horse battery staple' };
await first.call('create_user', { requestId: newId<RequestId>(), ...account });
const { token } = await first.call('login', { requestId: newId<RequestId>(), ...account });

let standing = 1;
let begun = 1;
async function connectInTurn(): Promise<void> {
  while (begun < (count ?? 0)) {
    begun += 1;
    const wire = await WireClient.connect(address, identity);
    await wire.call('resume', { token });
    standing += 1;
    wire.failure.catch(() => {
      standing -= 1;
    });
  }
}
const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);

await Promise.all(Array.from({ length: CONNECTING_AT_ONCE }, connectInTurn));
say({ standing });
for await (const _ of createInterface({ input: process.stdin })) say({ standing });
process.exit(0);
