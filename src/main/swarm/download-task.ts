/**
 * One download under way: owns its content, its channels to peers and the download's state machine, and turns the
 * machine's effects into requests, writes and a finished file. Its promises: a piece is asked for only with a slot in
 * hand, announced only after it is verified and written, and the file gets its name only when it is whole.
 */
import { Bitfield } from '../../protocol/bitfield.ts';
import { blake3 } from '../../protocol/digest.ts';
import { RequestError } from '../../protocol/errors.ts';
import type { DeviceId, FileId, GroupId } from '../../protocol/ids.ts';
import type { FileRecord, Peer } from '../../protocol/messages.ts';
import { PieceTree } from '../../protocol/piece-tree.ts';
import type { Content } from '../engine/content.ts';
import type { Engine, FileStamp } from '../engine/engine.ts';
import type { Slot } from '../engine/slots.ts';
import type { Clock } from '../support/clock.ts';
import type { Logger } from '../support/logger.ts';
import { Download, type Effect } from './download.ts';
import { bringLocalPieces, type LocalFile, type LocalPiecesOptions } from './local-pieces.ts';
import type { Channel, PeerLink } from './peer-link.ts';
import type { PeerLinks } from './peer-links.ts';
import { RateMeter } from './rate-meter.ts';
import type { DownloadState, DownloadStatus, PeerStatus } from './status.ts';
import type { TokenBucket } from './token-bucket.ts';

/**
 * A link that leaves a cancelled request or an Open unanswered for so long is given up, for its slots and its place are
 * needed; unless its pieces still come, and the answer may only be queued behind them.
 */
const SILENT_MS_MAX = 30_000;
const ALIVE_BYTES_PER_MS_MIN = 16;
/** What a tracker says when there is no sense in asking again. */
const FINAL_REFUSALS: ReadonlySet<string> = new Set(['not-a-member', 'no-such-group', 'not-logged-in']);
const RETRY_MS_MIN = 1_000;
const RETRY_MS_MAX = 30_000;
/** After each checkpoint, how long until the next: what a crash makes us hash again. */
const CHECKPOINT_MS = 10_000;

/** What is to be fetched, where to. */
export interface DownloadOrder {
  readonly id: number;
  readonly group: GroupId;
  readonly groupName: string;
  readonly file: FileRecord;
  readonly destination: string;
}

/** Where peers of a file come from. */
export interface PeerSource {
  /** Tells of peers that serve the file, as they come and go; `ready`: those of now were told, or nobody can tell. */
  watch(group: GroupId, file: FileId, listener: PeerListener): { stop: () => void; ready: Promise<void> };
}

export interface PeerListener {
  online(peer: Peer): void;
  offline(device: DeviceId): void;
}

export interface TaskOptions {
  readonly engine: Engine;
  readonly links: PeerLinks;
  readonly peers: PeerSource;
  readonly clock: Clock;
  readonly random: () => number;
  readonly logger: Logger;
  readonly pipeline: number | undefined;
  readonly peersMax: number;
  /** Of all downloads together. */
  readonly limit: TokenBucket;
  /** Pieces that are safely in the `.part`; it may hold more. Undefined: there is none yet. */
  readonly resume: Uint8Array | undefined;
  /** The file itself is mended where it lies; there is no `.part`. */
  readonly inPlace?: boolean;
  /** The `.part` holds bytes of an older version: those that this one has too are kept. */
  readonly lookInPlace?: boolean;
  /** Files on this disk that may hold pieces of this one. */
  localFiles?(file: FileRecord): readonly LocalFile[];
  /** Whoever gave the order makes the finished file safe from a power loss, and this task need not wait for the disk. */
  readonly syncsLater?: boolean;
  /** The file stands under its name: remember it as a share. */
  onFinished(stamp: FileStamp): Promise<void>;
  /** These pieces are safely on disk. */
  onCheckpoint(have: Uint8Array): void;
  /** Nothing is in flight any more; `have`: the pieces that are safely on disk, undefined where that is not known. */
  onEnded(how: EndState, have: Uint8Array | undefined): void;
  /** A finished file is safely on disk. */
  onSynced(): void;
  onChange(): void;
}

