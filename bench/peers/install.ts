/**
 * `pnpm bench:peers`: installs what the benches compare with and this machine lacks. Debian's packages as root or through
 * sudo; WebTorrent from npm into a folder of its own, without running install scripts.
 */
import { execFileSync } from 'node:child_process';
import { missingPackages } from '../support/tools.ts';
import { libtorrent } from './libtorrent.ts';
import { WEBTORRENT_DIRECTORY, webtorrent } from './webtorrent.ts';

function run(command: string, ...args: readonly string[]): void {
  process.stderr.write(`$ ${[command, ...args].join(' ')}\n`);
  execFileSync(command, args, { stdio: 'inherit' });
}

const asRoot = process.getuid?.() === 0 ? [] : ['sudo'];
const packages = [...missingPackages(), ...(libtorrent.missing() === undefined ? [] : ['python3-libtorrent'])];
try {
  if (packages.length > 0) {
    const [command = 'apt-get', ...args] = [...asRoot, 'apt-get', 'install', '--yes', '--no-install-recommends'];
    run(command, ...args, ...packages);
  }
  if (webtorrent.missing() !== undefined) run('npm', 'ci', '--ignore-scripts', '--prefix', WEBTORRENT_DIRECTORY);
  process.stderr.write('everything that the benches compare with is installed\n');
} catch (error) {
  process.stderr.write(`bench:peers: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
