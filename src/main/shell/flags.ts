/**
 * The client program's command line (commander): what it takes, what each flag may be, and the sentence for what it may
 * not. Yields options or an exit code; touches neither disk nor network.
 */
import { CommanderError, InvalidArgumentError, Option, Command as Program } from 'commander';
import { GIB, KIB, MIB, PIECE_BYTES_DEFAULT, REQUESTS_PER_CHANNEL_MAX } from '../../protocol/limits.ts';
import { pieceSizeAllowed } from '../../protocol/piece-tree.ts';
import { type Address, parseAddress } from '../../protocol/tracker-info.ts';
import { type ClientOptions, defaultWorkers, MEMORY_BYTES_DEFAULT, PEERS_MAX_DEFAULT } from '../client/types.ts';
import { defaultDataDir } from '../support/data-dir.ts';
import { EXIT_CODES } from '../support/failures.ts';
import { LOG_LEVELS } from '../support/logger.ts';
import { formatSize } from './format.ts';
import type { TextOutput } from './view.ts';

export const MEMORY_BYTES_MIN = 8 * MIB;
const PEERS_MAX = 1000;
const WORKERS_MAX = 256;

export interface ClientFlags {
  readonly options: ClientOptions;
  /** Given with -c, in order. */
  readonly commands: readonly string[];
  readonly json: boolean;
  readonly stay: boolean;
  readonly logLevel: string;
}

export type ParsedFlags = { readonly flags: ClientFlags } | { readonly exitCode: number };

interface RawOptions {
  readonly command?: readonly string[];
  readonly json?: true;
  readonly stay?: true;
  readonly dataDir?: string;
  readonly workers: number;
  readonly memory: number;
  readonly pipeline?: number;
  readonly maxPeers: number;
  readonly pieceSize: number;
  readonly uploadLimit?: number;
  readonly downloadLimit?: number;
  readonly acceptNewPin?: true;
  readonly logLevel: string;
}

export interface FlagsContext {
  readonly stdout: TextOutput;
  readonly stderr: TextOutput;
  /** Threads that the machine runs at once. */
  readonly parallelism: number;
}

const EXAMPLES = `
Example:
  $ client 127.0.0.1:9999 ./tracker_info.txt
  $ client 127.0.0.1:9999 ./tracker_info.txt -c 'login swas 123' -c list_groups

tracker_info.txt names a tracker a line: "<ip> <port> [<pin>]", for example "127.0.0.1 9000".
Commands also come from standard input, one a line; at a terminal, type help.
Exit codes: 0 done, 1 refused, 2 usage, 3 no tracker or peer reachable, 4 integrity, 5 local disk.`;

