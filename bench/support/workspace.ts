/**
 * A temporary directory and the processes that work in it. Whatever happens (an error, Ctrl-C, a closed terminal), the
 * processes are ended and the directory is gone when this process is.
 */
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { GIB } from '../../src/protocol/limits.ts';
import { Child } from './child.ts';

const SIGNALS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

export class Workspace {
  readonly directory: string;
  readonly #children = new Set<Child>();
  readonly #handlers: readonly (readonly [string, () => void])[];
  /** Whoever read our output has gone (`| head`): there is nobody to work for. */
  readonly #readerGone = () => process.exit(1);
  #closed = false;

  /** Throws when the disk has less room than the work will take. */
  constructor(name: string, neededBytes: number) {
    const parent = tmpdir();
    const { bavail, bsize } = statfsSync(parent);
    if (bavail * bsize < neededBytes) {
      const [needed, free] = [neededBytes, bavail * bsize].map((bytes) => `${(bytes / GIB).toFixed(1)} GiB`);
      throw new Error(`${parent} has ${free} free and ${needed} are needed; set TMPDIR to a directory with more room`);
    }
    this.directory = mkdtempSync(join(parent, `${name}-`));
    this.#handlers = [
      // The last resort: also after an uncaught exception, and for the signals below.
      ['exit', () => this.#wreck()],
      ...Object.entries(SIGNALS).map(([signal, number]) => [signal, () => process.exit(128 + number)] as const),
    ];
    for (const [event, handler] of this.#handlers) process.on(event, handler);
    process.stdout.on('error', this.#readerGone);
  }

  path(...names: string[]): string {
    return join(this.directory, ...names);
  }

  /** Starts a process in the directory. */
  start(name: string, command: string, args: readonly string[]): Child {
    const child = new Child(name, command, args, { cwd: this.directory });
    this.#children.add(child);
    const forget = () => void this.#children.delete(child);
    child.ended.then(forget, forget);
    return child;
  }

  /** Starts one of the project's own programs, given by its path from the top of the project. */
  startProgram(name: string, program: string, args: readonly string[]): Child {
    return this.start(name, process.execPath, [join(import.meta.dirname, '..', '..', program), ...args]);
  }

  /** Ends what still runs, and removes the directory. */
  async close(): Promise<void> {
    if (this.#closed) return;
    for (const child of this.#children) child.kill('SIGKILL');
    await Promise.allSettled([...this.#children].map((child) => child.ended));
    this.#wreck();
    for (const [event, handler] of this.#handlers) process.off(event, handler);
    process.stdout.off('error', this.#readerGone);
  }

  #wreck(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const child of this.#children) child.kill('SIGKILL');
    // Processes that are being killed may still make files: hence the further attempts.
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  }
}
