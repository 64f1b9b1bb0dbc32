/**
 * A small world around one Download, on a virtual clock and by a seed: peers that have much or little, are quick, slow,
 * mute, lie, refuse, leave and come back; slots that run short. After each event it checks the promises of a download:
 * a piece is had, being checked, asked for or offered, and never anything else; nobody is asked for what it lacks.
 */
import { Download, type Effect } from '../../src/main/swarm/download.ts';
import { Bitfield } from '../../src/protocol/bitfield.ts';
import { BAD_PIECES_MAX, KIB } from '../../src/protocol/limits.ts';
import { PieceTree } from '../../src/protocol/piece-tree.ts';
import { seeded } from './seeded.ts';

const PIECE_BYTES = 16 * KIB;
const TICK_MS = 100;
/** As the task does: a link that leaves a cancelled request unanswered for so long is closed, for its slot's sake. */
const SILENT_MS = 30_000;
const END_MS = 3_600_000;

type Temper = 'honest' | 'mute' | 'trickle' | 'liar' | 'refuser';

interface Request {
  cancelledMs: number | undefined;
}

interface WorldPeer {
  readonly key: number;
  readonly temper: Temper;
  readonly has: Bitfield;
  readonly latencyMs: number;
  readonly pieceMs: number;
  /** The one that makes every run complete in the end: it stays, and tells the truth. */
  readonly anchor: boolean;
  online: boolean;
  banned: boolean;
  lies: number;
  busyUntilMs: number;
  /** Requests on the wire, cancelled ones too, as a channel holds them. */
  readonly wire: Map<number, Request>;
  /** What the download should think is asked of it. */
  readonly asked: Set<number>;
  /** Counts its visits: what was sent before it left does not arrive after it came back. */
  visit: number;
}

interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly what: () => void;
}

export interface Outcome {
  readonly events: number;
  readonly endMs: number;
  readonly banned: number;
  readonly twice: number;
  readonly cancels: number;
}

export class DownloadWorld {
  readonly #random: () => number;
  readonly #tree: PieceTree;
  readonly #download: Download<number>;
  readonly #pipeline: number | undefined;
  readonly #peers: WorldPeer[] = [];
  readonly #checking = new Set<number>();
  #nowMs = 0;
  #order = 0;
  #due: Due[] = [];
  readonly #slots: number;
  #slotsFree: number;
  #completed = 0;
  #cancels = 0;
  #twice = 0;

