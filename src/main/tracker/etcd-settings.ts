/** How a log in etcd is named: `etcd://host:port,host:port/prefix`, with certificates and a user beside. */
import type { Command } from 'commander';
import { RequestError } from '../../protocol/errors.ts';
import { formatAddress, parseAddress } from '../../protocol/tracker-info.ts';
import { readNamedFile } from '../support/file.ts';

const PREFIX_DEFAULT = 'p2pfs';
const PREFIX = /^[\w.-]+(?:\/[\w.-]+)*$/;
const PORT_DEFAULT = 2379;
const EXAMPLE = 'expected etcd://<host>:<port>[,<host>:<port>...][/<prefix>], for example etcd://127.0.0.1:2379';

export interface EtcdSettings {
  /** Members of one etcd, as `host:port`. */
  readonly endpoints: readonly string[];
  /** What our keys begin with: one for each network. */
  readonly prefix: string;
  /** PEM. Required unless etcd is on this machine. */
  readonly tls?: { readonly ca: Buffer; readonly cert?: Buffer; readonly key?: Buffer } | undefined;
  readonly user?: { readonly name: string; readonly password: string } | undefined;
}

/** Throws RequestError('bad-request'), saying what was expected. */
export function parseEtcdUrl(url: string): Pick<EtcdSettings, 'endpoints' | 'prefix'> {
  const match = /^etcd:\/\/([^/]*)(?:\/(.*?)\/?)?$/.exec(url);
  const fail = (why: string) => new RequestError('bad-request', `"${url}": ${why}`, EXAMPLE);
  if (!match) throw fail('not the address of an etcd');
  const prefix = match[2] || PREFIX_DEFAULT;
  if (!PREFIX.test(prefix)) throw fail(`"${prefix}" can't begin the keys: letters, digits, "_", "-", "." and "/" can`);
  const endpoints = (match[1] ?? '').split(',').map((text) => {
    const address = parseAddress(text) ?? parseAddress(`${text}:${PORT_DEFAULT}`);
    if (!address) throw fail(`"${text}" is not an address`);
    return formatAddress(address);
  });
  return { endpoints, prefix };
}

/** As flags give it: paths of PEM files, and of one with a password. */
export interface EtcdFlags {
  readonly log?: string;
  readonly etcdCa?: string;
  readonly etcdCert?: string;
  readonly etcdKey?: string;
  readonly etcdUser?: string;
  readonly etcdPasswordFile?: string;
}

/** What all commands call the flags. */
export function addEtcdOptions(command: Command, what: string): Command {
  return command
    .option('--log <etcd://host:port,...>', what)
    .option(
      '--etcd-ca <file>',
      'certificate of the authority that etcd is checked by (PEM); required beyond this machine',
    )
    .option('--etcd-cert <file>', 'certificate to show to etcd (PEM)')
    .option('--etcd-key <file>', 'its private key (PEM)')
    .option('--etcd-user <name>', 'who to be at etcd')
    .option('--etcd-password-file <file>', 'file with the password of that user');
}

/** Undefined without --log. Throws RequestError, saying which flag is wrong. */
export function etcdSettings(flags: EtcdFlags): EtcdSettings | undefined {
  const { log, etcdCa, etcdCert, etcdKey, etcdUser, etcdPasswordFile } = flags;
  const others = [etcdCa, etcdCert, etcdKey, etcdUser, etcdPasswordFile];
  if (log === undefined) {
    if (others.every((flag) => flag === undefined)) return undefined;
    throw new RequestError('bad-request', 'the --etcd flags go with --log etcd://...');
  }
  const needBoth = (one: unknown, other: unknown, names: string) => {
    if ((one === undefined) !== (other === undefined)) throw new RequestError('bad-request', `${names} go together`);
  };
  needBoth(etcdCert, etcdKey, '--etcd-cert and --etcd-key');
  needBoth(etcdUser, etcdPasswordFile, '--etcd-user and --etcd-password-file');
  if (etcdCert !== undefined && etcdCa === undefined) {
    throw new RequestError(
      'bad-request',
      '--etcd-cert needs --etcd-ca, the certificate that etcd itself is checked by',
    );
  }
  const settings: EtcdSettings = {
    ...parseEtcdUrl(log),
    tls: etcdCa === undefined ? undefined : pemFiles(etcdCa, etcdCert, etcdKey),
    user:
      etcdUser === undefined || etcdPasswordFile === undefined
        ? undefined
        : { name: etcdUser, password: readNamedFile(etcdPasswordFile, 'a password').toString('utf8').trimEnd() },
  };
  requireTlsAway(settings);
  return settings;
}

function pemFiles(ca: string, cert: string | undefined, key: string | undefined): NonNullable<EtcdSettings['tls']> {
  const pem = (path: string, what: string) => {
    const bytes = readNamedFile(path, what);
    if (bytes.includes('-----BEGIN ')) return bytes;
    throw new RequestError('unreadable', `${path} should hold ${what} in PEM form, and does not`);
  };
  return {
    ca: pem(ca, 'the certificate of an authority'),
    ...(cert === undefined ? {} : { cert: pem(cert, 'a certificate') }),
    ...(key === undefined ? {} : { key: pem(key, 'a private key') }),
  };
}

/** Password hashes cross this wire: without certificates it may not leave the machine. Throws RequestError('bad-request'). */
export function requireTlsAway({ endpoints, tls }: EtcdSettings): void {
  const away = endpoints.find((endpoint) => !/^(?:127\.[\d.]+|localhost|\[::1\]):/.test(endpoint));
  if (tls || away === undefined) return;
  throw new RequestError(
    'bad-request',
    `${away} is another machine, and nothing would be encrypted on the way there`,
    'give the certificate of its authority with --etcd-ca, or forward a local port through a tunnel',
  );
}
