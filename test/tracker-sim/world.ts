/**
 * Three trackers in a world that is out to get them: virtual clocks hours apart, links that break, delay, and (in every
 * second world) reorder and repeat messages, crashes that lose what was not on the disk. They run the journal and the
 * exchange that real trackers run; only sockets, disks and clocks are played. Everything follows from the seed.
 */
import type { Identity } from '../../src/main/net/identity.ts';
import type { Clock } from '../../src/main/support/clock.ts';
import { Exchange } from '../../src/main/tracker/exchange.ts';
import type { ReplicaLink } from '../../src/main/tracker/feed.ts';
import { comparePlaces } from '../../src/main/tracker/hlc.ts';
import { Journal } from '../../src/main/tracker/journal.ts';
import { Registry } from '../../src/main/tracker/registry.ts';
import { registryDigest } from '../../src/main/tracker/registry-digest.ts';
import { type RequestId, type TrackerId, toHex } from '../../src/protocol/ids.ts';
import type { ReplicaMessage } from '../../src/protocol/replica.ts';
import { type Operation, readEntry, type Transaction } from '../../src/protocol/transaction.ts';
import { deviceId, requestId } from '../support/registry.ts';
import { seeded } from '../support/seeded.ts';
import { SimDisk, SYNC_MS_MAX } from './disk.ts';
import { countingLogger, type Hardships, noHardships } from './hardships.ts';
import { randomOperation } from './operations.ts';
import { Timeline } from './timeline.ts';

const CHAOS_MS = 8_000;
const HOUR_MS = 3_600_000;
const START_MS = 1_700_000_000_000;
const TICK_MS = 500;

interface Wire {
  readonly ends: readonly [SimLink, SimLink];
  open: boolean;
}

class SimLink implements ReplicaLink {
  readonly peer: Identity['id'];
  readonly owner: Node;
  deliver: (message: ReplicaMessage) => void = () => {};

  constructor(owner: Node, peer: Node) {
    this.owner = owner;
    this.peer = peer.identity.id;
  }

  send(message: ReplicaMessage): void {
    this.deliver(message);
  }
}

interface Node {
  readonly identity: Identity;
  readonly disk: SimDisk;
  readonly clock: Clock;
  skewMs: number;
  running: { readonly journal: Journal; readonly exchange: Exchange } | undefined;
  readonly wires: Set<Wire>;
  /** Where it belongs while the network is split. */
  side: number;
}

interface Request {
  readonly id: RequestId;
  readonly op: Operation;
}

export class World {
  readonly #timeline = new Timeline();
  readonly #random: () => number;
  readonly #rude: boolean;
  readonly #nodes: readonly Node[];
  readonly #requests: Request[] = [];
  readonly #acknowledged: Transaction[] = [];
  readonly #hardships = noHardships();
  readonly #logger = countingLogger(this.#hardships);
  #failure: unknown;
  #isCalm = false;

  constructor(seed: number, identities: readonly Identity[]) {
    this.#random = seeded(seed);
    this.#rude = seed % 2 === 1;
    this.#nodes = identities.map((identity) => {
      const node: Node = {
        identity,
        disk: new SimDisk(this.#timeline, this.#random),
        clock: {
          nowMs: () => Math.floor(START_MS + this.#timeline.nowMs + node.skewMs),
          monotonicMs: () => this.#timeline.nowMs,
          every: () => () => {},
          after: () => () => {},
        },
        skewMs: 0,
        running: undefined,
        wires: new Set(),
        side: 0,
      };
      return node;
    });
  }