/** `words`: the command line after the program's name. */
export function parseFlags(words: readonly string[], context: FlagsContext): ParsedFlags {
  let parsed: ClientFlags | undefined;
  const program = new Program('client')
    .description('Shares files with groups, and fetches files from their members.')
    .argument('<address>', 'where other members reach this client, as host:port', addressOf)
    .argument('<tracker_info>', 'the file that names the trackers')
    .option('-c, --command <command>', 'run this command instead of reading input; repeatable', collect)
    .option('--json', 'print each outcome and progress step as one line of JSON')
    .option('--stay', 'when commands come from -c or a pipe, keep serving after the last one')
    .option('--data-dir <path>', 'where keys, catalog and history are kept (default: one for each address)')
    .option(
      '--workers <count>',
      'threads that hash, verify and write, at most',
      wholeNumber(1, WORKERS_MAX),
      defaultWorkers(context.parallelism),
    )
    .addOption(
      new Option('--memory <size>', `memory for pieces on their way, at least ${formatSize(MEMORY_BYTES_MIN)}`)
        .argParser(memorySize)
        .default(MEMORY_BYTES_DEFAULT, '32MiB'),
    )
    .option(
      '--pipeline <count>',
      'requests in flight per peer (default: adaptive)',
      wholeNumber(1, REQUESTS_PER_CHANNEL_MAX),
    )
    .option('--max-peers <count>', 'peers connected at once', wholeNumber(1, PEERS_MAX), PEERS_MAX_DEFAULT)
    .option('--upload-limit <size>', 'bytes a second of all uploads together, such as 20MiB (default: none)', rate)
    .option('--download-limit <size>', 'bytes a second of all downloads together (default: none)', rate)
    .addOption(
      new Option('--piece-size <size>', 'pieces that upload_file cuts files into: a power of two, 16KiB to 16MiB')
        .argParser(pieceSize)
        .default(PIECE_BYTES_DEFAULT, '512KiB'),
    )
    .option('--accept-new-pin', 'accept the key that the tracker shows now in place of the one stored before')
    .addOption(
      new Option('--log-level <level>', 'what is logged to standard error').choices(LOG_LEVELS).default('error'),
    )
    .addHelpText('after', EXAMPLES)
    .showHelpAfterError('  hint: client --help explains the arguments')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
    })
    .action((address: Address, trackerInfoPath: string, raw: RawOptions) => {
      parsed = flagsOf(address, trackerInfoPath, raw);
    });
  try {
    if (words.length === 0) program.help({ error: true });
    program.parse(words, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    const isHelp = error.code === 'commander.helpDisplayed';
    return { exitCode: isHelp ? EXIT_CODES.done : EXIT_CODES.usage };
  }
  return parsed ? { flags: parsed } : { exitCode: EXIT_CODES.usage };
}

function flagsOf(address: Address, trackerInfoPath: string, raw: RawOptions): ClientFlags {
  return {
    options: {
      address,
      trackerInfoPath,
      dataDir: raw.dataDir ?? defaultDataDir(`client-${address.host.replaceAll(':', '_')}-${address.port}`),
      workers: raw.workers,
      memoryBytes: raw.memory,
      ...(raw.pipeline === undefined ? {} : { pipeline: raw.pipeline }),
      peersMax: raw.maxPeers,
      pieceSizeBytes: raw.pieceSize,
      ...(raw.uploadLimit === undefined ? {} : { uploadLimit: raw.uploadLimit }),
      ...(raw.downloadLimit === undefined ? {} : { downloadLimit: raw.downloadLimit }),
      acceptNewPin: raw.acceptNewPin ?? false,
    },
    commands: raw.command ?? [],
    json: raw.json ?? false,
    stay: raw.stay ?? false,
    logLevel: raw.logLevel,
  };
}

const collect = (command: string, before: readonly string[] = []): readonly string[] => [...before, command];

function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (!address) throw new InvalidArgumentError('Expected host:port, for example 127.0.0.1:9999.');
  return address;
}

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const number = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (number >= min && number <= max) return number;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
  };
}

const SIZE_UNITS: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['K', KIB],
  ['M', MIB],
  ['G', GIB],
]);

/** `64MiB`, `128M`, `1GiB`, `67108864`: bytes, in binary units. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d{1,15})\s*(?:([KMG])(?:iB)?|B?)$/i.exec(text);
  const unit = SIZE_UNITS.get((match?.[2] ?? '').toUpperCase());
  if (!match || unit === undefined) return undefined;
  const bytes = Number(match[1]) * unit;
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

function rate(text: string): number {
  const bytes = parseSize(text);
  if (bytes !== undefined && bytes >= KIB) return bytes;
  throw new InvalidArgumentError('Expected bytes a second, at least 1KiB, such as 20MiB.');
}

function pieceSize(text: string): number {
  const bytes = parseSize(text);
  if (bytes !== undefined && pieceSizeAllowed(bytes)) return bytes;
  throw new InvalidArgumentError('Expected a power of two from 16KiB to 16MiB, such as 512KiB.');
}

function memorySize(text: string): number {
  const bytes = parseSize(text);
  if (bytes === undefined) throw new InvalidArgumentError('Expected a size such as 64MiB, 128M or 1GiB.');
  if (bytes < MEMORY_BYTES_MIN) throw new InvalidArgumentError(`Expected at least ${formatSize(MEMORY_BYTES_MIN)}.`);
  return bytes;
}
