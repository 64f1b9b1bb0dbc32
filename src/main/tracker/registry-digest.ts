/** PURE. 32 bytes that stand for all that a registry holds: equal on trackers that executed the same transactions. */
import { encodeCbor } from '../../protocol/cbor.ts';
import { blake3 } from '../../protocol/digest.ts';
import type { Registry } from './registry.ts';

export function registryDigest(registry: Registry): Uint8Array {
  return blake3(encodeCbor(registry.snapshot()));
}
