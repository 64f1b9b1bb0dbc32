/**
 * PURE. What the transactions add up to: users, sessions, groups with their members, requests and files.
 *
 * Identity is an immutable id; names are an index. `execute` is the only way in. It is total and deterministic: an
 * operation that no longer applies (its group is dissolved, its name is taken, its request was answered) changes
 * nothing, because logs of several trackers will be merged and what was right where it was written may come too late.
 * Whether a request is allowed is judged before, in requests.ts; nothing here asks who wants it.
 */
import type { DeviceId, FileId, GroupId, RequestId, SessionId, UserId } from '../../protocol/ids.ts';
import type { FileRecord } from '../../protocol/messages.ts';
import type { Operation, Transaction } from '../../protocol/transaction.ts';
import { type Clash, Folders } from './folders.ts';
import { NameIndex } from './name-index.ts';

export interface User {
  readonly id: UserId;
  readonly name: string;
  readonly passwordHash: string;
}

/** Open as long as the registry has it. */
export interface Session {
  readonly id: SessionId;
  readonly user: UserId;
  readonly device: DeviceId;
  readonly expiresMs: number;
}

export interface GroupFile extends FileRecord {
  readonly by: UserId;
}

export interface Group {
  readonly id: GroupId;
  readonly name: string;
  readonly owner: UserId;
  /** In the order in which they became members. */
  readonly members: ReadonlySet<UserId>;
  /** In the order in which they asked. */
  readonly requests: ReadonlySet<UserId>;
  readonly files: ReadonlyMap<FileId, GroupFile>;
  readonly filesByName: Pick<NameIndex<GroupFile>, 'get' | 'after' | 'size'>;
  /** What stands in the way of a new file's name beside a file of the same name. */
  clash(name: string): Clash | undefined;
}

class GroupState implements Group {
  readonly id: GroupId;
  readonly name: string;
  owner: UserId;
  readonly members = new Set<UserId>();
  readonly requests = new Set<UserId>();
  readonly files = new Map<FileId, GroupFile>();
  readonly filesByName = new NameIndex<GroupFile>();
  readonly folders = new Folders();

  constructor(id: GroupId, name: string, owner: UserId) {
    this.id = id;
    this.name = name;
    this.owner = owner;
    this.members.add(owner);
  }

  clash(name: string): Clash | undefined {
    return this.folders.clash(name, (file) => this.filesByName.get(file) !== undefined);
  }
}

/** What executing a transaction did. Undefined: it no longer applied, and nothing changed. */
export interface Outcome {
  /** The group concerned, as it is now, or as it was at its end. */
  readonly group?: Group;
  /** Who has the group now that its owner left. */
  readonly newOwner?: UserId;
  readonly dissolved?: boolean;
  /** Sessions that are open no more. */
  readonly ended?: readonly SessionId[];
}

/** What an answer says that the transaction alone does not tell; kept so that a repeated request hears the same. */
export interface Remembered {
  readonly owner?: UserId;
  readonly dissolved?: boolean;
}

export class Registry {
  readonly #users = new Map<UserId, User>();
  readonly #usersByName = new Map<string, User>();
  readonly #sessions = new Map<SessionId, Session>();
  /** A device has at most one open session: a new one replaces it. */
  readonly #sessionsByDevice = new Map<DeviceId, Session>();
  readonly #groups = new Map<GroupId, GroupState>();
  readonly #groupsByName = new NameIndex<GroupState>();
  readonly #remembered = new Map<RequestId, Remembered>();

  user(id: UserId): User | undefined {
    return this.#users.get(id);
  }

  /** The name of a user that something in the registry names; ids are never forgotten. */
  userName(id: UserId): string {
    return this.#users.get(id)?.name ?? id;
  }

  userNamed(name: string): User | undefined {
    return this.#usersByName.get(name);
  }

  session(id: SessionId): Session | undefined {
    return this.#sessions.get(id);
  }

  group(id: GroupId): Group | undefined {
    return this.#groups.get(id);
  }

  groupNamed(name: string): Group | undefined {
    return this.#groupsByName.get(name);
  }

  /** Groups whose names come after `after`, by name. */
  groupsAfter(after: string | undefined): Iterable<Group> {
    return this.#groupsByName.after(after);
  }

  remembered(request: RequestId): Remembered | undefined {
    return this.#remembered.get(request);
  }

