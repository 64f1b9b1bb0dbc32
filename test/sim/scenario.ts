/**
 * What a simulated swarm is made of: hosts with their links, whims and comings and goings, and one file. Everything
 * random is drawn here or by the seed, so that equal scenarios and seeds run alike.
 */
export interface HostSpec {
  readonly upBytesPerMs: number;
  readonly downBytesPerMs: number;
  /** One way, between this host as a server and whoever fetches from it. */
  readonly latencyMs: number;
  readonly joinMs: number;
  /** When it goes; quietly: those connected to it are not told. */
  readonly leave?: { readonly atMs: number; readonly quietly: boolean };
  readonly isSeeder: boolean;
  /** The part of what it sends that is wrong. A liar says it has everything. */
  readonly lies: number;
}

export interface Scenario {
  readonly sizeBytes: number;
  readonly pieceSizeBytes: number;
  /** To how many others a downloader connects. */
  readonly peersMax: number;
  /** Memory of a downloader for pieces on their way or being checked. */
  readonly slotBytes: number;
  readonly verifyMs: number;
  /** Requests open at one peer; undefined: adaptive. */
  readonly pipeline: number | undefined;
  readonly hosts: readonly HostSpec[];
}

/** A swarm in a few numbers, as flags give them. Rates in bytes per second; what is true of some peers, as a part of 1. */
export interface SwarmPlan {
  readonly seeders: number;
  readonly peers: number;
  readonly sizeBytes: number;
  readonly pieceSizeBytes: number;
  readonly seedUp: number;
  readonly up: number;
  readonly down: number;
  readonly latencyMs: number;
  /** Peers' uplinks and latencies lie up to so many times apart; 1: all are equal. */
  readonly spread: number;
  readonly peersMax: number;
  readonly memoryBytes: number;
  readonly pipeline: number | undefined;
  /** These go mid-way, every second without a word. */
  readonly leaving: number;
  /** These say they have everything; every second lies always, the others now and then. */
  readonly lying: number;
  /** These come while others are at it. */
  readonly late: number;
}

/** What a client keeps of its memory for downloads at most. */
const DOWNLOAD_SHARE = 0.75;

/** When the last of N peers can be done at the earliest: max(F/u_seed, F/d_min, N·F/(u_seed+Σu_i)). */
export function boundMs(scenario: Scenario): number {
  const honest = scenario.hosts.filter(({ lies }) => lies === 0);
  const seeders = honest.filter(({ isSeeder }) => isSeeder);
  const peers = honest.filter(({ isSeeder, leave }) => !isSeeder && !leave);
  const sum = (hosts: readonly HostSpec[]) => hosts.reduce((all, { upBytesPerMs }) => all + upBytesPerMs, 0);
  const slowestDown = Math.min(...peers.map(({ downBytesPerMs }) => downBytesPerMs));
  const bytes = scenario.sizeBytes;
  return Math.max(bytes / sum(seeders), bytes / slowestDown, (peers.length * bytes) / sum(honest));
}

/** The plan's hosts: seeders, liars, leavers, late ones, the rest. */
export function scenarioOf(plan: SwarmPlan, random: () => number): Scenario {
  const link = { latencyMs: plan.latencyMs, upBytesPerMs: plan.up / 1000, downBytesPerMs: plan.down / 1000 };
  const fileMs = (plan.sizeBytes / Math.min(plan.seedUp, plan.down)) * 1000;
  const hosts: HostSpec[] = [];
  for (let n = 0; n < plan.seeders; n += 1) {
    hosts.push({ ...link, upBytesPerMs: plan.seedUp / 1000, joinMs: 0, isSeeder: true, lies: 0 });
  }
  for (let n = 0; n < plan.peers; n += 1) {
    const kind = n / plan.peers;
    const isLiar = kind < plan.lying;
    const leaves = !isLiar && kind < plan.lying + plan.leaving;
    const isLate = !isLiar && !leaves && kind < plan.lying + plan.leaving + plan.late;
    const slower = plan.spread ** random();
    hosts.push({
      upBytesPerMs: link.upBytesPerMs / slower,
      downBytesPerMs: link.downBytesPerMs / slower ** 0.5,
      latencyMs: link.latencyMs * plan.spread ** random(),
      joinMs: isLate ? random() * fileMs : 0,
      ...(leaves ? { leave: { atMs: (0.25 + 0.5 * random()) * fileMs, quietly: n % 2 === 0 } } : {}),
      isSeeder: false,
      lies: isLiar ? (n % 2 === 0 ? 1 : 0.3) : 0,
    });
  }
  return {
    sizeBytes: plan.sizeBytes,
    pieceSizeBytes: plan.pieceSizeBytes,
    peersMax: plan.peersMax,
    slotBytes: DOWNLOAD_SHARE * plan.memoryBytes,
    verifyMs: 0.5,
    pipeline: plan.pipeline,
    hosts,
  };
}
