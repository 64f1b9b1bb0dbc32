/** Small swarms of every kind, one for each seed, and what must hold in them after every single event. */
import { invariant } from '../../src/protocol/errors.ts';
import { KIB, MIB } from '../../src/protocol/limits.ts';
import { seeded } from '../support/seeded.ts';
import type { Host } from './host.ts';
import type { HostSpec, Scenario } from './scenario.ts';
import { SILENT_MS, Swarm } from './swarm.ts';

const PIECE_BYTES = 16 * KIB;
/** Nobody who is there waits longer for a right piece: a stall, a queue and a slow uplink together. */
const STARVED_MS = 15_000;
/** With few slots, a peer that falls silent may hold them all until its link is given up. */
const STARVED_FEW_SLOTS_MS = STARVED_MS + SILENT_MS;
const FEW_SLOTS = 4;
const BOUNDS_MAX = 200;

/** 1 or 2 seeders, up to 11 peers; files of one to three levels; some come late, leave, go quiet or lie. */
export function mixedScenario(random: () => number): Scenario {
  const chance = (part: number) => random() < part;
  const between = (low: number, high: number) => low + random() * (high - low);
  const isLarge = chance(0.02);
  const pieces = isLarge ? 513 + Math.floor(random() * 50) : 1 + Math.floor(random() * 60);
  const host = (isSeeder: boolean): HostSpec => ({
    upBytesPerMs: between(40, 2000),
    downBytesPerMs: between(100, 4000),
    latencyMs: between(0.1, 80),
    joinMs: !isSeeder && chance(0.3) ? between(0, 3000) : 0,
    ...(!isSeeder && chance(0.25) ? { leave: { atMs: between(100, 6000), quietly: chance(0.5) } } : {}),
    isSeeder,
    lies: !isSeeder && chance(0.2) ? between(0.2, 1.2) : 0,
  });
  const seeders = Array.from({ length: chance(0.2) ? 2 : 1 }, () => host(true));
  const peers = Array.from({ length: isLarge ? 2 : 2 + Math.floor(random() * 10) }, () => host(false));
  return {
    sizeBytes: pieces * PIECE_BYTES - Math.floor(random() * PIECE_BYTES),
    pieceSizeBytes: PIECE_BYTES,
    peersMax: 50,
    slotBytes: chance(0.3) ? FEW_SLOTS * PIECE_BYTES : 48 * MIB,
    verifyMs: chance(0.3) ? between(1, 60) : 0.5,
    pipeline: chance(0.3) ? 1 + Math.floor(random() * 6) : undefined,
    hosts: [...seeders, ...peers],
  };
}

function checkHost(host: Host, nowMs: number): void {
  const { download, id } = host;
  if (!download || !host.isOnline) return;
  invariant(host.rightPieces === download.have.count, `host ${id} has only right pieces, each kept once`);
  let open = 0;
  for (const link of host.sources.values()) {
    open += link.wire.size;
    const asked = download.peer(link.server.id)?.openCount ?? 0;
    invariant(asked <= link.wire.size, `what host ${id} thinks it asked of ${link.server.id} is on the wire`);
    invariant(link.moving <= link.wire.size, `host ${link.server.id} sends ${id} what it asked for`);
  }
  invariant(open <= host.slotsUsed && host.slotsUsed <= host.slotsMax, `host ${id} has a slot for all on its way`);
  const starvedMs = host.slotsMax > FEW_SLOTS ? STARVED_MS : STARVED_FEW_SLOTS_MS;
  invariant(download.complete || nowMs - host.gainedMs < starvedMs, `host ${id} does not starve`);
}

/** Runs one; throws where a promise is broken, with the time and the host. */
export function runMixed(seed: number): Swarm {
  const random = seeded(seed);
  const scenario = mixedScenario(random);
  const swarm = new Swarm(scenario, random);
  const untilMs = 60_000 + BOUNDS_MAX * (scenario.sizeBytes / 40);
  while (swarm.fetching > 0) {
    swarm.step();
    const { nowMs } = swarm.timeline;
    for (const host of swarm.hosts) checkHost(host, nowMs);
    invariant(nowMs < untilMs, `all who stay finish; ${swarm.fetching} have not`);
  }
  return swarm;
}
