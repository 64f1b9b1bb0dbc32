#!/usr/bin/env node
/**
 * The tracker program: `tracker ./tracker_info.txt 1` runs the tracker that line 1 of the file names. Parses flags,
 * builds the tracker, shuts it down on `quit`, SIGTERM or SIGINT; nothing else.
 */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { RequestError } from '../protocol/errors.ts';
import { type Address, formatAddress, parseAddress, type TrackerLine } from '../protocol/tracker-info.ts';
import { Throttle } from './shell/throttle.ts';
import { systemClock } from './support/clock.ts';
import { defaultDataDir } from './support/data-dir.ts';
import { describeError, EXIT_CODES, exitCodeOf } from './support/failures.ts';
import { createLogger, LOG_LEVELS } from './support/logger.ts';
import { readTrackerFile } from './support/tracker-file.ts';
import { standWhereTheUserStands } from './support/user-directory.ts';
import { readCommands } from './tracker/console.ts';
import { openEtcd } from './tracker/etcd-open.ts';
import { addEtcdOptions, type EtcdFlags, etcdSettings } from './tracker/etcd-settings.ts';
import { addLogCommands } from './tracker/log-commands.ts';
import { Tracker } from './tracker/node.ts';

interface Flags extends EtcdFlags {
  readonly dataDir?: string;
  readonly logLevel: string;
  readonly metrics?: Address;
}

/** Between two lines about a long log that is being received. */
const PROGRESS_MS = 1_000;

const counted = (count: number) => count.toLocaleString('en');
const say = (text: string) => process.stdout.write(`${text}\n`);

function lineNumber(text: string): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= 1) return number;
  throw new InvalidArgumentError('give a number from 1: which tracker of the file this one is');
}

function addressFlag(text: string): Address {
  const address = parseAddress(text);
  if (address) return address;
  throw new InvalidArgumentError('expected <ip>:<port>, for example 127.0.0.1:9100');
}

/** Our line, and those of the other trackers. */
function linesOf(path: string, number: number): { line: TrackerLine; others: readonly TrackerLine[] } {
  const lines = readTrackerFile(path);
  const line = lines[number - 1];
  if (line) return { line, others: lines.filter((other) => other !== line) };
  const count = lines.length === 1 ? '1 tracker' : `${lines.length} trackers`;
  throw new RequestError('tracker-info', `${path} lists ${count}, so there is no tracker ${number} in it`);
}

function greet(tracker: Tracker, path: string, number: number, line: TrackerLine): void {
  say(`tracker ${number} listens on ${formatAddress(tracker.address)}`);
  say(`pin: ${tracker.id}`);
  const { shared } = tracker.status();
  if (shared) say(`the log is kept in ${shared.where}`);
  if (tracker.others.length > 0)
    say(`in step with ${tracker.others.length} other ${tracker.others.length === 1 ? 'tracker' : 'trackers'}`);
  const { all, own } = tracker.received;
  if (all > 0) say(`received ${counted(all)} transactions from the others`);
  if (own > 0) say(`${counted(own)} of them this tracker had written itself: its data directory was not the latest`);
  if (line.pin === undefined) {
    say(`To have clients check it from the first contact on, let its line in ${path} read:`);
    say(`${line.host} ${line.port} ${tracker.id}`);
  }
  say('"quit" stops it, "help" lists what else there is');
}

async function run(path: string, number: number, flags: Flags): Promise<void> {
  const { line, others } = linesOf(path, number);
  const etcd = etcdSettings(flags);
  const { host, port, pin } = line;
  const dataDir = flags.dataDir ?? defaultDataDir(`tracker-${host.replaceAll(':', '_')}-${port}`);
  const logger = createLogger('tracker', flags.logLevel);
  const sharedLog = etcd && (() => openEtcd(etcd));
  const shown = new Throttle(systemClock, PROGRESS_MS, 'first after an interval');
  const onJoining = ({ received, of }: { received: number; of: number }) => {
    if (shown.passes('joining')) say(`receiving: ${counted(received)} of ${counted(of)} transactions`);
  };
  const tracker = await Tracker.start({ address: { host, port }, dataDir, pin, others, logger, sharedLog, onJoining });
  const stop = () => void tracker.close();
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  greet(tracker, path, number, line);
  if (flags.metrics) {
    const metrics = await tracker.serveMetrics(flags.metrics).catch(async (error) => {
      await tracker.close();
      throw error;
    });
    say(`metrics: http://${formatAddress(metrics)}/metrics`);
  }
  const stopReading = readCommands(process.stdin, say, stop, tracker);
  await tracker.ended.finally(stopReading);
  say('the tracker has stopped');
}

async function main(): Promise<number> {
  standWhereTheUserStands();
  const program = new Command('tracker')
    .description('Runs a tracker: it knows users, groups and what they share, and never sees a byte of a shared file.')
    .argument('<tracker_info>', 'file that lists the trackers, one a line: <ip> <port> [<pin>]')
    .argument('<number>', 'which of them this one is, from 1', lineNumber)
    .option('--data-dir <path>', 'where key and log are kept (default: a directory of its own for each address)')
    .addOption(new Option('--log-level <level>', 'what goes to standard error').choices(LOG_LEVELS).default('warn'))
    .option('--metrics <ip:port>', 'serve figures for Prometheus there, over plain HTTP', addressFlag)
    .showHelpAfterError('("tracker --help" shows how)')
    .exitOverride()
    // What stands behind "log export" belongs to that.
    .enablePositionalOptions()
    .action(run);
  addEtcdOptions(program, 'keep the log in etcd, together with the other trackers');
  addLogCommands(program, say);
  try {
    await program.parseAsync();
    return EXIT_CODES.done;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_CODES.done : EXIT_CODES.usage;
    process.stderr.write(`tracker: ${describeError(error)}\n`);
    return exitCodeOf(error);
  }
}

const exitCode = await main();
// Input that nobody reads any more must not keep the process; output has to be out first.
process.stdout.write('', () => process.exit(exitCode));