export type EndState = 'done' | 'failed' | 'cancelled' | 'paused';

/** An answer that is due: since when, and how many bytes had come from the peer by then. */
interface Awaited {
  readonly sinceMs: number;
  readonly fromBytes: number;
}

interface Source {
  peer: Peer;
  online: boolean;
  state: PeerStatus['state'];
  link: PeerLink | undefined;
  channel: Channel | undefined;
  /** Cancelled requests that the peer has not answered yet, and since when. */
  readonly cancelled: Map<number, Awaited>;
  receivedBytes: number;
  /** The answer to the Open that was sent last. */
  open: Awaited | undefined;
  keptBytes: number;
  badPieces: number;
  retryMs: number;
  stopRetry: (() => void) | undefined;
}

export class DownloadTask {
  readonly order: DownloadOrder;
  readonly tree: PieceTree;
  readonly done: Promise<void>;
  readonly #options: TaskOptions;
  readonly #sources = new Map<DeviceId, Source>();
  readonly #rate: RateMeter;
  readonly #startedMs: number;
  readonly #haveListeners = new Set<(index: number) => void>();
  readonly #settle: { resolve(): void; reject(error: RequestError): void };
  #endedMs: number | undefined;
  #content: Content | undefined;
  #download: Download<DeviceId> | undefined;
  #ended: EndState | undefined;
  #error: RequestError | undefined;
  #concluded: Promise<void> | undefined;
  #finishing: Promise<void> | undefined;
  #copiedBytes = 0;
  #recheckedBytes = 0;
  #lookedForLocalPieces = false;
  /** Peers are asked only once it is known what the disk has. */
  #holdsBack = false;
  #checkpointMs = 0;
  #checkpointCount = 0;
  #stopWatching: (() => void) | undefined;
  #stopWaiting: (() => void) | undefined;
  /** A slot that was waited for, while it is decided what to ask for with it. */
  #spareSlot: Slot | undefined;
  /** Pieces being checked and written, and the search for pieces that are here already. */
  readonly #keeping = new Set<Promise<void>>();

  constructor(order: DownloadOrder, options: TaskOptions) {
    this.order = order;
    this.#options = options;
    this.tree = new PieceTree(order.file.sizeBytes, order.file.pieceSizeBytes);
    this.#rate = new RateMeter();
    this.#startedMs = options.clock.monotonicMs();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.done = promise;
    this.#settle = { resolve, reject };
    this.done.catch(() => {});
  }

  get partPath(): string {
    return this.#options.inPlace ? this.order.destination : `${this.order.destination}.part`;
  }

  get content(): Content | undefined {
    return this.#content;
  }

  /** The pieces that are verified and written. */
  get have(): Bitfield | undefined {
    return this.#download?.have;
  }

  get isActive(): boolean {
    return this.#ended === undefined;
  }

  onHave(listener: (index: number) => void): () => void {
    this.#haveListeners.add(listener);
    return () => this.#haveListeners.delete(listener);
  }

