/** Files for benches: of random content, and judged by programs that share no code with the project. */
import { execFile } from 'node:child_process';
import { createCipheriv, randomBytes } from 'node:crypto';
import { closeSync, openSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { MIB } from '../../src/protocol/limits.ts';

const run = promisify(execFile);
const CHUNK_BYTES = 4 * MIB;

/** Writes a new file of random bytes: a cipher's key stream, since the system's generator would take the longest. */
export function writeRandomFile(path: string, sizeBytes: number): void {
  const cipher = createCipheriv('aes-128-ctr', randomBytes(16), randomBytes(16));
  const zeros = Buffer.alloc(CHUNK_BYTES);
  const fd = openSync(path, 'wx');
  try {
    for (let left = sizeBytes; left > 0; left -= CHUNK_BYTES) {
      const chunk = cipher.update(left >= CHUNK_BYTES ? zeros : zeros.subarray(0, left));
      for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
    }
  } finally {
    closeSync(fd);
  }
}

export interface OutsideDigest {
  /** The program that computed it. */
  readonly tool: string;
  readonly hex: string;
}

const NODE_ONE_LINER =
  "const h=require('node:crypto').createHash('sha256');" +
  "require('node:fs').createReadStream(process.argv[1]).on('data',(b)=>h.update(b)).on('end',()=>console.log(h.digest('hex')))";

const TOOLS: readonly { tool: string; command: string; args: readonly string[] }[] = [
  { tool: 'sha256sum', command: 'sha256sum', args: ['--'] },
  { tool: 'openssl sha256', command: 'openssl', args: ['dgst', '-sha256', '-r'] },
  { tool: 'SHA-256', command: process.execPath, args: ['-e', NODE_ONE_LINER, '--'] },
];

/** SHA-256 of a file by the first program that is installed. */
export async function outsideDigest(path: string): Promise<OutsideDigest> {
  for (const { tool, command, args } of TOOLS) {
    try {
      const { stdout } = await run(command, [...args, path]);
      // A leading backslash is how sha256sum marks a name with unusual characters.
      const hex = /^\\?([0-9a-f]{64})\b/.exec(stdout)?.[1];
      if (hex) return { tool, hex };
      throw new Error(`${command} says ${stdout}`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  throw new Error('unreachable: node is installed');
}
