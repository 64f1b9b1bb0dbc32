/** Programs that benches compare against: whether they are there, and how to get those that are not. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** By command, the Debian package that brings it. */
const PACKAGES = {
  aria2c: 'aria2',
  b3sum: 'b3sum',
  'redis-benchmark': 'redis-tools',
  'redis-server': 'redis-server',
  socat: 'socat',
} as const;
type Command = keyof typeof PACKAGES;

/** Undefined when the command is in the path, else how to install it. */
export function missingCommand(command: Command): string | undefined {
  return isInstalled(command) ? undefined : aptGet(PACKAGES[command]);
}

/** Debian packages of all commands that are not there. */
export function missingPackages(): string[] {
  return Object.entries(PACKAGES).flatMap(([command, debianPackage]) => (isInstalled(command) ? [] : [debianPackage]));
}

export const aptGet = (debianPackage: string) => `sudo apt-get install ${debianPackage}`;

function isInstalled(command: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
