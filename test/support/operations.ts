/** Any operation, on few people, groups and names, so that they get into each other's way. */
import fc from 'fast-check';
import type { Operation } from '../../src/protocol/transaction.ts';
import { deviceId, fileId, groupId, root, sessionId, userId } from './registry.ts';

const small = fc.integer({ min: 1, max: 4 });
const name = small.map((number) => `n${number}`);
/** Files, folders, and files whose folder may be the name of another file. */
const fileName = fc.oneof(
  name,
  fc.tuple(name, name).map(([folder, file]) => `${folder}/${file}`),
);
export const operation: fc.Arbitrary<Operation> = fc.oneof(
  fc.record({
    type: fc.constant('user-created'),
    user: small.map(userId),
    name,
    passwordHash: fc.constant(''),
  } as const),
  fc.record({
    type: fc.constant('session-opened'),
    session: small.map(sessionId),
    user: small.map(userId),
    device: small.map(deviceId),
    expiresMs: small,
  } as const),
  fc.record({ type: fc.constant('session-closed'), session: small.map(sessionId) } as const),
  fc.record({ type: fc.constant('group-created'), group: small.map(groupId), name, owner: small.map(userId) } as const),
  fc.record({
    type: fc.constantFrom('join-requested', 'join-accepted', 'join-rejected', 'member-left', 'member-removed'),
    group: small.map(groupId),
    user: small.map(userId),
  } as const),
  fc.record({
    type: fc.constant('file-shared'),
    file: small.map(fileId),
    group: small.map(groupId),
    name: fileName,
    sizeBytes: small,
    pieceSizeBytes: fc.constant(16_384),
    root: small.map(root),
    by: small.map(userId),
    replaces: fc.option(small.map(fileId), { nil: undefined }),
  } as const),
) as fc.Arbitrary<Operation>;
