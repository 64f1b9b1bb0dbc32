/**
 * A client without a network, for tests of the shell: notes what was asked of it, answers from what the test put in, and
 * lets the test drive its downloads step by step.
 */

import type { ClientApi, Download, Notice, SharedFile, ShareProgress } from '../../src/main/client/types.ts';
import type { DownloadStatus } from '../../src/main/swarm/status.ts';
import type { RequestError } from '../../src/protocol/errors.ts';
import type { FileListing, GroupListing } from '../../src/protocol/messages.ts';

export function downloadStatus(fields: Partial<DownloadStatus> = {}): DownloadStatus {
  return {
    id: 1,
    group: 'pdfs',
    name: 'libc.pdf',
    destination: '/tmp/libc.pdf',
    state: 'running',
    sizeBytes: 1000,
    doneBytes: 0,
    pieceCount: 1,
    donePieces: 0,
    bytesPerSecond: 0,
    etaSeconds: undefined,
    elapsedMs: 0,
    copiedBytes: 0,
    recheckedBytes: 0,
    peers: [],
    error: undefined,
    ...fields,
  };
}

export class FakeDownload implements Download {
  readonly done: Promise<DownloadStatus>;
  readonly #settle = Promise.withResolvers<DownloadStatus>();
  readonly #listeners = new Set<(status: DownloadStatus) => void>();
  #status: DownloadStatus;

  constructor(status: DownloadStatus) {
    this.#status = status;
    this.done = this.#settle.promise;
    this.done.catch(() => {});
  }

  status(): DownloadStatus {
    return this.#status;
  }

  onProgress(listener: (status: DownloadStatus) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  step(fields: Partial<DownloadStatus>): void {
    this.#status = { ...this.#status, ...fields };
    for (const listener of this.#listeners) listener(this.#status);
  }

  complete(): void {
    this.step({ state: 'done', doneBytes: this.#status.sizeBytes });
    this.#settle.resolve(this.#status);
  }

  fail(error: RequestError): void {
    this.step({ state: 'failed', error });
    this.#settle.reject(error);
  }
}

export class FakeClient implements ClientApi {
  userName: string | undefined;
  /** What was asked, as `method argument argument`. */
  readonly calls: string[] = [];
  readonly groups: GroupListing[] = [];
  readonly files: FileListing[] = [];
  readonly requests: string[] = [];
  readonly members: string[] = [];
  readonly started: FakeDownload[] = [];
  readonly shareSteps: ShareProgress[] = [];
  /** Thrown by the method of that name. */
  readonly refusals = new Map<string, Error>();
  /** Called with each download as it starts, before downloadFile answers. */
  onDownload: (download: FakeDownload) => void = () => {};
  readonly #listeners = new Set<(notice: Notice) => void>();

  async createUser(user: string, password: string) {
    return this.#acknowledge('createUser', user, password);
  }
  async login(user: string, password: string) {
    const acknowledged = this.#acknowledge('login', user, password);
    this.userName = user;
    return acknowledged;
  }
  async logout() {
    return this.#acknowledge('logout');
  }
  async createGroup(group: string) {
    return this.#acknowledge('createGroup', group);
  }
  async joinGroup(group: string) {
    return { ...this.#acknowledge('joinGroup', group), owner: 'alice' };
  }
  async leaveGroup(group: string) {
    return { ...this.#acknowledge('leaveGroup', group), newOwner: 'bob', dissolved: false };
  }
  async listRequests(group: string) {
    this.#acknowledge('listRequests', group);
    return this.requests;
  }
  async acceptRequest(group: string, user: string) {
    return this.#acknowledge('acceptRequest', group, user);
  }
  async rejectRequest(group: string, user: string) {
    return this.#acknowledge('rejectRequest', group, user);
  }
  async removeMember(group: string, user: string) {
    return this.#acknowledge('removeMember', group, user);
  }
  async listMembers(group: string) {
    this.#acknowledge('listMembers', group);
    return this.members;
  }
  async listGroups() {
    this.#acknowledge('listGroups');
    return this.groups;
  }
  async listFiles(group: string, folder?: string) {
    this.#acknowledge('listFiles', group, ...(folder === undefined ? [] : [folder]));
    return this.files;
  }
  async uploadFile(
    path: string,
    group: string,
    options: { readonly onProgress?: (progress: ShareProgress) => void } = {},
  ): Promise<SharedFile> {
    this.#acknowledge('uploadFile', path, group);
    for (const step of this.shareSteps) options.onProgress?.(step);
    const name = path.slice(path.lastIndexOf('/') + 1);
    return { name, group, sizeBytes: 2_097_152, pieceCount: 4, root: 'ab'.repeat(32), created: true, elapsedMs: 5 };
  }
  async checkFile(group: string, name: string, options: { readonly repair?: boolean } = {}) {
    this.#acknowledge('checkFile', group, name, ...(options.repair ? ['--repair'] : []));
    return { path: `/home/swas/${name}`, pieceCount: 4, badPieces: 1, repair: undefined };
  }
  uploads() {
    return { sentBytes: 3_145_728, peers: 2 };
  }
  async pauseDownload(group: string, name: string) {
    this.#acknowledge('pauseDownload', group, name);
    return this.started;
  }
  async resumeDownload(group: string, name: string) {
    this.#acknowledge('resumeDownload', group, name);
    return this.started;
  }
  async cancelDownload(group: string, name: string) {
    this.#acknowledge('cancelDownload', group, name);
    return this.started;
  }
  async downloadFile(group: string, name: string, destination: string): Promise<Download> {
    this.#acknowledge('downloadFile', group, name, destination);
    const download = new FakeDownload(downloadStatus({ id: this.started.length + 1, group, name, destination }));
    this.started.push(download);
    this.onDownload(download);
    return download;
  }
  downloads(): readonly Download[] {
    return this.started;
  }
  onNotice(listener: (notice: Notice) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  tell(notice: Notice): void {
    for (const listener of this.#listeners) listener(notice);
  }
  async close(): Promise<void> {}

  #acknowledge(method: string, ...words: string[]) {
    this.calls.push([method, ...words].join(' '));
    const refusal = this.refusals.get(method);
    if (refusal) throw refusal;
    return { trackers: 1 };
  }
}