  execute(transaction: Transaction): Outcome | undefined {
    const { op, requestId } = transaction;
    const outcome = this.#apply(op);
    if (!outcome) return undefined;
    if (op.type === 'join-requested' && outcome.group) this.#remembered.set(requestId, { owner: outcome.group.owner });
    if (outcome.newOwner) this.#remembered.set(requestId, { owner: outcome.newOwner });
    if (outcome.dissolved) this.#remembered.set(requestId, { dissolved: true });
    return outcome;
  }

  #apply(op: Operation): Outcome | undefined {
    switch (op.type) {
      case 'user-created': {
        if (this.#users.has(op.user) || this.#usersByName.has(op.name)) return undefined;
        const user = { id: op.user, name: op.name, passwordHash: op.passwordHash };
        this.#users.set(user.id, user);
        this.#usersByName.set(user.name, user);
        return {};
      }
      case 'session-opened': {
        if (!this.#users.has(op.user) || this.#sessions.has(op.session)) return undefined;
        const before = this.#sessionsByDevice.get(op.device);
        if (before) this.#sessions.delete(before.id);
        const session = { id: op.session, user: op.user, device: op.device, expiresMs: op.expiresMs };
        this.#sessions.set(session.id, session);
        this.#sessionsByDevice.set(session.device, session);
        return before ? { ended: [before.id] } : {};
      }
      case 'session-closed': {
        const session = this.#sessions.get(op.session);
        if (!session) return undefined;
        this.#sessions.delete(session.id);
        this.#sessionsByDevice.delete(session.device);
        return { ended: [session.id] };
      }
      case 'group-created': {
        if (!this.#users.has(op.owner) || this.#groups.has(op.group) || this.#groupsByName.get(op.name))
          return undefined;
        const group = new GroupState(op.group, op.name, op.owner);
        this.#groups.set(group.id, group);
        this.#groupsByName.add(group.name, group);
        return { group };
      }
      case 'join-requested': {
        const group = this.#groups.get(op.group);
        if (!group || !this.#users.has(op.user)) return undefined;
        if (group.members.has(op.user) || group.requests.has(op.user)) return undefined;
        group.requests.add(op.user);
        return { group };
      }
      case 'join-accepted': {
        const group = this.#groups.get(op.group);
        if (!group?.requests.delete(op.user)) return undefined;
        group.members.add(op.user);
        return { group };
      }
      case 'join-rejected': {
        const group = this.#groups.get(op.group);
        return group?.requests.delete(op.user) ? { group } : undefined;
      }
      case 'member-left':
      case 'member-removed': {
        const group = this.#groups.get(op.group);
        return group?.members.delete(op.user) ? this.#afterDeparture(group, op.user) : undefined;
      }
      case 'file-shared': {
        const group = this.#groups.get(op.group);
        if (!group?.members.has(op.by) || group.files.has(op.file)) return undefined;
        const before = group.filesByName.get(op.name);
        if (before ? before.file !== op.replaces : group.clash(op.name)) return undefined;
        if (before) {
          group.files.delete(before.file);
          group.filesByName.delete(before.name);
          group.folders.delete(before.name);
        }
        const { file, name, sizeBytes, pieceSizeBytes, root, by } = op;
        const record = { file, name, sizeBytes, pieceSizeBytes, root, by };
        group.files.set(file, record);
        group.filesByName.add(name, record);
        group.folders.add(name);
        return { group };
      }
      default:
        return op satisfies never;
    }
  }

  /** Hands a group without its owner to its longest-standing member; one without members is dissolved. */
  #afterDeparture(group: GroupState, user: UserId): Outcome {
    const [longestStanding] = group.members;
    if (longestStanding === undefined) {
      this.#groups.delete(group.id);
      this.#groupsByName.delete(group.name);
      return { group, dissolved: true };
    }
    if (group.owner !== user) return { group };
    group.owner = longestStanding;
    return { group, newOwner: longestStanding };
  }

  /** Everything as plain data in one order, to compare registries by. */
  snapshot(): unknown {
    const byId = <T extends { id: string }>(items: Iterable<T>) => [...items].sort((a, b) => (a.id < b.id ? -1 : 1));
    return {
      users: byId(this.#users.values()),
      sessions: byId(this.#sessions.values()),
      groups: byId(this.#groups.values()).map(({ id, name, owner, members, requests, filesByName }) => ({
        id,
        name,
        owner,
        members: [...members],
        requests: [...requests],
        files: [...filesByName.after(undefined)],
      })),
    };
  }
}
