/**
 * PURE. What the transactions add up to: users, sessions, groups with their members, requests and files.
 *
 * Identity is an immutable id; names are an index. `execute` is the only way in, and what it noted to undo the way
 * back. It is total and deterministic: an operation that no longer applies (its group is dissolved, its request was
 * answered, it is the second under its request id) changes nothing, and of two things of one name the later gets
 * another (clash.ts), because logs of several trackers are merged and what was right where it was written may come
 * too late. Whether a request is allowed is judged before, in requests.ts; nothing here asks who wants it.
 */
import type { DeviceId, FileId, GroupId, RequestId, SessionId, TrackerId, UserId } from '../../protocol/ids.ts';
import { FILE_PATH_BYTES_MAX, USER_NAME_BYTES_MAX } from '../../protocol/limits.ts';
import type { FileRecord } from '../../protocol/messages.ts';
import type { Transaction } from '../../protocol/transaction.ts';
import { freeFileName, freeName, ignorantOf, type Removals, withRemoval } from './clash.ts';
import { type Clash, Folders } from './folders.ts';
import { NameIndex } from './name-index.ts';
import { RankedSet, type ReadonlyRankedSet } from './ranked-set.ts';
import { Undo } from './undo.ts';

/** Room for `~` and a whole id behind the longest name that a person may give. */
const LABEL_BYTES_MAX = USER_NAME_BYTES_MAX + 33;

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
  readonly members: ReadonlyRankedSet<UserId>;
  /** In the order in which they asked. */
  readonly requests: ReadonlyRankedSet<UserId>;
  readonly files: ReadonlyMap<FileId, GroupFile>;
  readonly filesByName: Pick<NameIndex<GroupFile>, 'get' | 'after' | 'size'>;
  /** What stands in the way of a new file's name beside a file of the same name. */
  clash(name: string): Clash | undefined;
}

class GroupState implements Group {
  readonly id: GroupId;
  readonly name: string;
  owner: UserId;
  readonly members = new RankedSet<UserId>();
  readonly requests = new RankedSet<UserId>();
  /** Who was a member once, and by which entries that ended. */
  readonly removals = new Map<UserId, Removals>();
  readonly files = new Map<FileId, GroupFile>();
  readonly filesByName = new NameIndex<GroupFile>();
  readonly folders = new Folders();

