/**
 * Owns who is logged in on which connection, found by user and by session. What is told to a user goes to each of
 * their connections. Never decides who may log in.
 */
import type { SessionId, UserId } from '../../protocol/ids.ts';
import type { Push } from '../../protocol/messages.ts';

/** A connection that can be logged in. */
export interface Place {
  login: { readonly session: SessionId; readonly user: UserId } | undefined;
  push(push: Push): void;
}

export class Online<P extends Place> {
  readonly #byUser = new Map<UserId, Set<P>>();
  readonly #bySession = new Map<SessionId, Set<P>>();

  /** The place takes up a session, in place of the one it had. */
  enter(place: P, session: SessionId, user: UserId): void {
    this.leave(place);
    place.login = { session, user };
    add(this.#byUser, user, place);
    add(this.#bySession, session, place);
  }

  leave(place: P): void {
    const { login } = place;
    if (!login) return;
    place.login = undefined;
    remove(this.#byUser, login.user, place);
    remove(this.#bySession, login.session, place);
  }

  of(user: UserId): readonly P[] {
    return [...(this.#byUser.get(user) ?? [])];
  }

  in(session: SessionId): readonly P[] {
    return [...(this.#bySession.get(session) ?? [])];
  }

  sessions(): readonly SessionId[] {
    return [...this.#bySession.keys()];
  }

  tell(users: Iterable<UserId>, push: Push, except: P | undefined): void {
    for (const user of users) {
      for (const place of this.#byUser.get(user) ?? []) if (place !== except) place.push(push);
    }
  }
}

function add<K, P>(index: Map<K, Set<P>>, key: K, place: P): void {
  const places = index.get(key) ?? new Set<P>();
  places.add(place);
  index.set(key, places);
}

function remove<K, P>(index: Map<K, Set<P>>, key: K, place: P): void {
  const places = index.get(key);
  places?.delete(place);
  if (places?.size === 0) index.delete(key);
}
