/**
 * PURE. Each request that changes state, judged against the registry: an operation for the log, an answer that needs
 * none, or a RequestError with a sentence and what to do next. And the way back: what a transaction answers to the
 * request it came from, the same now, on a repeat, and after a restart.
 *
 * Passwords are checked elsewhere (accounts.ts), since that takes time; create_user and login come here in two halves.
 */
import { ProtocolViolation, RequestError } from '../../protocol/errors.ts';
import type { FileId, GroupId } from '../../protocol/ids.ts';
import type { Call, FileRecord, Method, Params, Result } from '../../protocol/messages.ts';
import { groupNameRefusal, passwordRefusal, shareNameRefusal, userNameRefusal } from '../../protocol/names.ts';
import { PieceTree } from '../../protocol/piece-tree.ts';
import type { Operation, Transaction } from '../../protocol/transaction.ts';
import { type Asker, groupNamed, loggedIn, requireMember, requireOwner, userNamed } from './asker.ts';
import type { Group, Registry, User } from './registry.ts';
import { argument, shown } from './wording.ts';

/** Calls that change state: those with a requestId. */
export type Change = Extract<Call, { params: { requestId: unknown } }>;
/** Those of them that need no password. */
export type PlainChange = Exclude<Change, { method: 'create_user' | 'login' }>;
type WithoutTrackers<R> = R extends unknown ? Omit<R, 'trackers'> : never;
/** An answer before it is known how many trackers hold it. */
export type ChangeAnswer = WithoutTrackers<Result<Change['method']>>;

export type Verdict = { readonly op: Operation } | { readonly answer: ChangeAnswer };

/** Fresh ids for what a request may create. */
export interface FreshIds {
  group(): GroupId;
  file(): FileId;
}

const METHOD_OF: Readonly<Record<Operation['type'], Change['method']>> = {
  'user-created': 'create_user',
  'session-opened': 'login',
  'session-closed': 'logout',
  'group-created': 'create_group',
  'join-requested': 'join_group',
  'join-accepted': 'accept_request',
  'join-rejected': 'reject_request',
  'member-left': 'leave_group',
  'member-removed': 'remove_member',
  'file-shared': 'add_file',
};

export function isChange(call: Call): call is Change {
  return 'requestId' in call.params;
}

export function judge(change: PlainChange, asker: Asker, registry: Registry, nowMs: number, ids: FreshIds): Verdict {
  const user = loggedIn(asker, registry, nowMs);
  if (change.method === 'logout') {
    if (!asker.session) throw new RequestError('not-logged-in', 'you are not logged in');
    return { op: { type: 'session-closed', session: asker.session } };
  }
  if (change.method === 'create_group') return createGroup(change.params.group, user, registry, ids);
  const group = groupNamed(change.params.group, registry);
  switch (change.method) {
    case 'join_group':
      return joinGroup(group, user, registry);
    case 'leave_group':
      requireMember(group, user, registry);
      return { op: { type: 'member-left', group: group.id, user: user.id } };
    case 'accept_request':
      requireOwner(group, user, registry, 'accept its requests');
      return {
        op: { type: 'join-accepted', group: group.id, user: requester(group, change.params.user, registry).id },
      };
    case 'reject_request':
      requireOwner(group, user, registry, 'reject its requests');
      return {
        op: { type: 'join-rejected', group: group.id, user: requester(group, change.params.user, registry).id },
      };
    case 'remove_member':
      requireOwner(group, user, registry, 'remove members');
      return removeMember(group, userNamed(change.params.user, registry), user);
    case 'add_file':
      requireMember(group, user, registry);
      return addFile(group, change.params, user, ids);
    default:
      return change satisfies never;
  }
}

/** First half of create_user: everything but the password's hash. Asked again after hashing, which takes a while. */
export function checkNewUser({ user, password }: Params<'create_user'>, registry: Registry): void {
  const nameRefusal = userNameRefusal(user);
  if (nameRefusal) throw badName('user', user, nameRefusal);
  const refusal = passwordRefusal(password);
  if (refusal) throw new RequestError('bad-name', `this password can't be used: ${refusal}`, 'choose another one');
  if (registry.userNamed(user)) {
    throw new RequestError('name-taken', `there is a user "${shown(user)}" already`, 'choose another name');
  }
}

/** Before a login's password is checked: a connection serves one user. */
export function checkLogin(name: string, asker: Asker, registry: Registry, nowMs: number): void {
  const session = asker.session ? registry.session(asker.session) : undefined;
  if (!session || session.expiresMs <= nowMs) return;
  const current = registry.userName(session.user);
  if (current === name) return;
  throw new RequestError('already-logged-in', `you are logged in as ${shown(current)}`, 'log out first: logout');
}

/** What a transaction answers to its request. For session-opened, the token comes on top. */
export function answerTo({ op, requestId }: Transaction, registry: Registry): ChangeAnswer {
  switch (op.type) {
    case 'user-created':
      return { user: op.user };
    case 'session-opened':
      return { user: op.user, userName: registry.userName(op.user) };
    case 'group-created':
      return { group: op.group };
    case 'join-requested': {
      const owner = registry.remembered(requestId)?.owner;
      return { owner: owner ? registry.userName(owner) : '' };
    }
    case 'member-left': {
      const { owner, dissolved = false } = registry.remembered(requestId) ?? {};
      return { group: op.group, dissolved, ...(owner ? { newOwner: registry.userName(owner) } : {}) };
    }
    case 'file-shared':
      return { group: op.group, file: op.file, created: true };
    case 'session-closed':
    case 'join-accepted':
    case 'join-rejected':
    case 'member-removed':
      return {};
    default:
      return op satisfies never;
  }
}