  constructor(id: GroupId, name: string, owner: UserId) {
    this.id = id;
    this.name = name;
    this.owner = owner;
    this.members.add(owner, new Undo());
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

/** Where the transaction of a request stands, and the device that asked. */
export interface RequestPlace {
  readonly device: DeviceId;
  readonly origin: TrackerId;
  readonly seq: number;
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
  /** Every request that was executed: a second transaction of the same one, of the same device, changes nothing. */
  readonly #requests = new Map<RequestId, readonly RequestPlace[]>();
  /** Every device and tracker that transactions name, so that millions of them share one text of each. */
  readonly #shared = new Map<string, string>();

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

  /** The executed transactions of a request: more than one only where devices chose the same id. */
  placesOf(request: RequestId): readonly RequestPlace[] {
    return this.#requests.get(request) ?? [];
  }

  /** Executes a transaction; what takes it back is noted in `undo`, which must be run before any older one. */
  execute(transaction: Transaction, undo = new Undo()): Outcome | undefined {
    const { op, requestId, actor, seq } = transaction;
    const places = this.placesOf(requestId);
    if (places.some(({ device }) => device === actor.device)) return undefined;
    const place = { device: this.#share(actor.device), origin: this.#share(transaction.origin), seq };
    undo.set(this.#requests, requestId, [...places, place]);
    const outcome = this.#apply(transaction, undo);
    if (!outcome) return undefined;
    const remember = (what: Remembered) => undo.set(this.#remembered, requestId, what);
    if (op.type === 'join-requested' && outcome.group) remember({ owner: outcome.group.owner });
    if (outcome.newOwner) remember({ owner: outcome.newOwner });
    if (outcome.dissolved) remember({ dissolved: true });
    return outcome;
  }

  /** Empty again, as at the start. */
  clear(): void {
    this.#users.clear();
    this.#usersByName.clear();
    this.#sessions.clear();
    this.#sessionsByDevice.clear();
    this.#groups.clear();
    this.#groupsByName.clear();
    this.#remembered.clear();
    this.#requests.clear();
  }

  #share<T extends string>(text: T): T {
    const known = this.#shared.get(text);
    if (known !== undefined) return known as T;
    this.#shared.set(text, text);
    return text;
  }

  #apply(transaction: Transaction, undo: Undo): Outcome | undefined {
    const { op } = transaction;
    switch (op.type) {
      case 'user-created': {
        if (this.#users.has(op.user)) return undefined;
        const name = freeName(op.name, op.user, LABEL_BYTES_MAX, (taken) => this.#usersByName.has(taken));
        const user = { id: op.user, name, passwordHash: op.passwordHash };
        undo.set(this.#users, user.id, user);
        undo.set(this.#usersByName, user.name, user);
        return {};
      }
      case 'session-opened': {
        if (!this.#users.has(op.user) || this.#sessions.has(op.session)) return undefined;
        const before = this.#sessionsByDevice.get(op.device);
        if (before) undo.delete(this.#sessions, before.id);
        const session = { id: op.session, user: op.user, device: op.device, expiresMs: op.expiresMs };
        undo.set(this.#sessions, session.id, session);
        undo.set(this.#sessionsByDevice, session.device, session);
        return before ? { ended: [before.id] } : {};
      }
      case 'session-closed': {
        const session = this.#sessions.get(op.session);
        if (!session) return undefined;
        undo.delete(this.#sessions, session.id);
        undo.delete(this.#sessionsByDevice, session.device);
        return { ended: [session.id] };
      }
      case 'group-created': {
        if (!this.#users.has(op.owner) || this.#groups.has(op.group)) return undefined;
        const taken = (name: string) => this.#groupsByName.get(name) !== undefined;
        const group = new GroupState(op.group, freeName(op.name, op.group, LABEL_BYTES_MAX, taken), op.owner);
        undo.set(this.#groups, group.id, group);
        this.#groupsByName.add(group.name, group);
        undo.note(() => this.#groupsByName.delete(group.name));
        return { group };
      }
      case 'join-requested': {
        const group = this.#groups.get(op.group);
        if (!group || !this.#users.has(op.user)) return undefined;
        if (group.members.has(op.user) || group.requests.has(op.user)) return undefined;
        group.requests.add(op.user, undo);
        return { group };
      }
      case 'join-accepted': {
        const group = this.#groups.get(op.group);
        if (!group || ignorantOf(group.removals.get(op.user), transaction)) return undefined;
        if (!group.requests.delete(op.user, undo)) return undefined;
        group.members.add(op.user, undo);
        return { group };
      }
      case 'join-rejected': {
        const group = this.#groups.get(op.group);
        return group?.requests.delete(op.user, undo) ? { group } : undefined;
      }
      case 'member-left':
      case 'member-removed': {
        const group = this.#groups.get(op.group);
        if (!group?.members.delete(op.user, undo)) return undefined;
        undo.set(group.removals, op.user, withRemoval(group.removals.get(op.user), transaction));
        return this.#afterDeparture(group, op.user, undo);
      }
      case 'file-shared': {
        const group = this.#groups.get(op.group);
        if (!group?.members.has(op.by) || group.files.has(op.file)) return undefined;
        const { file, sizeBytes, pieceSizeBytes, root, by } = op;
        const before = op.replaces && group.files.get(op.replaces);
        if (before) {
          undo.delete(group.files, before.file);
          group.filesByName.delete(before.name);
          group.folders.delete(before.name);
          undo.note(() => {
            group.filesByName.add(before.name, before);
            group.folders.add(before.name);
          });
        }
        const taken = (name: string) => group.filesByName.get(name) !== undefined;
        const name = freeFileName(op.name, file, FILE_PATH_BYTES_MAX, taken, (other) => group.clash(other));
        const record = { file, name, sizeBytes, pieceSizeBytes, root, by };
        undo.set(group.files, file, record);
        group.filesByName.add(name, record);
        group.folders.add(name);
        undo.note(() => {
          group.filesByName.delete(name);
          group.folders.delete(name);
        });
        return { group };
      }
      default:
        return op satisfies never;
    }
  }

  /** Hands a group without its owner to its longest-standing member; one without members is dissolved. */
  #afterDeparture(group: GroupState, user: UserId, undo: Undo): Outcome {
    const [longestStanding] = group.members;
    if (longestStanding === undefined) {
      undo.delete(this.#groups, group.id);
      this.#groupsByName.delete(group.name);
      undo.note(() => this.#groupsByName.add(group.name, group));
      return { group, dissolved: true };
    }
    if (group.owner !== user) return { group };
    group.owner = longestStanding;
    undo.note(() => {
      group.owner = user;
    });
    return { group, newOwner: longestStanding };
  }

  /** Everything as plain data in one order, to compare registries by. */
  snapshot(): unknown {
    const byId = <T extends { id: string }>(items: Iterable<T>) => [...items].sort((a, b) => (a.id < b.id ? -1 : 1));
    return {
      users: byId(this.#users.values()),
      sessions: byId(this.#sessions.values()),
      groups: byId(this.#groups.values()).map(({ id, name, owner, members, requests, removals, filesByName }) => ({
        id,
        name,
        owner,
        members: [...members],
        requests: [...requests],
        removals: [...removals].map(([user, by]) => [user, Object.entries(by).sort()]).sort(),
        files: [...filesByName.after(undefined)],
      })),
    };
  }
}
