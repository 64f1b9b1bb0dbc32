/**
 * The client: assembles identity, catalog, engine, tracker session, peer server and DownloadManager, and offers what a
 * person or program does with them. It owns the login and the order in which everything starts and ends.
 */
import { realpath } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { decodeCbor, encodeCbor } from '../../protocol/cbor.ts';
import { RequestError } from '../../protocol/errors.ts';
import type { RequestId } from '../../protocol/ids.ts';
import { PIECE_BYTES_DEFAULT } from '../../protocol/limits.ts';
import type { FileListing, GroupListing, Push } from '../../protocol/messages.ts';
import { fileSegmentRefusal, printable } from '../../protocol/names.ts';
import { PieceTree, pieceSizeAllowed } from '../../protocol/piece-tree.ts';
import { type Signed, signedSchema } from '../../protocol/signed.ts';
import { Engine, statOf } from '../engine/engine.ts';
import { type Identity, loadIdentity } from '../net/identity.ts';
import { type Clock, newId, random, systemClock } from '../support/clock.ts';
import { type DataDir, openDataDir } from '../support/data-dir.ts';
import { type Logger, silentLogger } from '../support/logger.ts';
import { readTrackerFile } from '../support/tracker-file.ts';
import type { Download } from '../swarm/download-handle.ts';
import { DownloadManager } from '../swarm/download-manager.ts';
import type { DownloadOrder } from '../swarm/download-task.ts';
import { FolderManager } from '../swarm/folder-manager.ts';
import { PeerLinks } from '../swarm/peer-links.ts';
import { PeerServer } from '../swarm/peer-server.ts';
import { TokenBucket } from '../swarm/token-bucket.ts';
import { Catalog, type Share } from './catalog.ts';
import { folderName, isNoSuchFile, listFolder } from './folder-listing.ts';
import { FolderNews } from './folder-news.ts';
import { shareFolder } from './folder-share.ts';
import { Presence } from './presence.ts';
import { Shares } from './shares.ts';
import { Tickets } from './tickets.ts';
import { TrackerSession } from './tracker-session.ts';
import {
  type Acknowledged,
  type ClientApi,
  type ClientOptions,
  defaultWorkers,
  type FileCheck,
  MEMORY_BYTES_DEFAULT,
  type Notice,
  PEERS_MAX_DEFAULT,
  type SharedFile,
  type SharedFolder,
  type ShareProgress,
  type UploadStatus,
} from './types.ts';

interface Parts {
  readonly dataDir: DataDir;
  readonly identity: Identity;
  readonly catalog: Catalog;
  readonly engine: Engine;
  readonly logger: Logger;
  readonly clock: Clock;
}

export class Client implements ClientApi {
  readonly #parts: Parts;
  readonly #pieceSizeBytes: number;
  readonly #session: TrackerSession;
  readonly #tickets: Tickets;
  readonly #presence: Presence;
  readonly #shares: Shares;
  readonly #links: PeerLinks;
  readonly #manager: DownloadManager;
  readonly #folders: FolderManager;
  readonly #folderNews: FolderNews;
  readonly #noticeListeners = new Set<(notice: Notice) => void>();
  /** Notices from before anybody listened. */
  #earlyNotices: Notice[] | undefined = [];
  #server: PeerServer | undefined;
  #login: { readonly userName: string; readonly token: Signed } | undefined;
  #closing: Promise<void> | undefined;
  /** Groups that this client is leaving right now. */
  readonly #leaving = new Set<string>();

