/**
 * Ids of what a request makes, worked out from the request: a request that is repeated at another tracker, which has not
 * heard of the first, makes the same user, group, file or session.
 */
import { blake3 } from './digest.ts';
import { type DeviceId, RANDOM_ID_BYTES, type RequestId, toHex } from './ids.ts';

type Kind = 'user' | 'session' | 'group' | 'file';

/** 128 bits that are random when the request id is, branded as the caller's kind of id. */
export function derivedId<T extends string>(kind: Kind, request: RequestId, device: DeviceId): T {
  const digest = blake3(Buffer.from(`p2pfs/1 id\0${kind}\0${device}\0${request}`));
  return toHex(digest.subarray(0, RANDOM_ID_BYTES)) as T;
}