  /** Chaos, then calm. Throws when the trackers do not agree then, or anything acknowledged is missing. */
  async run(): Promise<Hardships> {
    for (const node of this.#nodes) await this.#start(node);
    this.#tick();
    this.#chaos();
    await this.#timeline.until(CHAOS_MS);
    this.#isCalm = true;
    for (const node of this.#nodes) {
      node.skewMs = 0;
      node.side = 0;
      if (!node.running) await this.#start(node);
    }
    // What was stamped hours ahead is taken when its time has come.
    await this.#timeline.until(this.#timeline.nowMs + 6 * HOUR_MS);
    this.#tick();
    for (let round = 0; round < 40 && !this.#agree(); round += 1) {
      await this.#timeline.until(this.#timeline.nowMs + TICK_MS);
    }
    if (this.#failure !== undefined) throw this.#failure;
    this.#check();
    return { ...this.#hardships, acknowledged: this.#acknowledged.length };
  }

  #chance(probability: number): boolean {
    return this.#random() < probability;
  }

  #pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.#random() * items.length)];
    if (item === undefined) throw new Error('nothing to pick from');
    return item;
  }

  #tick(): void {
    for (const node of this.#nodes) {
      node.running?.exchange.tick();
      for (const other of this.#nodes) if (other !== node) this.#dial(node, other);
    }
    // The last tick of the calm is the one before the clocks jump.
    if (!this.#isCalm || this.#timeline.nowMs > HOUR_MS) this.#timeline.after(TICK_MS, () => this.#tick());
  }

  #chaos(): void {
    if (this.#isCalm) return;
    const deeds: readonly (readonly [number, () => void])[] = [
      [0.45, () => this.#ask(this.#newRequest())],
      [0.2, () => this.#requests.length > 0 && this.#ask(this.#pick(this.#requests.slice(-6)))],
      [0.1, () => this.#crashAtWork(this.#pick(this.#nodes))],
      [0.15, () => this.#split()],
      [0.1, () => this.#skew(this.#pick(this.#nodes))],
    ];
    let left = this.#random();
    for (const [probability, deed] of deeds) {
      left -= probability;
      if (left > 0) continue;
      deed();
      break;
    }
    this.#timeline.after(this.#random() * 600, () => this.#chaos());
  }

  #newRequest(): Request {
    const request = { id: requestId(1000 + this.#requests.length), op: randomOperation(this.#random) };
    this.#requests.push(request);
    return request;
  }

  /** A client does a request at some tracker, perhaps not for the first time. */
  #ask({ id, op }: Request, { running } = this.#pick(this.#nodes)): void {
    if (!running) return;
    const { journal } = running;
    const device = deviceId(1);
    const earlier = journal.find(id, device);
    const transaction = earlier ?? journal.write(op, { device }, id).transaction;
    void Promise.resolve(journal.settled()).then(() => {
      this.#acknowledged.push(transaction);
    });
  }

  /** Before, or just after, what it was asked for last is on its disk. */
  #crashAtWork(node: Node): void {
    this.#ask(this.#newRequest(), node);
    this.#timeline.after(this.#random() * SYNC_MS_MAX, () => this.#crash(node));
  }

  #crash(node: Node): void {
    if (!node.running) return;
    this.#hardships.crashes += 1;
    this.#hardships.replayed += node.running.journal.replayedTotal;
    node.running = undefined;
    this.#hardships.unsyncedLost += node.disk.crash();
    for (const wire of [...node.wires]) this.#cut(wire);
    this.#timeline.after(this.#random() * 2_000, () => void this.#start(node));
  }

  #split(): void {
    for (const node of this.#nodes) node.side = this.#chance(0.5) ? 0 : 1;
    for (const wire of this.#nodes.flatMap(({ wires }) => [...wires])) {
      const [one, other] = wire.ends;
      if (!wire.open || one.owner.side === other.owner.side) continue;
      this.#hardships.cut += 1;
      this.#cut(wire);
    }
  }

  #skew(node: Node): void {
    node.skewMs = this.#chance(0.3) ? 0 : (this.#random() - 0.5) * 10 * HOUR_MS;
  }

  async #start(node: Node): Promise<void> {
    if (node.running) return;
    const keys = new Map<TrackerId, Identity['publicKey']>(
      this.#nodes.map(({ identity }) => [identity.id, identity.publicKey]),
    );
    const journal = await Journal.open(node.disk.open(), node.identity, node.clock, { keyOf: (id) => keys.get(id) });
    if (node.running) return;
    const failed = (error: unknown) => {
      this.#failure ??= error;
    };
    const exchange = new Exchange(journal, {
      logger: this.#logger,
      introduction: () => ({ keys: [], pins: [] }),
      introduced: () => {},
      executed: () => {},
      failed,
      violated: (_, violation) => failed(violation),
      presence: () => {},
      followed: () => {},
      progress: () => {},
    });
    node.running = { journal, exchange };
  }

  #dial(from: Node, to: Node): void {
    if (!from.running || !to.running || from.side !== to.side) return;
    const exists = [...from.wires].some(
      ({ ends: [dialled, accepted] }) => dialled.owner === from && accepted.owner === to,
    );
    if (exists) return;
    const ends = [new SimLink(from, to), new SimLink(to, from)] as const;
    const wire: Wire = { ends, open: true };
    ends[0].deliver = this.#carrier(wire, ends[1]);
    ends[1].deliver = this.#carrier(wire, ends[0]);
    from.wires.add(wire);
    to.wires.add(wire);
    void from.running.exchange.follow(ends[0]);
    to.running.exchange.feed(ends[1]);
  }

  #carrier(wire: Wire, to: SimLink): (message: ReplicaMessage) => void {
    let lastMs = 0;
    let sent = 0;
    let newest = 0;
    return (message) => {
      sent += 1;
      const number = sent;
      const copies = this.#rude && this.#chance(0.1) ? 2 : 1;
      this.#hardships.duplicated += copies - 1;
      for (let copy = 0; copy < copies; copy += 1) {
        const atMs = this.#timeline.nowMs + 1 + this.#random() * (this.#rude ? 800 : 100);
        const dueMs = this.#rude ? atMs : Math.max(lastMs, atMs);
        lastMs = dueMs;
        this.#timeline.after(dueMs - this.#timeline.nowMs, () => {
          if (!wire.open) return;
          if (number < newest) this.#hardships.overtaken += 1;
          newest = Math.max(newest, number);
          to.owner.running?.exchange.received(to, message);
        });
      }
    };
  }

  #cut(wire: Wire): void {
    if (!wire.open) return;
    wire.open = false;
    for (const end of wire.ends) {
      end.owner.wires.delete(wire);
      end.owner.running?.exchange.ended(end);
    }
  }

  #agree(): boolean {
    const held = this.#nodes.map(({ running }) => JSON.stringify(Object.entries(running?.journal.held() ?? {}).sort()));
    const counts = this.#nodes.map(({ disk }) => disk.entryCount);
    return new Set(held).size === 1 && new Set(counts).size === 1;
  }

  #check(): void {
    if (!this.#agree()) throw new Error('the trackers do not hold the same');
    const straight = new Registry();
    const [first] = this.#nodes;
    const all = [...(first?.disk.open().entries() ?? [])].map(({ signed }) => readEntry(signed).transaction);
    const done = new Set<string>();
    for (const transaction of all.toSorted(comparePlaces)) {
      const changed = straight.execute(transaction) !== undefined;
      if (changed && done.has(transaction.requestId)) throw new Error('a request was done twice');
      if (changed) done.add(transaction.requestId);
    }
    const expected = toHex(registryDigest(straight));
    for (const { running } of this.#nodes) {
      if (!running || running.exchange.differs || toHex(running.exchange.digest()) !== expected) {
        throw new Error('a registry is not what the log adds up to');
      }
      this.#hardships.replayed += running.journal.replayedTotal;
    }
    const kept = new Set(all.map(({ origin, seq, requestId: id }) => `${origin} ${seq} ${id}`));
    for (const { origin, seq, requestId: id } of this.#acknowledged) {
      if (!kept.has(`${origin} ${seq} ${id}`)) throw new Error(`lost: ${id}, which was acknowledged`);
    }
  }
}
