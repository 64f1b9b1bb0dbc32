/** Programs that benches compare against: whether they are there, and how to get those that are not. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

export interface Tool {
  readonly command: string;
  /** The Debian package that brings it. */
  readonly debianPackage: string;
}

export function isInstalled({ command }: Tool): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, command), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

export const howToInstall = ({ debianPackage }: Tool) => `sudo apt-get install ${debianPackage}`;
