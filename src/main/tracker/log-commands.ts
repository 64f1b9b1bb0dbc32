/**
 * `tracker log export <file>` and `tracker log import <file>`: a log moved between a tracker's data directory and etcd, by way
 * of a file. No tracker runs meanwhile on the directory.
 */
import { type Command, InvalidArgumentError } from 'commander';
import { RequestError } from '../../protocol/errors.ts';
import { systemClock } from '../support/clock.ts';
import { chunksOf, newFile } from '../support/file.ts';
import { openEtcd } from './etcd-open.ts';
import { addEtcdOptions, type EtcdFlags, etcdSettings } from './etcd-settings.ts';
import { exportLog, importLog, type Progress } from './log-move.ts';
import { DirectoryPlace, EtcdPlace } from './log-places.ts';

const TELL_ENTRIES = 10_000;

interface Flags extends EtcdFlags {
  readonly dataDir?: string;
}

type Say = (text: string) => void;

/** Adds `log` to the program; what comes of it is said line by line, or thrown. */
export function addLogCommands(program: Command, say: Say): void {
  const log = program.command('log').description('move the log between a data directory and etcd');
  const add = (name: string, what: string, run: (file: string, flags: Flags) => Promise<void>) =>
    addEtcdOptions(
      log
        .command(`${name} <file>`)
        .description(what)
        .option('--data-dir <path>', 'a data directory whose tracker does not run', directory),
      'the log in etcd',
    ).action(run);
  add('export', 'write all of the log to a new file', (file, flags) => runExport(file, flags, say));
  add('import', 'put what a file has where it is missing; harmless when repeated', (file, flags) =>
    runImport(file, flags, say),
  );
}

function directory(path: string): string {
  if (path !== '') return path;
  throw new InvalidArgumentError('give the path of a directory');
}

async function runExport(path: string, flags: Flags, say: Say): Promise<void> {
  const place = await placeOf(flags);
  try {
    const source = place instanceof DirectoryPlace ? place.source : await place.source();
    const file = newFile(path);
    try {
      const { entries, digest } = await exportLog(source, file.write, counting(say));
      file.finish();
      say(`exported ${entries} entries to ${path}`);
      say(`digest: ${digest}`);
      if (place instanceof DirectoryPlace && place.isCopy) {
        say(
          'This directory has a copy of a log in etcd, which may lack the end: export with --log while etcd is there.',
        );
      }
    } catch (error) {
      file.abandon();
      throw error;
    }
  } finally {
    await place.close();
  }
}

async function runImport(path: string, flags: Flags, say: Say): Promise<void> {
  const place = await placeOf(flags);
  try {
    const { entries, added, digest } = await importLog(() => chunksOf(path), place, counting(say));
    say(`${entries} entries in ${path}, ${added} of them imported${added < entries ? ', the others were there' : ''}`);
    say(`digest: ${digest}`);
    if (place instanceof DirectoryPlace) {
      place.keepHere();
      say(`start the tracker on this directory without --log; its pin is ${place.id}`);
    } else {
      say('start all trackers with this --log');
    }
  } finally {
    await place.close();
  }
}

async function placeOf(flags: Flags): Promise<DirectoryPlace | EtcdPlace> {
  const { dataDir } = flags;
  const etcd = etcdSettings(flags);
  if (etcd && dataDir === undefined) return new EtcdPlace(await openEtcd(etcd), systemClock);
  if (dataDir !== undefined && !etcd) return DirectoryPlace.open(dataDir);
  throw new RequestError(
    'bad-request',
    'where is the log?',
    'give either --data-dir <path>, or --log etcd://<host>:<port>',
  );
}

function counting(say: Say): Progress {
  let told = 0;
  return (entries) => {
    if (entries - told < TELL_ENTRIES) return;
    told = entries;
    say(`${entries} entries`);
  };
}
