/**
 * PURE. Who asks, and the checks that many requests share: logged in, a group of that name, member of it, owner of it.
 * Each returns what it found, or throws the RequestError that a person will read.
 */
import { RequestError } from '../../protocol/errors.ts';
import type { DeviceId, GroupId, SessionId } from '../../protocol/ids.ts';
import type { Group, Registry, User } from './registry.ts';
import { argument, shown } from './wording.ts';

export interface Asker {
  /** Proven by the TLS certificate. */
  readonly device: DeviceId;
  /** The session that this connection was logged in with; it may have ended since. */
  readonly session: SessionId | undefined;
}

const LOG_IN = 'log in first: login <user_id> <passwd>';

/** The user who asks. */
export function loggedIn(asker: Asker, registry: Registry, nowMs: number): User {
  if (!asker.session) throw new RequestError('not-logged-in', 'you are not logged in', LOG_IN);
  const session = registry.session(asker.session);
  const user = session && session.expiresMs > nowMs ? registry.user(session.user) : undefined;
  if (!user) throw new RequestError('session-ended', 'your session has ended', LOG_IN);
  return user;
}

export function groupNamed(name: string, registry: Registry): Group {
  const group = registry.groupNamed(name);
  if (group) return group;
  throw new RequestError('no-such-group', `there is no group "${shown(name)}"`, 'list_groups shows those that exist');
}

export function groupWithId(id: GroupId, registry: Registry): Group {
  const group = registry.group(id);
  if (group) return group;
  throw new RequestError('no-such-group', 'this group does not exist any more', 'list_groups shows those that do');
}

export function requireMember(group: Group, user: User, registry: Registry): void {
  if (group.members.has(user.id)) return;
  throw new RequestError(
    'not-a-member',
    `you are not a member of "${shown(group.name)}"`,
    group.requests.has(user.id)
      ? `you have asked to join it: ${shown(registry.userName(group.owner))}, its owner, has not answered yet`
      : `ask to join it first: join_group ${argument(group.name)}`,
  );
}

/** `what` completes "only the owner can ...". */
export function requireOwner(group: Group, user: User, registry: Registry, what: string): void {
  if (group.owner === user.id) return;
  const owner = shown(registry.userName(group.owner));
  throw new RequestError('not-the-owner', `only ${owner}, the owner of "${shown(group.name)}", can ${what}`);
}

export function userNamed(name: string, registry: Registry): User {
  const user = registry.userNamed(name);
  if (user) return user;
  throw new RequestError('no-such-user', `there is no user "${shown(name)}"`);
}
