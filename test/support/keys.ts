/** Key pairs and ids for tests of what trackers sign. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import type { DeviceId, GroupId, RequestId, SessionId, TrackerId, UserId } from '../../src/protocol/ids.ts';
import { keyId, spkiOf } from '../../src/protocol/signed.ts';

export interface TestKeys {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  readonly id: DeviceId & TrackerId;
}

export function newKeys(): TestKeys {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  return { publicKey, privateKey, id: keyId(spkiOf(publicKey)) };
}

export const USER = '1'.repeat(32) as UserId;
export const GROUP = '2'.repeat(32) as GroupId;
export const SESSION = '3'.repeat(32) as SessionId;
export const REQUEST = '4'.repeat(32) as RequestId;
export const DEVICE = '5'.repeat(64) as DeviceId;
