/**
 * The tickets of the groups that this client fetches from: asked of a tracker when first needed, renewed at half their
 * time, kept to their end where no tracker can be reached.
 */
import { RequestError } from '../../protocol/errors.ts';
import type { GroupId } from '../../protocol/ids.ts';
import { TICKET_LIFETIME_MS } from '../../protocol/limits.ts';
import type { Signed } from '../../protocol/signed.ts';
import type { Clock } from '../support/clock.ts';
import type { TicketSource } from '../swarm/peer-links.ts';
import type { TrackerSession } from './tracker-session.ts';

interface Held {
  readonly ticket: Signed;
  readonly renewAtMs: number;
  readonly expiresAtMs: number;
}

export class Tickets implements TicketSource {
  readonly #session: TrackerSession;
  readonly #clock: Clock;
  readonly #held = new Map<GroupId, Held>();
  /** One question a group at a time, however many links ask. */
  readonly #asking = new Map<GroupId, Promise<Signed>>();

  constructor(session: TrackerSession, clock: Clock) {
    this.#session = session;
    this.#clock = clock;
  }

  async get(group: GroupId): Promise<Signed> {
    const held = this.#held.get(group);
    const nowMs = this.#clock.monotonicMs();
    if (held && nowMs < held.renewAtMs) return held.ticket;
    const asking = this.#asking.get(group) ?? this.#ask(group);
    try {
      return await asking;
    } catch (error) {
      const unreachable = error instanceof RequestError && error.kind === 'unreachable';
      if (held && unreachable && nowMs < held.expiresAtMs) return held.ticket;
      throw error;
    }
  }

  drop(group: GroupId): void {
    this.#held.delete(group);
    this.#asking.delete(group);
  }

  /** Somebody else is logged in now, or nobody. */
  dropAll(): void {
    this.#held.clear();
    this.#asking.clear();
  }

  #ask(group: GroupId): Promise<Signed> {
    const askedAtMs = this.#clock.monotonicMs();
    const asking: Promise<Signed> = this.#session
      .call('ticket', { group })
      .then(({ ticket }) => {
        const renewAtMs = askedAtMs + TICKET_LIFETIME_MS / 2;
        // Dropped while it was asked for: it may be for somebody else, or no longer good.
        if (this.#asking.get(group) === asking) {
          this.#held.set(group, { ticket, renewAtMs, expiresAtMs: askedAtMs + TICKET_LIFETIME_MS });
        }
        return ticket;
      })
      .finally(() => {
        if (this.#asking.get(group) === asking) this.#asking.delete(group);
      });
    this.#asking.set(group, asking);
    return asking;
  }
}