  /** Opens the `.part` and begins. Rejects with RequestError when it can't be had; nothing is left then. */
  async start(): Promise<void> {
    const { engine, resume, random, pipeline, peers, inPlace } = this.#options;
    const { file } = this.order;
    engine.slots.checkFits(Math.min(file.pieceSizeBytes, Math.max(file.sizeBytes, 1)));
    const content = await (resume || inPlace
      ? engine.openPart(file, this.partPath)
      : engine.createPart(file, this.partPath));
    let have: Bitfield | undefined;
    try {
      if (resume) have = await this.#recover(content, Bitfield.fromBytes(resume, this.tree.pieceCount));
    } catch (error) {
      await content.release();
      throw error;
    }
    if (this.#ended) {
      await content.release();
      if (this.#ended === 'cancelled') await this.#discardPart();
      return;
    }
    this.#content = content;
    this.#download = new Download<DeviceId>({ tree: this.tree, ...(have ? { have } : {}), pipeline, random });
    // What had to be hashed again is noted at once, so that the next crash does not make us do it again.
    this.#checkpointMs = this.#recheckedBytes > 0 ? Number.NEGATIVE_INFINITY : this.#now();
    this.#rate.begin(this.#now(), this.#download.doneFileBytes);
    if (this.#download.complete) {
      await this.#finish();
      return;
    }
    const { stop, ready } = peers.watch(this.order.group, file.file, {
      online: (peer) => this.#peerOnline(peer),
      offline: (device) => this.#peerOffline(device),
    });
    this.#stopWatching = stop;
    this.#lookForLocalPieces();
    await ready;
  }

  /** Stops for now, keeping what is there; resolves when nothing is in flight. Too late for one that is whole. */
  stop(): Promise<void> {
    if (this.isActive && this.#finishing) return this.#finishing;
    return this.#conclude('paused', new RequestError('cancelled', `${this.order.file.name} is paused`));
  }

  /** Ends the download for good; its `.part` is gone once this resolves. */
  async cancel(): Promise<void> {
    const error = new RequestError('cancelled', `the download of ${this.order.file.name} was cancelled`);
    await this.#finishing;
    if (this.isActive) {
      await this.#conclude('cancelled', error);
      return;
    }
    if (this.#ended === 'done') return;
    this.#ended = 'cancelled';
    await this.#discardPart();
    this.#options.onEnded('cancelled', undefined);
    this.#settle.reject(error);
    this.#options.onChange();
  }

  /** Never started: rests as it did when the client ended. */
  rest(state: 'paused' | 'failed', error?: RequestError): void {
    this.#ended = state;
    this.#error =
      state === 'failed'
        ? (error ?? new RequestError('cancelled', 'it failed before; resume_download tries again'))
        : undefined;
    this.#endedMs = this.#startedMs;
  }

  status(): DownloadStatus {
    const { id, groupName, file, destination } = this.order;
    const doneBytes = this.#download?.doneFileBytes ?? this.#resting().doneFileBytes;
    const bytesPerSecond = this.#ended ? 0 : this.#rate.bytesPerSecond;
    const elapsedMs = (this.#endedMs ?? this.#now()) - this.#startedMs;
    const leftBytes = file.sizeBytes - doneBytes;
    return {
      id,
      group: groupName,
      name: file.name,
      destination,
      state: this.#state(),
      sizeBytes: file.sizeBytes,
      doneBytes,
      pieceCount: this.tree.filePieceCount,
      donePieces: this.#download?.doneFilePieces ?? this.#resting().doneFilePieces,
      bytesPerSecond,
      etaSeconds: bytesPerSecond > 0 && leftBytes > 0 ? leftBytes / bytesPerSecond : undefined,
      elapsedMs,
      copiedBytes: this.#copiedBytes,
      recheckedBytes: this.#recheckedBytes,
      peers: [...this.#sources.values()].map((source) => ({
        device: source.peer.device,
        userName: source.peer.userName,
        bytes: source.keptBytes,
        badPieces: source.badPieces,
        state: source.state,
      })),
      error: this.#error,
    };
  }

  /** Time has passed: looks for stalled peers and silent links, and asks for what may be asked again. */
  tick(): void {
    const download = this.#download;
    if (!download || this.#ended) return;
    const nowMs = this.#now();
    this.#rate.sample(nowMs, download.doneFileBytes);
    for (const source of this.#sources.values()) {
      const { link, channel } = source;
      if (!link || !channel) continue;
      if (link.receivedBytes !== source.receivedBytes) {
        source.receivedBytes = link.receivedBytes;
        download.heard(source.peer.device, nowMs);
      }
      const [oldest] = source.cancelled.values();
      const due = source.state === 'connecting' ? source.open : oldest;
      if (!due || nowMs - due.sinceMs <= SILENT_MS_MAX) continue;
      if (link.receivedBytes - due.fromBytes < (nowMs - due.sinceMs) * ALIVE_BYTES_PER_MS_MIN) link.close();
    }
    this.#apply(download.tick(nowMs));
    this.#pump();
    if (nowMs - this.#checkpointMs > CHECKPOINT_MS) void this.#checkpoint(download);
  }

  /** Makes what is kept so far survive a crash: first the data, then the note that it is there. */
  async #checkpoint(download: Download<DeviceId>): Promise<void> {
    this.#checkpointMs = Number.POSITIVE_INFINITY;
    const content = this.#content;
    if (content && download.have.count > this.#checkpointCount) {
      const have = download.have.toBytes();
      const { count } = download.have;
      content.retain();
      try {
        await content.sync();
        if (!this.#ended) this.#options.onCheckpoint(have);
        this.#checkpointCount = count;
      } catch (error) {
        if (!(error instanceof RequestError)) throw error;
        void this.#conclude('failed', error);
      } finally {
        await content.release();
      }
    }
    this.#checkpointMs = this.#now();
  }

  #state(): DownloadState {
    if (this.#ended) return this.#ended;
    if (!this.#download) return 'starting';
    const sources = [...this.#sources.values()];
    if (this.#finishing || this.#holdsBack) return 'running';
    const download = this.#download;
    // A peer that a rate limit or a lack of slots keeps us from asking is no peer that is missing.
    const feeds = ({ channel, peer }: Source) => channel && (channel.slots.size > 0 || download.has(peer.device));
    if (sources.some(feeds)) return 'running';
    return sources.some(({ state }) => state === 'connecting') ? 'starting' : 'waiting';
  }

  /** How far it had come, for a download that rests. */
  #resting(): { readonly doneFileBytes: number; readonly doneFilePieces: number } {
    const { resume } = this.#options;
    const have = resume ? Bitfield.fromBytes(resume, this.tree.pieceCount) : new Bitfield(this.tree.pieceCount);
    let doneFileBytes = 0;
    let doneFilePieces = 0;
    for (let index = 0; index < this.tree.filePieceCount; index += 1) {
      if (!have.has(index)) continue;
      doneFileBytes += this.tree.place(index).lengthBytes;
      doneFilePieces += 1;
    }
    return { doneFileBytes, doneFilePieces };
  }

  #now(): number {
    return this.#options.clock.monotonicMs();
  }

  #peerOnline(peer: Peer): void {
    if (this.#ended) return;
    const known = this.#sources.get(peer.device);
    const source: Source = known ?? {
      peer,
      online: true,
      state: 'gone',
      link: undefined,
      channel: undefined,
      cancelled: new Map(),
      receivedBytes: 0,
      open: undefined,
      keptBytes: 0,
      badPieces: 0,
      retryMs: RETRY_MS_MIN,
      stopRetry: undefined,
    };
    source.peer = peer;
    source.online = true;
    this.#sources.set(peer.device, source);
    if (source.state === 'gone') void this.#connect(source);
  }

  #peerOffline(device: DeviceId): void {
    const source = this.#sources.get(device);
    // Its connection to us may well live on: only the connection's own end takes its requests away.
    if (source) source.online = false;
  }

  async #connect(source: Source): Promise<void> {
    source.stopRetry?.();
    source.stopRetry = undefined;
    const busy = [...this.#sources.values()].filter(({ state }) => state === 'active' || state === 'connecting');
    if (busy.length >= this.#options.peersMax) {
      this.#retryLater(source);
      return;
    }
    source.state = 'connecting';
    const { group, file } = this.order;
    let link: PeerLink;
    try {
      link = await this.#options.links.acquire(source.peer, group);
    } catch (error) {
      // Only the tracker, whom we ask for the ticket, can say that the file is not for us.
      const isFinal = error instanceof RequestError && FINAL_REFUSALS.has(error.code);
      if (isFinal && !this.#ended) void this.#conclude('failed', error);
      this.#lost(source, error as Error);
      return;
    }
    // It may have been banned meanwhile, when a piece of its last visit was checked.
    if (this.#ended || source.state !== 'connecting') {
      this.#options.links.released(link);
      return;
    }
    const { device } = source.peer;
    source.link = link;
    source.receivedBytes = link.receivedBytes;
    source.open = { sinceMs: this.#now(), fromBytes: link.receivedBytes };
    source.channel = link.open(group, file.file, this.tree, {
      opened: (have) => {
        if (source.state === 'active') return;
        source.state = 'active';
        source.retryMs = RETRY_MS_MIN;
        this.#download?.addPeer(device, have, this.#now());
        this.#pump();
        this.#options.onChange();
      },
      have: (index) => {
        this.#download?.peerGained(device, index);
        this.#pump();
      },
      piece: (index, slot) => this.#pieceCame(source, index, slot),
      rejected: (index) => {
        // A cancelled request is answered so as a matter of course.
        if (!source.cancelled.delete(index)) this.#download?.rejected(device, index);
        this.#pump();
      },
      closed: (error) => {
        if (error instanceof RequestError && error.code === 'no-ticket') this.#options.links.ticketRefused(group);
        this.#lost(source, error);
      },
    });
  }

  #lost(source: Source, error: Error): void {
    const { device } = source.peer;
    const { link } = source;
    source.link = undefined;
    source.channel = undefined;
    source.cancelled.clear();
    this.#download?.removePeer(device);
    // The peer may have refused the file and kept the connection.
    if (link) this.#options.links.released(link);
    if (source.state !== 'banned') source.state = 'gone';
    if (this.#ended) return;
    this.#options.logger.debug({ device, reason: error.message }, 'peer lost');
    if (source.state === 'gone') this.#retryLater(source);
    this.#pump();
    this.#options.onChange();
  }

  #retryLater(source: Source): void {
    source.state = 'gone';
    source.stopRetry?.();
    const delayMs = source.retryMs;
    source.retryMs = Math.min(RETRY_MS_MAX, 2 * source.retryMs);
    source.stopRetry = this.#options.clock.after(delayMs, () => {
      if (this.#ended || source.state !== 'gone') return;
      if (source.online) void this.#connect(source);
    });
  }

  /** Asks every peer for as much as it should have on its way, in turns, as long as there are slots. */
  #pump(): void {
    const download = this.#download;
    if (!download || this.#ended || this.#stopWaiting || this.#holdsBack) return;
    // Who has least on its way comes first: where slots are short, that spreads them.
    let busy = [...this.#sources.values()]
      .filter(({ state }) => state === 'active')
      .sort((a, b) => (a.channel?.slots.size ?? 0) - (b.channel?.slots.size ?? 0));
    while (busy.length > 0) {
      const stillBusy: Source[] = [];
      for (const source of busy) {
        const outcome = this.#askOne(download, source);
        if (outcome === 'no-slot') return;
        if (outcome === 'asked') stillBusy.push(source);
      }
      busy = stillBusy;
    }
  }

  /** One peer that falls silent, with its cancelled requests unanswered, must leave slots for the others. */
  #holdsTooMuch({ slots }: Channel): boolean {
    return slots.size >= Math.max(2, this.#options.engine.slots.capacity(this.tree.pieceSizeBytes) / 2);
  }

  #askOne(download: Download<DeviceId>, source: Source): 'asked' | 'enough' | 'no-slot' {
    const { channel, peer } = source;
    const nowMs = this.#now();
    if (!channel || this.#holdsTooMuch(channel) || !download.wants(peer.device, nowMs)) return 'enough';
    // Goes on with the next tick.
    if (this.#options.limit.waitMs(nowMs) > 0) return 'no-slot';
    const { slots } = this.#options.engine;
    const { pieceSizeBytes } = this.tree;
    const slot = this.#spareSlot ?? slots.tryTake('download', pieceSizeBytes);
    this.#spareSlot = undefined;
    if (!slot) {
      this.#stopWaiting = slots.wait('download', pieceSizeBytes, (free) => {
        this.#stopWaiting = undefined;
        // Kept, not released: the next in line would take it before us, each time.
        this.#spareSlot = free;
        this.#pump();
        this.#releaseSpare();
      });
      return 'no-slot';
    }
    const index = download.next(peer.device, nowMs);
    if (index === undefined) {
      slots.release(slot);
      return 'enough';
    }
    if (channel.awaits(index)) {
      // Asked and cancelled before, and not answered yet: the old request must end first.
      download.unsent(peer.device, index);
      slots.release(slot);
      return 'enough';
    }
    this.#options.limit.spend(this.tree.place(index).lengthBytes, nowMs);
    channel.request(index, slot);
    return 'asked';
  }

  #releaseSpare(): void {
    const spare = this.#spareSlot;
    this.#spareSlot = undefined;
    if (spare) this.#options.engine.slots.release(spare);
  }

  #pieceCame(source: Source, index: number, slot: Slot): void {
    source.cancelled.delete(index);
    const isNew = this.#download?.arrived(source.peer.device, index, this.#now());
    if (isNew && !this.#ended) this.#follow(this.#keep(source, index, slot));
    else this.#options.engine.slots.release(slot);
    this.#pump();
  }

  /** Work that an end waits for. Should it fail, that is a fault of ours, and stops the process. */
  #follow(work: Promise<void>): void {
    this.#keeping.add(work);
    void work.finally(() => this.#keeping.delete(work));
  }

  async #keep(source: Source, index: number, slot: Slot): Promise<void> {
    const { device } = source.peer;
    const download = this.#download;
    const content = this.#content;
    if (!download || !content) return;
    let right: boolean;
    try {
      right = await content.keep(index, slot);
    } catch (error) {
      download.unchecked(index);
      if (!(error instanceof RequestError)) throw error;
      void this.#conclude('failed', error);
      return;
    } finally {
      this.#options.engine.slots.release(slot);
    }
    if (right) {
      source.keptBytes += this.tree.place(index).lengthBytes;
      this.#keptOne(download, device, index);
    } else {
      source.badPieces += 1;
      this.#options.logger.warn({ device, user: source.peer.userName, index }, 'a peer sent a wrong piece');
      this.#apply(download.wrong(device, index));
    }
    this.#pump();
  }

  #apply(effects: readonly Effect<DeviceId>[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case 'cancel': {
          const source = this.#sources.get(effect.peer);
          if (!source?.link || !source.channel?.awaits(effect.index)) break;
          source.cancelled.set(effect.index, { sinceMs: this.#now(), fromBytes: source.link.receivedBytes });
          source.channel.cancel(effect.index);
          break;
        }
        case 'ban':
          this.#ban(effect.peer);
          break;
        case 'complete':
          void this.#finish();
          break;
        default:
          effect satisfies never;
      }
    }
  }

