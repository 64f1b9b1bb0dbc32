/** PURE. How a tracker is doing, as data and as the lines that a person reads. */
import { lag, type Vector } from './vectors.ts';

export interface PeerState {
  readonly peer: string;
  /** Links stand in both directions. */
  readonly linked: boolean;
  readonly theyLack: number;
  readonly weLack: number;
}

export interface TrackerStatus {
  readonly id: string;
  readonly held: Vector;
  readonly digest: string;
  readonly differs: boolean;
  readonly entries: number;
  readonly connections: number;
  readonly perSecond: number;
  readonly replayed: number;
  readonly damaged: number;
  readonly peers: readonly PeerState[];
  /** Where the log is kept that all trackers share; `fault`: why it can't be reached now. */
  readonly shared?:
    | { readonly where: string; readonly members: number; readonly fault: string | undefined }
    | undefined;
}

/** What is known of each tracker that a link stands to, in either direction. */
export function peerStates(
  links: readonly { readonly peer: string; readonly held: Vector; readonly follows: boolean }[],
  held: Vector,
): readonly PeerState[] {
  return [...new Set(links.map(({ peer }) => peer))].sort().map((peer) => {
    const theirs = links.filter((link) => link.peer === peer);
    const last = (follows: boolean) => theirs.find((link) => link.follows === follows)?.held;
    return {
      peer,
      linked: last(true) !== undefined && last(false) !== undefined,
      theyLack: lag(last(true) ?? {}, held),
      weLack: lag(held, last(false) ?? {}),
    };
  });
}

export function statusText(status: TrackerStatus): string {
  const { held, peers } = status;
  const logs = Object.entries(held).map(([origin, seq]) => `  ${short(origin)}  ${seq} entries${mine(origin, status)}`);
  const links = peers.map(({ peer, linked, theyLack, weLack }) => {
    const lags = theyLack + weLack === 0 ? 'in step' : `it lacks ${theyLack}, we lack ${weLack}`;
    return `  ${short(peer)}  ${linked ? lags : `linked one way only, ${lags}`}`;
  });
  return [
    `pin: ${status.id}`,
    `connections: ${status.connections}`,
    `transactions: ${status.entries}, ${status.perSecond}/s in the last ten seconds, ${status.replayed} done again`,
    `digest: ${status.digest}${status.differs ? '  NOT what another tracker with the same logs has' : ''}`,
    sharedText(status),
    status.damaged > 0 ? `damaged logs: ${status.damaged}` : '',
    logs.length > 0 ? `logs:\n${logs.join('\n')}` : 'logs: none',
    links.length > 0 ? `trackers:\n${links.join('\n')}` : 'trackers: no link to another',
  ]
    .filter((line) => line !== '')
    .join('\n');
}

function sharedText({ shared }: TrackerStatus): string {
  if (!shared) return '';
  const { where, members, fault } = shared;
  const state = fault === undefined ? '' : `  NOT REACHABLE: ${fault}`;
  return `kept in: ${where} (${members} ${members === 1 ? 'member' : 'members'})${state}`;
}

const short = (id: string) => id.slice(0, 16);
const mine = (origin: string, { id }: TrackerStatus) => (origin === id ? ' (this tracker)' : '');
