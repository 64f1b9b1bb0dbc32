/**
 * PURE. The requests that only look: who is in a group, what it shares, which groups there are. Listings come in the
 * order of names, in pages of PAGE_ITEMS_MAX, which fit a frame even with the longest names; `after` is the last name
 * of the page before.
 */
import { RequestError } from '../../protocol/errors.ts';
import type { FileId } from '../../protocol/ids.ts';
import { PAGE_ITEMS_MAX } from '../../protocol/limits.ts';
import type { FileListing, GroupListing, Params, Result } from '../../protocol/messages.ts';
import { groupNamed, requireMember, requireOwner } from './asker.ts';
import type { Group, GroupFile, Registry, User } from './registry.ts';
import { argument, shown } from './wording.ts';

interface Page<T> {
  items: T[];
  next?: string;
}

export function listGroups({ after }: Params<'list_groups'>, user: User, registry: Registry): Result<'list_groups'> {
  return page(registry.groupsAfter(after), groupName, (group): GroupListing => {
    const owner = registry.userName(group.owner);
    return { name: group.name, owner, members: group.members.size, standing: standingOf(user, group) };
  });
}

export function listMembers(params: Params<'list_members'>, user: User, registry: Registry): Result<'list_members'> {
  const group = groupNamed(params.group, registry);
  requireMember(group, user, registry);
  return page(namesAfter(group.members, params.after, registry), identity, identity);
}

export function listRequests(params: Params<'list_requests'>, user: User, registry: Registry): Result<'list_requests'> {
  const group = groupNamed(params.group, registry);
  requireOwner(group, user, registry, 'see its requests');
  return page(namesAfter(group.requests, params.after, registry), identity, identity);
}

/** `seedersOnline` tells how many devices serve a file now. */
export function listFiles(
  params: Params<'list_files'>,
  user: User,
  registry: Registry,
  seedersOnline: (file: FileId) => number,
): Result<'list_files'> {
  const group = groupNamed(params.group, registry);
  requireMember(group, user, registry);
  return page(group.filesByName.after(params.after), fileName, ({ by, ...record }): FileListing => {
    return { ...record, sharedBy: registry.userName(by), seedersOnline: seedersOnline(record.file) };
  });
}

export function findFile(params: Params<'find_file'>, user: User, registry: Registry): Result<'find_file'> {
  const group = groupNamed(params.group, registry);
  requireMember(group, user, registry);
  const found = group.filesByName.get(params.name);
  if (!found) {
    throw new RequestError(
      'no-such-file',
      `"${shown(group.name)}" has no file "${shown(params.name)}"`,
      `list_files ${argument(group.name)} shows those it has`,
    );
  }
  const { by: _by, ...file } = found;
  return { group: group.id, file };
}

const identity = (name: string) => name;
const groupName = (group: Group) => group.name;
const fileName = (file: GroupFile) => file.name;

function standingOf(user: User, group: Group): GroupListing['standing'] {
  if (group.owner === user.id) return 'owner';
  if (group.members.has(user.id)) return 'member';
  return group.requests.has(user.id) ? 'asked' : 'none';
}

function namesAfter(users: Iterable<User['id']>, after: string | undefined, registry: Registry): string[] {
  const names = [...users].map((user) => registry.userName(user));
  return names.filter((name) => after === undefined || name > after).sort();
}

function page<T, Item>(source: Iterable<T>, nameOf: (value: T) => string, itemOf: (value: T) => Item): Page<Item> {
  const items: Item[] = [];
  let last: string | undefined;
  for (const value of source) {
    const item = itemOf(value);
    if (last !== undefined && items.length === PAGE_ITEMS_MAX) return { items, next: last };
    items.push(item);
    last = nameOf(value);
  }
  return { items };
}