/** A request id stands for one request of one device. Throws when this is another. */
export function checkRepeat(earlier: Transaction, method: Method, asker: Asker): void {
  if (earlier.actor.device !== asker.device) {
    throw new RequestError('bad-request', 'this request id belongs to another device');
  }
  if (METHOD_OF[earlier.op.type] !== method) {
    throw new RequestError('bad-request', `this request id was used before, for ${METHOD_OF[earlier.op.type]}`);
  }
}

function createGroup(name: string, user: User, registry: Registry, ids: FreshIds): Verdict {
  const refusal = groupNameRefusal(name);
  if (refusal) throw badName('group', name, refusal);
  if (registry.groupNamed(name)) {
    throw new RequestError(
      'name-taken',
      `there is a group "${shown(name)}" already`,
      `choose another name, or ask to join it: join_group ${argument(name)}`,
    );
  }
  return { op: { type: 'group-created', group: ids.group(), name, owner: user.id } };
}

function joinGroup(group: Group, user: User, registry: Registry): Verdict {
  if (group.members.has(user.id)) {
    throw new RequestError('already-member', `you are a member of "${shown(group.name)}" already`);
  }
  if (group.requests.has(user.id)) {
    const owner = shown(registry.userName(group.owner));
    throw new RequestError(
      'already-asked',
      `you have asked to join "${shown(group.name)}" already`,
      `${owner}, its owner, has not answered yet`,
    );
  }
  return { op: { type: 'join-requested', group: group.id, user: user.id } };
}

function requester(group: Group, name: string, registry: Registry): User {
  const user = userNamed(name, registry);
  if (group.members.has(user.id)) {
    throw new RequestError('already-member', `${shown(name)} is a member of "${shown(group.name)}" already`);
  }
  if (!group.requests.has(user.id)) {
    throw new RequestError(
      'no-such-request',
      `${shown(name)} has not asked to join "${shown(group.name)}"`,
      `list_requests ${argument(group.name)} shows who has`,
    );
  }
  return user;
}

function removeMember(group: Group, member: User, owner: User): Verdict {
  if (member.id === owner.id) {
    const hint = `to leave the group: leave_group ${argument(group.name)}`;
    throw new RequestError('bad-request', 'the owner of a group can leave it, but not be removed', hint);
  }
  if (!group.members.has(member.id)) {
    throw new RequestError('not-a-member', `${shown(member.name)} is not a member of "${shown(group.name)}"`);
  }
  return { op: { type: 'member-removed', group: group.id, user: member.id } };
}

function addFile(group: Group, params: Params<'add_file'>, user: User, ids: FreshIds): Verdict {
  const { name, sizeBytes, pieceSizeBytes, root, replace = false } = params;
  const refusal = shareNameRefusal(name, sizeBytes);
  if (refusal) throw badName('file', name, refusal);
  const known = group.filesByName.get(name);
  if (known) {
    const same = known.root === root && known.sizeBytes === sizeBytes && known.pieceSizeBytes === pieceSizeBytes;
    if (same) return { answer: { group: group.id, file: known.file, created: false } };
    if (!replace) throw anotherFile(group, known, params);
    if (known.by !== user.id && group.owner !== user.id) {
      throw new RequestError(
        'not-the-owner',
        `"${shown(name)}" was shared by somebody else`,
        'only who shared it and the owner of the group may replace it; share yours under another name',
      );
    }
  }
  if (!known) checkNamespace(group, name);
  checkPieces(sizeBytes, pieceSizeBytes);
  const op = { type: 'file-shared', file: ids.file(), group: group.id, name, sizeBytes, pieceSizeBytes, root } as const;
  return { op: { ...op, by: user.id, ...(known ? { replaces: known.file } : {}) } };
}

function anotherFile(group: Group, known: FileRecord, { name, sizeBytes, pieceSizeBytes }: Params<'add_file'>) {
  const isOtherCut = known.sizeBytes === sizeBytes && known.pieceSizeBytes !== pieceSizeBytes;
  return new RequestError(
    'name-taken',
    `"${shown(group.name)}" has another file named "${shown(name)}"`,
    isOtherCut
      ? `if it is the same file, share it in pieces of ${known.pieceSizeBytes} bytes, as it was; else rename it`
      : 'rename your file and share it again, or put it in its place: upload_file --replace',
  );
}

/** `a` can't be both a file and a folder. */
function checkNamespace(group: Group, name: string): void {
  const clash = group.clash(name);
  if (!clash) return;
  throw new RequestError(
    'name-taken',
    clash.is === 'folder'
      ? `"${shown(group.name)}" has a folder named "${shown(name)}": a file can't have the same name`
      : `"${shown(group.name)}" has a file named "${shown(clash.name)}": "${shown(name)}" can't lie in a folder of that name`,
    `rename what you share, and share it again`,
  );
}

function checkPieces(sizeBytes: number, pieceSizeBytes: number): void {
  try {
    new PieceTree(sizeBytes, pieceSizeBytes);
  } catch (error) {
    if (!(error instanceof ProtocolViolation)) throw error;
    throw new RequestError(
      'bad-request',
      `this can't be cut into pieces: ${error.message}`,
      'choose a larger piece size',
    );
  }
}

function badName(what: string, name: string, why: string): RequestError {
  return new RequestError('bad-name', `"${shown(name)}" can't be the name of a ${what}: ${why}`, 'choose another name');
}
