/**
 * xxHash64: the checksum that guards pieces against accidents. Native where a binary fits, since WebAssembly must first
 * copy what it hashes out of the shared memory, at half the speed; WebAssembly elsewhere.
 */
import { createRequire } from 'node:module';

type Checksum = (bytes: Uint8Array) => bigint;

async function load(): Promise<Checksum> {
  try {
    const native = createRequire(import.meta.url)('@node-rs/xxhash') as { xxh64: Checksum };
    native.xxh64(new Uint8Array(0));
    return (bytes) => native.xxh64(bytes);
  } catch {
    const { default: xxhash } = await import('xxhash-wasm');
    const { h64Raw } = await xxhash();
    return (bytes) => h64Raw(bytes);
  }
}

/** The memory may be shared. */
export const checksum: Checksum = await load();
