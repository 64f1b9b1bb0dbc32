/**
 * A tracker as a process of its own, `node tracker-process.ts <data directory>`, like the program but for two things: it
 * takes any free port, and it lets one address check as many passwords as it likes, since a bench has all its users at
 * one address. `quit` ends it.
 */
import { createInterface } from 'node:readline';
import { createLogger } from '../../src/main/support/logger.ts';
import { Tracker } from '../../src/main/tracker/node.ts';

const UNLIMITED = { perAddressMax: Number.MAX_SAFE_INTEGER, perAccountMax: Number.MAX_SAFE_INTEGER, windowMs: 60_000 };

const tracker = await Tracker.start({
  address: { host: '127.0.0.1', port: 0 },
  dataDir: process.argv[2] ?? 'tracker-data',
  accountLimits: UNLIMITED,
  logger: createLogger('tracker', 'warn'),
});
process.stdout.write(`${JSON.stringify(tracker.address)}\n`);
for await (const line of createInterface({ input: process.stdin })) if (line === 'quit') break;
await tracker.close();
process.exit(0);