  constructor(seed: number) {
    this.#random = seeded(seed);
    const dice = this.#random();
    const filePieces = dice < 0.03 ? 513 + this.#int(100) : dice < 0.2 ? 30 + this.#int(60) : 1 + this.#int(25);
    this.#tree = new PieceTree(filePieces * PIECE_BYTES - this.#int(PIECE_BYTES), PIECE_BYTES);
    this.#pipeline = this.#chance(0.5) ? undefined : 1 + this.#int(6);
    this.#slots = 8 + this.#int(40);
    this.#slotsFree = this.#slots;
    const have = this.#chance(0.2) ? this.#some(this.#random()) : undefined;
    this.#download = new Download<number>({
      tree: this.#tree,
      ...(have ? { have } : {}),
      pipeline: this.#pipeline,
      random: this.#random,
    });
    this.#later(this.#int(20_000), () => this.#arrive(this.#addPeer('honest', true)));
    const tempers: Temper[] = ['honest', 'honest', 'honest', 'mute', 'trickle', 'liar', 'refuser'];
    for (let n = this.#int(7); n > 0; n -= 1) {
      const peer = this.#addPeer(tempers[this.#int(tempers.length)] ?? 'honest', false);
      this.#later(this.#int(5_000), () => this.#arrive(peer));
    }
    this.#later(TICK_MS, () => this.#tick());
  }

  /** Throws when a promise is broken, or when the download is not whole after an hour. */
  run(): Outcome {
    let events = 0;
    const wasWhole = this.#download.complete;
    while (!this.#download.complete) {
      const next = this.#takeDue();
      if (next.atMs > END_MS) throw new Error(`not whole after an hour: ${this.#picture()}`);
      this.#nowMs = next.atMs;
      next.what();
      this.#pump();
      this.#check();
      events += 1;
    }
    this.#must(this.#completed === (wasWhole ? 0 : 1), 'completion is told once');
    this.#must(this.#download.doneFileBytes === this.#tree.sizeBytes, 'all bytes are counted');
    this.#must(this.#download.doneFilePieces === this.#tree.filePieceCount, 'all pieces are counted');
    const banned = this.#peers.filter((peer) => peer.banned).length;
    return { events, endMs: this.#nowMs, banned, twice: this.#twice, cancels: this.#cancels };
  }

  #addPeer(temper: Temper, anchor: boolean): WorldPeer {
    const peer: WorldPeer = {
      key: this.#peers.length,
      temper,
      has: anchor || this.#chance(0.4) ? Bitfield.full(this.#tree.pieceCount) : this.#some(this.#random()),
      latencyMs: this.#int(200),
      pieceMs: this.#chance(0.2) && this.#tree.pieceCount < 100 ? this.#int(8_000) : this.#int(100),
      anchor,
      online: false,
      banned: false,
      lies: 0,
      busyUntilMs: 0,
      wire: new Map(),
      asked: new Set(),
      visit: 0,
    };
    this.#peers.push(peer);
    return peer;
  }

  #arrive(peer: WorldPeer): void {
    if (peer.banned || peer.online) return;
    peer.online = true;
    peer.busyUntilMs = this.#nowMs;
    this.#download.addPeer(peer.key, Bitfield.fromBytes(peer.has.toBytes(), peer.has.length), this.#nowMs);
    if (!peer.anchor && this.#chance(0.3)) this.#visitLater(peer, this.#int(20_000), () => this.#leave(peer));
    if (!peer.has.complete && peer.temper === 'honest') this.#visitLater(peer, this.#int(500), () => this.#gain(peer));
  }

  #leave(peer: WorldPeer): void {
    if (!peer.online) return;
    peer.online = false;
    peer.visit += 1;
    this.#slotsFree += peer.wire.size;
    peer.wire.clear();
    peer.asked.clear();
    this.#download.removePeer(peer.key);
    if (peer.anchor || (!peer.banned && this.#chance(0.7)))
      this.#later(1_000 + this.#int(10_000), () => this.#arrive(peer));
  }

  /** A fellow downloader that gets one more piece. */
  #gain(peer: WorldPeer): void {
    const index = this.#int(peer.has.length);
    if (peer.has.set(index)) this.#download.peerGained(peer.key, index);
    if (!peer.has.complete) this.#visitLater(peer, this.#int(500), () => this.#gain(peer));
  }

  #pump(): void {
    for (let asked = true; asked; ) {
      asked = false;
      const online = this.#peers.filter((peer) => peer.online);
      // No peer holds more than its share of the slots, or a slow one would leave none to the quick.
      const share = Math.floor(this.#slots / online.length);
      for (const peer of online) if (this.#slotsFree > 0 && peer.wire.size < share && this.#ask(peer)) asked = true;
    }
  }

  #ask(peer: WorldPeer): boolean {
    const wants = this.#download.wants(peer.key, this.#nowMs);
    const index = this.#download.next(peer.key, this.#nowMs);
    this.#must(wants === (index !== undefined), 'wants tells what next does');
    if (index === undefined) return false;
    this.#must(this.#isOpenLevel(index), `piece ${index} is asked for after the level above it`);
    this.#must(peer.has.has(index), `peer ${peer.key} has piece ${index}`);
    this.#must(!this.#download.have.has(index), `piece ${index} is not there yet`);
    this.#must(!this.#checking.has(index), `piece ${index} is not being checked`);
    this.#must(!peer.asked.has(index), `piece ${index} is asked of a peer once`);
    const others = this.#peers.filter((other) => other.asked.has(index));
    if (others.length > 0) {
      this.#twice += 1;
      this.#must(peer.asked.size === 0, 'only an idle peer is asked for what another owes');
    }
    peer.asked.add(index);
    if (peer.wire.has(index)) {
      this.#download.unsent(peer.key, index);
      peer.asked.delete(index);
      return false;
    }
    this.#slotsFree -= 1;
    const request: Request = { cancelledMs: undefined };
    peer.wire.set(index, request);
    this.#serve(peer, index, request);
    return true;
  }

  #serve(peer: WorldPeer, index: number, request: Request): void {
    if (peer.temper === 'mute') return;
    peer.busyUntilMs = Math.max(peer.busyUntilMs, this.#nowMs) + peer.pieceMs;
    const delayMs = peer.busyUntilMs - this.#nowMs + peer.latencyMs;
    if (peer.temper === 'trickle') {
      this.#visitLater(peer, 90_000 + this.#int(60_000), () => this.#come(peer, index, request, true));
      return;
    }
    if (peer.temper === 'refuser' && this.#chance(0.5)) {
      this.#visitLater(peer, delayMs, () => this.#reject(peer, index, request));
      return;
    }
    const right = peer.temper !== 'liar' || this.#chance(0.5);
    this.#visitLater(peer, delayMs, () => this.#come(peer, index, request, right));
  }

  #reject(peer: WorldPeer, index: number, request: Request): void {
    if (!this.#answered(peer, index, request)) return;
    if (peer.asked.delete(index)) peer.has.clear(index);
    this.#download.rejected(peer.key, index);
  }

  #come(peer: WorldPeer, index: number, request: Request, right: boolean): void {
    if (!this.#answered(peer, index, request)) return;
    this.#slotsFree -= 1;
    peer.asked.delete(index);
    const isNew = this.#download.arrived(peer.key, index, this.#nowMs);
    this.#must(isNew === (!this.#checking.has(index) && !this.#download.have.has(index)), 'a piece is checked once');
    if (!isNew) {
      this.#slotsFree += 1;
      return;
    }
    this.#checking.add(index);
    this.#later(this.#int(30), () => this.#checked(peer, index, right));
  }

  #checked(peer: WorldPeer, index: number, right: boolean): void {
    this.#slotsFree += 1;
    this.#checking.delete(index);
    if (right && this.#chance(0.01)) {
      this.#download.unchecked(index);
      return;
    }
    if (right) {
      this.#apply(this.#download.kept(peer.key, index));
      return;
    }
    peer.lies += 1;
    const effects = this.#download.wrong(peer.key, index);
    const bans = effects.some(({ type }) => type === 'ban');
    this.#must(bans === peer.lies >= BAD_PIECES_MAX, `peer ${peer.key} with ${peer.lies} lies: banned ${bans}`);
    this.#apply(effects);
  }

  #apply(effects: readonly Effect<number>[]): void {
    for (const effect of effects) {
      if (effect.type === 'complete') {
        this.#completed += 1;
        continue;
      }
      const peer = this.#peers[effect.peer];
      if (!peer) throw new Error('an effect names a peer');
      if (effect.type === 'ban') {
        peer.banned = true;
        this.#must(!peer.anchor && peer.temper === 'liar', 'only liars are banned');
        this.#leave(peer);
        continue;
      }
      this.#cancels += 1;
      this.#must(peer.asked.delete(effect.index), `piece ${effect.index} is cancelled where it was asked for`);
      const request = peer.wire.get(effect.index);
      if (!request) continue;
      request.cancelledMs = this.#nowMs;
      // One that came in time is answered with a rejection, one that came late with the piece.
      if (peer.temper === 'mute' || peer.temper === 'trickle' || this.#chance(0.3)) continue;
      this.#visitLater(peer, peer.latencyMs, () => this.#reject(peer, effect.index, request));
    }
  }

  #tick(): void {
    for (const peer of this.#peers) {
      if (!peer.online) continue;
      // Parts of a piece come, of one that takes long or never ends; now and then they don't, and the peer stalls.
      const isSending = peer.temper === 'trickle' ? peer.wire.size > 0 : peer.busyUntilMs > this.#nowMs;
      if (peer.temper !== 'mute' && isSending && this.#chance(0.05)) {
        this.#download.heard(peer.key, this.#nowMs);
      }
      const isSilent = [...peer.wire.values()].some(
        ({ cancelledMs }) => cancelledMs !== undefined && this.#nowMs - cancelledMs > SILENT_MS,
      );
      if (isSilent) this.#leave(peer);
    }
    this.#apply(this.#download.tick(this.#nowMs));
    this.#later(TICK_MS, () => this.#tick());
  }

  /** Takes a request off the wire; false when nobody waits for it any more. */
  #answered(peer: WorldPeer, index: number, request: Request): boolean {
    if (peer.wire.get(index) !== request) return false;
    peer.wire.delete(index);
    this.#slotsFree += 1;
    return true;
  }

  #check(): void {
    const { have } = this.#download;
    for (const peer of this.#peers) {
      const open = this.#download.peer(peer.key)?.openCount ?? 0;
      this.#must(open === peer.asked.size, `peer ${peer.key}: ${open} open, ${peer.asked.size} expected`);
      if (this.#pipeline !== undefined) this.#must(open <= this.#pipeline, `peer ${peer.key} has ${open} open`);
    }
    const asked = new Set(this.#peers.flatMap((peer) => [...peer.asked]));
    for (let index = 0; index < have.length; index += 1) {
      if (!this.#isOpenLevel(index)) continue;
      if (have.has(index) || this.#checking.has(index) || asked.has(index)) continue;
      // Missing, then: whoever has it and nothing to do must be offered something.
      for (const peer of this.#peers) {
        if (!peer.online || peer.asked.size > 0 || !peer.has.has(index)) continue;
        this.#must(this.#download.wants(peer.key, this.#nowMs), `piece ${index} is lost: peer ${peer.key} has it`);
      }
    }
  }

  #isOpenLevel(index: number): boolean {
    const { firstIndex, pieceCount } = this.#tree.levelOf(index);
    for (let above = firstIndex + pieceCount; above < this.#tree.pieceCount; above += 1)
      if (!this.#download.have.has(above)) return false;
    return true;
  }

  #some(share: number): Bitfield {
    const have = new Bitfield(this.#tree.pieceCount);
    for (let index = 0; index < have.length; index += 1) if (this.#chance(share)) have.set(index);
    return have;
  }

  #later(delayMs: number, what: () => void): void {
    this.#order += 1;
    this.#due.push({ atMs: this.#nowMs + delayMs, order: this.#order, what });
  }

  #visitLater(peer: WorldPeer, delayMs: number, what: () => void): void {
    const { visit } = peer;
    this.#later(delayMs, () => {
      if (peer.visit === visit) what();
    });
  }

  #takeDue(): Due {
    let best = 0;
    for (const [at, due] of this.#due.entries()) {
      const first = this.#due[best];
      if (first && (due.atMs < first.atMs || (due.atMs === first.atMs && due.order < first.order))) best = at;
    }
    const [due] = this.#due.splice(best, 1);
    if (!due) throw new Error('the world stands still');
    return due;
  }

  #int(below: number): number {
    return Math.floor(this.#random() * below);
  }

  #chance(of: number): boolean {
    return this.#random() < of;
  }

  #must(holds: boolean, what: string): void {
    if (!holds) throw new Error(`at ${this.#nowMs} ms: ${what}. ${this.#picture()}`);
  }

  #picture(): string {
    const peers = this.#peers.map(
      ({ key, temper, anchor, online, banned, asked, wire }) =>
        `${key}:${anchor ? 'anchor' : temper}${online ? '' : banned ? ' banned' : ' away'} asked ${[...asked]} wire ${[...wire.keys()]}`,
    );
    const { have } = this.#download;
    return `${have.count} of ${have.length} there, ${this.#slotsFree} slots free; ${peers.join('; ')}`;
  }
}
