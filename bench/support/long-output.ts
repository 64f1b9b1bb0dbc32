/** Preloaded into Node's reader of V8's logs: the list of Node's own symbols is longer than spawnSync takes by default. */
import childProcess from 'node:child_process';

const { spawnSync } = childProcess;
const OUTPUT_BYTES_MAX = 2 ** 30;

Object.assign(childProcess, {
  spawnSync: (command: string, args: readonly string[]) => spawnSync(command, args, { maxBuffer: OUTPUT_BYTES_MAX }),
});
