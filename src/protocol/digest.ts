/**
 * BLAKE3-256: the digest that guards pieces against people. Native where a binary fits, WebAssembly elsewhere.
 */
import { createRequire } from 'node:module';

type Blake3 = (bytes: Uint8Array) => Uint8Array;

async function load(): Promise<Blake3> {
  try {
    const native = createRequire(import.meta.url)('@napi-rs/blake-hash') as { blake3: Blake3 };
    native.blake3(new Uint8Array(0));
    return native.blake3;
  } catch {
    const { createBLAKE3 } = await import('hash-wasm');
    const hasher = await createBLAKE3();
    return (bytes) => hasher.init().update(bytes).digest('binary');
  }
}

/** BLAKE3-256 of the bytes: 32 bytes. The memory may be shared. */
export const blake3: Blake3 = await load();