  #keptOne(download: Download<DeviceId>, from: DeviceId | undefined, index: number): void {
    this.#apply(download.kept(from, index));
    this.#lookForLocalPieces();
    for (const listener of this.#haveListeners) listener(index);
  }

  async #discardPart(): Promise<void> {
    if (!this.#options.inPlace) await this.#options.engine.discardPart(this.partPath);
  }

  /** Once, as soon as the digests of all pieces are known. */
  #lookForLocalPieces(): void {
    const download = this.#download;
    const content = this.#content;
    if (!download?.isFileOpen || !content || this.#lookedForLocalPieces || this.#ended) return;
    this.#lookedForLocalPieces = true;
    const { engine, logger, lookInPlace = false, localFiles } = this.#options;
    const sources = localFiles?.(this.order.file) ?? [];
    if (sources.length === 0 && !lookInPlace) return;
    content.retain();
    this.#holdsBack = true;
    const goOn = () => {
      this.#holdsBack = false;
      this.#pump();
    };
    const options: LocalPiecesOptions = {
      engine,
      content,
      logger,
      sources,
      lookInPlace,
      claim: (index) => !this.#ended && download.claim(index),
      kept: (index) => {
        this.#copiedBytes += this.tree.place(index).lengthBytes;
        this.#keptOne(download, undefined, index);
      },
      unkept: (index) => download.unchecked(index),
      isOver: () => this.#ended !== undefined,
    };
    this.#follow(
      bringLocalPieces(options, goOn)
        .then(goOn, (error) => {
          if (!(error instanceof RequestError)) throw error;
          void this.#conclude('failed', error);
        })
        .finally(() => content.release()),
    );
  }

  #ban(device: DeviceId): void {
    const source = this.#sources.get(device);
    if (!source) return;
    this.#options.logger.warn({ device, user: source.peer.userName }, 'peer banned: it sends wrong pieces');
    source.state = 'banned';
    this.#closeSource(source);
    this.#download?.removePeer(device);
    this.#options.onChange();
  }

  #closeSource(source: Source): void {
    const { link, channel } = source;
    source.stopRetry?.();
    source.link = undefined;
    source.channel = undefined;
    source.cancelled.clear();
    channel?.close();
    if (link) this.#options.links.released(link);
  }

  #finish(): Promise<void> {
    this.#finishing ??= this.#giveName();
    return this.#finishing;
  }

  async #giveName(): Promise<void> {
    const { engine, onFinished } = this.#options;
    const { file, destination } = this.order;
    const content = this.#content;
    if (!content || this.#ended) return;
    try {
      if (this.tree.pieceCount === 0 && this.tree.rootOver(blake3(new Uint8Array(0))) !== file.root) {
        throw new RequestError(
          'wrong-content',
          `${file.name}: what the tracker says of this empty file can't be right`,
        );
      }
      const { inPlace } = this.#options;
      await onFinished(await (inPlace ? engine.stampOf(destination) : engine.finish(content, destination)));
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      await this.#conclude('failed', error);
      return;
    }
    await this.#conclude('done', undefined);
  }

  /** The one way a download ends: once. Resolves when nothing of it is in flight, whoever ended it. */
  #conclude(how: EndState, error: RequestError | undefined): Promise<void> {
    this.#concluded ??= this.#end(how, error);
    return this.#concluded;
  }

  async #end(how: EndState, error: RequestError | undefined): Promise<void> {
    this.#ended = how;
    this.#error = how === 'failed' ? error : undefined;
    this.#endedMs = this.#now();
    this.#stopWatching?.();
    this.#stopWaiting?.();
    for (const source of this.#sources.values()) {
      this.#closeSource(source);
      if (source.state !== 'banned') source.state = 'gone';
    }
    if (how === 'done') {
      this.#settle.resolve();
      this.#options.onChange();
    }
    // What is written after the sync is not safe: nothing may be.
    await Promise.all(this.#keeping);
    // A disk that refuses to sync loses nothing: what is not synced is looked through again.
    const isLeft = how === 'done' && this.#options.syncsLater === true;
    const synced =
      !isLeft &&
      (await this.#content?.sync().then(
        () => true,
        () => false,
      )) === true;
    if (how === 'cancelled') await this.#discardPart();
    await this.#content?.release();
    if (how === 'done') {
      if (synced) this.#options.onSynced();
      return;
    }
    this.#options.onEnded(how, synced ? this.have?.toBytes() : this.#options.resume);
    if (error) this.#settle.reject(error);
    this.#options.onChange();
  }

  /** What the `.part` holds: the pieces of the last checkpoint, and those kept since that hold against the tree. */
  async #recover(content: Content, safe: Bitfield): Promise<Bitfield> {
    const have = await content.verify({ levels: this.tree.levels.toReversed(), known: safe, onlySummed: true });
    this.#recheckedBytes = (have.count - safe.count) * this.tree.pieceSizeBytes;
    return have;
  }
}
