/** Random operations on few users, groups, names and files, so that they clash often. */
import type { Operation } from '../../src/protocol/transaction.ts';
import { deviceId, fileId, groupId, root, sessionId, userId } from '../support/registry.ts';

export function randomOperation(random: () => number): Operation {
  const few = () => 1 + Math.floor(random() * 3);
  const name = `n${few()}`;
  const user = userId(few());
  const group = groupId(few());
  const file = { file: fileId(few()), name, sizeBytes: 1, pieceSizeBytes: 16_384, root: root(few()) };
  const operations: readonly Operation[] = [
    { type: 'user-created', user, name, passwordHash: '' },
    { type: 'session-opened', session: sessionId(few()), user, device: deviceId(few()), expiresMs: 1 },
    { type: 'session-closed', session: sessionId(few()) },
    { type: 'group-created', group, name, owner: user },
    { type: 'group-created', group, name, owner: user },
    { type: 'join-requested', group, user },
    { type: 'join-accepted', group, user },
    { type: 'join-accepted', group, user },
    { type: 'member-left', group, user },
    { type: 'member-removed', group, user },
    { type: 'file-shared', group, by: user, ...file },
  ];
  return operations[Math.floor(random() * operations.length)] ?? { type: 'session-closed', session: sessionId(1) };
}