  private constructor(options: ClientOptions, parts: Parts) {
    const { catalog, engine, identity, clock, logger } = parts;
    this.#parts = parts;
    this.#pieceSizeBytes = options.pieceSizeBytes ?? PIECE_BYTES_DEFAULT;
    const stored = catalog.session;
    if (stored) this.#login = { userName: stored.userName, token: decodeCbor(signedSchema, stored.token, 'session') };
    this.#shares = new Shares({
      catalog,
      engine,
      downloads: () => [this.#manager, this.#folders],
      onBroken: (share, reason) => this.#shareBroke(share, reason),
    });
    this.#session = new TrackerSession({
      trackers: readTrackerFile(options.trackerInfoPath),
      identity,
      pins: catalog,
      acceptNewPin: options.acceptNewPin ?? false,
      clock,
      logger,
      token: () => this.#login?.token,
      onSessionEnded: (reason) => this.#sessionEnded(reason),
      onReady: () => this.#renewPresence(),
      onPush: (push) => this.#pushed(push),
      onNotice: (notice) => this.#notify(notice),
    });
    this.#tickets = new Tickets(this.#session, clock);
    this.#presence = new Presence(this.#session, options.address, () => this.#shares.files(), logger);
    this.#links = new PeerLinks({ identity, slots: engine.slots, tickets: this.#tickets, clock });
    this.#folderNews = new FolderNews(clock, (news) => this.#notify(news));
    const swarm = {
      engine,
      links: this.#links,
      peers: this.#presence,
      clock,
      random,
      logger,
      pipeline: options.pipeline,
      peersMax: options.peersMax ?? PEERS_MAX_DEFAULT,
      limit: new TokenBucket(options.downloadLimit, clock.monotonicMs()),
    };
    this.#folders = new FolderManager({
      ...swarm,
      store: catalog.folders,
      // Of small files only those that are the same as a whole: a look at every share would cost more than it brings.
      localFiles: ({ name, pieceSizeBytes, root }) => catalog.similar(name, pieceSizeBytes, root, true),
      stampOf: (group, file) => catalog.share(group, file),
      onFinished: (files) =>
        this.#addShares(files.map(({ file, stamp, ...place }) => ({ ...place, ...file, mtimeMs: stamp.mtimeMs }))),
      onLost: (group, files) => {
        catalog.removeShares(group, files);
        void this.#presence.withdraw(files);
      },
      onChange: (download) => this.#downloadChanged(download),
    });
    this.#manager = new DownloadManager({
      ...swarm,
      store: catalog.downloads,
      onFinished: async (order, stamp) => {
        const { group, groupName, destination: path, file } = order;
        this.#addShare({ ...file, group, groupName, path, mtimeMs: stamp.mtimeMs });
      },
      localFiles: ({ name, pieceSizeBytes, sizeBytes, root }) =>
        catalog.similar(name, pieceSizeBytes, root, sizeBytes <= pieceSizeBytes),
      onLost: ({ group, file }) => catalog.removeShare(group, file.file),
      onChange: (download) => this.#downloadChanged(download),
    });
  }

  /**
   * Opens the data directory and starts to serve; a tracker is looked for in the background.
   * Rejects with RequestError: data-dir-in-use, tracker-info, port-taken, disk-error.
   */
  static async start(options: ClientOptions & { readonly logger?: Logger; readonly clock?: Clock }): Promise<Client> {
    const { logger = silentLogger, clock = systemClock } = options;
    readTrackerFile(options.trackerInfoPath);
    if (!pieceSizeAllowed(options.pieceSizeBytes ?? PIECE_BYTES_DEFAULT)) {
      throw new RequestError(
        'bad-request',
        `pieces of ${options.pieceSizeBytes} bytes: not a power of two from 16 KiB to 16 MiB`,
      );
    }
    const dataDir = openDataDir(options.dataDir);
    const undo: (() => unknown)[] = [() => dataDir.close()];
    try {
      const identity = await loadIdentity(dataDir.path);
      const catalog = new Catalog(dataDir.path);
      undo.unshift(() => catalog.close());
      const { workers = defaultWorkers(availableParallelism()), memoryBytes = MEMORY_BYTES_DEFAULT } = options;
      const engine = await Engine.start({ workers, memoryBytes, treeDirectory: join(dataDir.path, 'trees') });
      undo.unshift(() => engine.close());
      const client = new Client(options, { dataDir, identity, catalog, engine, logger, clock });
      undo.unshift(
        () => client.#session.close(),
        () => client.#links.close(),
        () => client.#manager.close(),
        () => client.#folders.close(),
      );
      client.#server = await PeerServer.start({
        address: options.address,
        identity,
        slots: engine.slots,
        shares: client.#shares,
        bytesPerSecondMax: options.uploadLimit,
        trusts: client.#session.trusts,
        clock,
        logger,
      });
      undo.unshift(() => client.#server?.close());
      await client.#manager.takeUp();
      await client.#folders.takeUp();
      return client;
    } catch (error) {
      for (const step of undo) await step();
      throw error;
    }
  }

  get userName(): string | undefined {
    return this.#login?.userName;
  }

  /** All downloads of this client. */
  get downloadManager(): DownloadManager {
    return this.#manager;
  }

  /** SHA-256 of this installation's public key. */
  get device(): string {
    return this.#parts.identity.id;
  }

  createUser(user: string, password: string): Promise<Acknowledged> {
    return this.#session.call('create_user', { requestId: requestId(), user, password });
  }

  async login(user: string, password: string): Promise<Acknowledged> {
    const { token, userName, trackers } = await this.#session.call('login', { requestId: requestId(), user, password });
    this.#login = { userName, token };
    this.#parts.catalog.session = { userName, token: encodeCbor(token) };
    this.#tickets.dropAll();
    this.#renewPresence();
    return { trackers };
  }

  async logout(): Promise<Acknowledged> {
    const answer = await this.#session.call('logout', { requestId: requestId() });
    this.#server?.withdraw(() => true);
    this.#forgetLogin();
    return answer;
  }

  createGroup(group: string): Promise<Acknowledged> {
    return this.#session.call('create_group', { requestId: requestId(), group });
  }

  joinGroup(group: string): Promise<Acknowledged & { readonly owner: string }> {
    return this.#session.call('join_group', { requestId: requestId(), group });
  }

  async leaveGroup(
    name: string,
  ): Promise<Acknowledged & { readonly newOwner: string | undefined; readonly dissolved: boolean }> {
    this.#leaving.add(name);
    const { group, newOwner, dissolved, trackers } = await this.#session
      .call('leave_group', { requestId: requestId(), group: name })
      .finally(() => this.#leaving.delete(name));
    this.#parts.catalog.removeGroup(group);
    this.#server?.withdraw((served) => served === group);
    this.#tickets.drop(group);
    return { newOwner, dissolved, trackers };
  }

  listRequests(group: string): Promise<readonly string[]> {
    return allPages((after) => this.#session.call('list_requests', { group, ...after }));
  }

  acceptRequest(group: string, user: string): Promise<Acknowledged> {
    return this.#session.call('accept_request', { requestId: requestId(), group, user });
  }

  rejectRequest(group: string, user: string): Promise<Acknowledged> {
    return this.#session.call('reject_request', { requestId: requestId(), group, user });
  }

  removeMember(group: string, user: string): Promise<Acknowledged> {
    return this.#session.call('remove_member', { requestId: requestId(), group, user });
  }

  listMembers(group: string): Promise<readonly string[]> {
    return allPages((after) => this.#session.call('list_members', { group, ...after }));
  }

  listGroups(): Promise<readonly GroupListing[]> {
    return allPages((after) => this.#session.call('list_groups', { ...after }));
  }

  listFiles(group: string, folder?: string): Promise<readonly FileListing[]> {
    if (folder !== undefined) {
      return listFolder((params) => this.#session.call('list_files', params), group, folderName(folder));
    }
    return allPages((after) => this.#session.call('list_files', { group, ...after }));
  }

  async uploadFile(
    path: string,
    group: string,
    options: { readonly replace?: boolean; readonly onProgress?: (progress: ShareProgress) => void } = {},
  ): Promise<SharedFile | SharedFolder> {
    const { replace = false, onProgress } = options;
    if ((await statOf(resolve(path)))?.isDirectory()) return this.#uploadFolder(path, group, options);
    const pieceSizeBytes = this.#pieceSizeBytes;
    const startedMs = this.#parts.clock.monotonicMs();
    const name = basename(path).normalize('NFC');
    this.#checkSharedName(name);
    this.#requireLogin();
    const facts = await this.#parts.engine.hash(resolve(path), pieceSizeBytes, (doneBytes, sizeBytes) =>
      onProgress?.({ path, doneBytes, sizeBytes }),
    );
    const { sizeBytes, root, mtimeMs } = facts;
    const added = await this.#session.call('add_file', {
      requestId: requestId(),
      group,
      name,
      sizeBytes,
      pieceSizeBytes,
      root,
      ...(replace ? { replace } : {}),
    });
    this.#addShare({
      group: added.group,
      file: added.file,
      groupName: group,
      name,
      path: await realpath(path),
      sizeBytes,
      pieceSizeBytes,
      root,
      mtimeMs,
    });
    const { filePieceCount: pieceCount } = new PieceTree(sizeBytes, pieceSizeBytes);
    const elapsedMs = this.#parts.clock.monotonicMs() - startedMs;
    return { name, group, sizeBytes, pieceCount, root, created: added.created, elapsedMs };
  }

  async #uploadFolder(
    path: string,
    group: string,
    options: { readonly replace?: boolean; readonly onProgress?: (progress: ShareProgress) => void },
  ): Promise<SharedFolder> {
    const { replace = false, onProgress } = options;
    const { clock, engine } = this.#parts;
    const startedMs = clock.monotonicMs();
    // `.`, `photos/` and a link to it all share the directory under its own name.
    const directory = await realpath(path);
    const name = basename(directory).normalize('NFC');
    this.#checkSharedName(name);
    this.#requireLogin();
    const shared = await shareFolder({
      engine,
      workers: engine.workers,
      pieceSizeBytes: this.#pieceSizeBytes,
      directory,
      name,
      group,
      addFile: (file) =>
        this.#session.call('add_file', { requestId: requestId(), group, ...file, ...(replace ? { replace } : {}) }),
      keep: (shares) => this.#addShares(shares),
      onProgress: (doneBytes, sizeBytes) => onProgress?.({ path, doneBytes, sizeBytes }),
    });
    return { name, group, ...shared, elapsedMs: clock.monotonicMs() - startedMs };
  }

  #checkSharedName(name: string): void {
    const refusal = fileSegmentRefusal(name);
    if (!refusal) return;
    throw new RequestError('bad-name', `"${printable(name)}" can't be shared under its name: ${refusal}`, 'rename it');
  }

  async downloadFile(group: string, name: string, destination: string): Promise<Download> {
    const found = await this.#session.call('find_file', { group, name: folderName(name) }).catch((error) => {
      if (isNoSuchFile(error)) return undefined;
      throw error;
    });
    if (!found) return this.#downloadFolder(group, folderName(name), destination);
    const order = { group: found.group, groupName: group, file: found.file, destination };
    return this.#manager.start(order);
  }

  async #downloadFolder(group: string, name: string, destination: string): Promise<Download> {
    const known = await this.#folders.takeUpAt(group, name, destination);
    if (known) return known;
    const listing = await listFolder((params) => this.#session.call('list_files', params), group, name);
    // Tells the group's id, or that there is no such file.
    const found = await this.#session.call('find_file', { group, name: listing[0]?.name ?? name });
    return this.#folders.start({ group: found.group, groupName: group, name, destination }, listing);
  }

  #managerOf(group: string, name: string): DownloadManager | FolderManager {
    return this.#folders.knows(group, name) ? this.#folders : this.#manager;
  }

  pauseDownload(group: string, name: string): Promise<readonly Download[]> {
    return this.#managerOf(group, name).pause(group, name);
  }

  resumeDownload(group: string, name: string): Promise<readonly Download[]> {
    return this.#managerOf(group, name).resume(group, name);
  }

  cancelDownload(group: string, name: string): Promise<readonly Download[]> {
    return this.#managerOf(group, name).cancel(group, name);
  }

  /**
   * Reads a shared file again, all of it, and says which pieces are no longer right; with `repair`, has those fetched
   * from the group. Rejects with RequestError('not-shared') when this client never shared or fetched it.
   */
  async checkFile(
    groupName: string,
    name: string,
    options: { readonly repair?: boolean; readonly onProgress?: (progress: ShareProgress) => void } = {},
  ): Promise<FileCheck> {
    const [share] = this.#parts.catalog.sharesNamed(groupName, name);
    if (!share) {
      throw new RequestError('not-shared', `this client has no ${name} of ${groupName}`, 'download_file fetches it');
    }
    const { path, sizeBytes, pieceSizeBytes } = share;
    const checked = await this.#parts.engine.check(share, path, (doneBytes) =>
      options.onProgress?.({ path, doneBytes, sizeBytes }),
    );
    const { filePieceCount: pieceCount } = new PieceTree(sizeBytes, pieceSizeBytes);
    const badPieces = pieceCount - checked.rightFilePieces;
    if (badPieces === 0) {
      this.#addShare({ ...share, mtimeMs: checked.stamp.mtimeMs });
      return { path, pieceCount, badPieces, repair: undefined };
    }
    this.#shares.reportBroken(share, `${badPieces} of its ${pieceCount} pieces are not what they were`);
    if (!options.repair) return { path, pieceCount, badPieces, repair: undefined };
    const { group, file, root } = share;
    const record = { file, name, sizeBytes, pieceSizeBytes, root };
    const order = { group, groupName, file: record, destination: path };
    return { path, pieceCount, badPieces, repair: await this.#manager.repair(order, checked.right) };
  }

  uploads(): UploadStatus {
    return { sentBytes: this.#server?.sentBytes ?? 0, peers: this.#server?.servedPeers ?? 0 };
  }

  downloads(): readonly Download[] {
    const all = [...this.#manager.list(), ...this.#folders.list()];
    return all.sort((a, b) => a.status().id - b.status().id);
  }

  onNotice(listener: (notice: Notice) => void): () => void {
    this.#noticeListeners.add(listener);
    for (const notice of this.#earlyNotices ?? []) listener(notice);
    this.#earlyNotices = undefined;
    return () => this.#noticeListeners.delete(listener);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#folderNews.close();
    await Promise.all([this.#manager.close(), this.#folders.close()]);
    await this.#server?.close();
    await this.#links.close();
    this.#session.close();
    await this.#parts.engine.close();
    this.#parts.catalog.close();
    this.#parts.dataDir.close();
  }

  #requireLogin(): void {
    if (!this.#login) throw new RequestError('not-logged-in', 'nobody is logged in', 'login <user_id> <passwd>');
  }

  #addShare(share: Share): void {
    this.#addShares([share]);
  }

  #addShares(shares: readonly Share[]): void {
    this.#parts.catalog.addShares(shares);
    for (const share of shares) this.#shares.mended(share);
    void this.#presence.announce(shares);
  }

  #shareBroke(share: Share, reason: string): void {
    this.#parts.logger.warn({ path: share.path, reason }, 'a share is not served any more');
    this.#notify({ type: 'share-broken', path: share.path, reason });
    this.#server?.withdraw((group, content) => group === share.group && content.root === share.root);
    void this.#presence.withdraw([share.file]);
  }

  #downloadChanged(download: Download): void {
    const status = download.status();
    if (status.state === 'failed' || status.state === 'done' || status.state === 'cancelled') {
      this.#notify({ type: 'download-ended', status });
    } else if (status.state !== 'paused')
      void this.#presence.announce([...this.#manager.runningFiles(), ...this.#folders.runningFiles()]);
  }

  #renewPresence(): void {
    if (!this.#login || !this.#session.isConnected) return;
    void this.#presence.renew();
    for (const order of this.#manager.orders()) void this.#lookForNewVersion(order);
  }

  /** A download of a version that the group no longer has would wait for ever. */
  async #lookForNewVersion(order: DownloadOrder): Promise<void> {
    const { groupName, file } = order;
    try {
      const found = await this.#session.call('find_file', { group: groupName, name: file.name });
      if (found.group === order.group && found.file.file !== file.file) {
        await this.#manager.switchVersion(order, found.file);
      }
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this.#parts.logger.debug({ file: file.name, reason: error.message }, 'not found any more');
    }
  }

  #sessionEnded(reason: string): void {
    this.#forgetLogin();
    this.#notify({ type: 'session-ended', reason });
  }

  #forgetLogin(): void {
    this.#login = undefined;
    this.#parts.catalog.session = undefined;
    this.#tickets.dropAll();
  }

  #pushed(push: Push): void {
    switch (push.type) {
      case 'peer-online':
      case 'peer-offline':
        this.#presence.take(push);
        return;
      case 'member-gone':
        this.#server?.revoke(push.group, push.user);
        this.#tickets.drop(push.group);
        // Who leaves need not be told.
        if (push.userName === this.userName && this.#leaving.has(push.groupName)) return;
        this.#notify({ type: 'member-gone', group: push.groupName, user: push.userName });
        return;
      case 'join-requested':
        this.#notify({ type: 'join-requested', group: push.groupName, user: push.userName });
        return;
      case 'join-accepted':
      case 'join-rejected':
      case 'group-inherited':
        this.#notify({ type: push.type, group: push.groupName });
        return;
      case 'file-shared': {
        const { groupName: group, userName: user, name, sizeBytes, replaces } = push;
        const news = {
          type: 'file-shared',
          group,
          user,
          name,
          sizeBytes,
          isNewVersion: replaces !== undefined,
        } as const;
        if (!this.#folderNews.take(news)) this.#notify(news);
        for (const order of this.#manager.orders()) {
          if (order.file.file === replaces) void this.#lookForNewVersion(order);
        }
        return;
      }
      case 'session-ended':
        this.#sessionEnded('logged out elsewhere');
        return;
      default:
        push satisfies never;
    }
  }

  #notify(notice: Notice): void {
    if (this.#earlyNotices && this.#earlyNotices.length < EARLY_NOTICES_MAX) this.#earlyNotices.push(notice);
    for (const listener of this.#noticeListeners) listener(notice);
  }
}

const EARLY_NOTICES_MAX = 100;

const requestId = () => newId<RequestId>();

async function allPages<T>(
  ask: (after: { after?: string }) => Promise<{ items: readonly T[]; next?: string | undefined }>,
): Promise<readonly T[]> {
  const items: T[] = [];
  for (let next: string | undefined = ''; next !== undefined; ) {
    const page: { items: readonly T[]; next?: string | undefined } = await ask(next === '' ? {} : { after: next });
    items.push(...page.items);
    next = page.next;
  }
  return items;
}
