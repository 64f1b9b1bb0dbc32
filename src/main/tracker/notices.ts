/** PURE. What a transaction means to others than the one who asked: whom to tell what, if they are online. */
import type { GroupId, UserId } from '../../protocol/ids.ts';
import type { Push } from '../../protocol/messages.ts';
import type { Transaction } from '../../protocol/transaction.ts';
import type { Group, Outcome, Registry } from './registry.ts';

export interface Notice {
  readonly to: Iterable<UserId>;
  readonly push: Push;
  /** The connection that asked need not be told. */
  readonly exceptAsker?: boolean;
}

export function noticesOf({ op }: Transaction, outcome: Outcome, registry: Registry): readonly Notice[] {
  const { group, newOwner } = outcome;
  if (!group) return [];
  const groupName = group.name;
  switch (op.type) {
    case 'join-requested':
      return [{ to: [group.owner], push: { type: 'join-requested', groupName, userName: registry.userName(op.user) } }];
    case 'join-accepted':
    case 'join-rejected':
      return [{ to: [op.user], push: { type: op.type, groupName } }];
    case 'member-left':
    case 'member-removed': {
      // Removed there, let in again here since: what came late concerns nobody any more.
      if (group.members.has(op.user)) return [];
      const gone: Notice = { to: [...group.members, op.user], push: memberGone(op.user, group, registry) };
      return newOwner ? [gone, { to: [newOwner], push: { type: 'group-inherited', groupName } }] : [gone];
    }
    case 'file-shared': {
      const { sizeBytes } = op;
      const name = group.files.get(op.file)?.name ?? op.name;
      const userName = registry.userName(op.by);
      const replaces = op.replaces ? { replaces: op.replaces } : {};
      const push: Push = { type: 'file-shared', groupName, userName, name, sizeBytes, ...replaces };
      return [{ to: group.members, push, exceptAsker: true }];
    }
    default:
      return [];
  }
}

export function memberGone(user: UserId, group: Group, registry: Registry): Push {
  return { type: 'member-gone', group: group.id, groupName: group.name, user, userName: registry.userName(user) };
}

/** The membership that a transaction ended. */
export function departureOf({ op }: Transaction): { user: UserId; group: GroupId } | undefined {
  return op.type === 'member-left' || op.type === 'member-removed' ? { user: op.user, group: op.group } : undefined;
}
