/**
 * The view for programs: one JSON object a line on standard output, and nothing else there. Names are as they are, not
 * made printable. Sizes are bytes, durations milliseconds unless the field says otherwise. Fields may be added later;
 * readers skip what they don't know. The shapes:
 *
 *   {"type":"outcome","command":"create_group","ok":true, ...the command's own fields}
 *   {"type":"outcome","command":"create_group","ok":false,"code":"name-taken","message":"...","hint":"...","exitCode":1}
 *       exactly one for each command, in order; command is null for a line that names none and for failures to start
 *   {"type":"progress","command":"upload_file","group","path","doneBytes","sizeBytes"}
 *   {"type":"progress","command":"download_file", ...a download}
 *       at most ten a second each; a download's go on after its outcome
 *   {"type":"notice","notice":"join-requested","group":"pdfs","user":"alice"}     and so on, as client/types.ts has them
 *   {"type":"notice","notice":"download-ended","ok":true|false, ...a download}    exactly one for each download
 *
 * The commands' own fields: create_user, login {user, trackers} · logout {trackers} · whoami {user|null} ·
 * create_group {group, trackers} · join_group {group, owner, trackers} · leave_group {group, newOwner?, dissolved,
 * trackers} · list_requests, list_members {group, users[]} · accept_request, reject_request, remove_member {group, user,
 * trackers} · list_groups {groups[{name, owner, members, standing}]} · list_files {group, folder?, folders[{name,
 * fileCount, sizeBytes}], files[{name, sizeBytes,
 * pieceSizeBytes, root, sharedBy, seedersOnline}]} · upload_file {path, group, name, sizeBytes, pieceCount, root, created,
 * elapsedMs} · check_file {group, name, path, pieceCount, badPieces, repair?: a download} · download_file: a download ·
 * show_downloads, pause_download, resume_download, cancel_download {downloads[a download]} · show_uploads {sentBytes, peers} · help {commands[{name, usage, help}]}.
 * trackers: how many trackers hold the change.
 *
 * A download: {id, group, name, destination, state, sizeBytes, doneBytes, copiedBytes, recheckedBytes, pieceCount, donePieces, bytesPerSecond,
 * etaSeconds?, elapsedMs, peers[{device, user, bytes, badPieces, state}], code?, message?, hint?}, state being one of
 * starting, running, waiting, paused, done, failed, cancelled.
 */
import type { RequestError } from '../../protocol/errors.ts';
import type { Notice, ShareProgress } from '../client/types.ts';
import type { Clock } from '../support/clock.ts';
import { exitCodeOf } from '../support/failures.ts';
import type { DownloadStatus } from '../swarm/status.ts';
import type { Json, Outcome } from './command.ts';
import { downloadData } from './download-text.ts';
import { Throttle } from './throttle.ts';
import type { TextOutput, View } from './view.ts';

const PROGRESS_INTERVAL_MS = 100;

export class JsonView implements View {
  readonly #output: TextOutput;
  readonly #throttle: Throttle;
  #open = true;

  constructor(output: TextOutput, clock: Pick<Clock, 'monotonicMs'>) {
    this.#output = output;
    this.#throttle = new Throttle(clock, PROGRESS_INTERVAL_MS, 'first at once');
  }

  outcome(command: string, outcome: Outcome): void {
    this.#line({ type: 'outcome', command, ok: true, ...outcome.data });
  }

  refusal(command: string | null, error: RequestError): void {
    const { code, message, hint } = error;
    this.#line({ type: 'outcome', command, ok: false, code, message, hint, exitCode: exitCodeOf(error) });
  }

  shareProgress(group: string, { path, doneBytes, sizeBytes }: ShareProgress): void {
    const isLast = doneBytes === sizeBytes;
    if (!this.#throttle.passes(`share ${group} ${path}`) && !isLast) return;
    this.#line({ type: 'progress', command: 'upload_file', group, path, doneBytes, sizeBytes });
  }

  downloadProgress(status: DownloadStatus): void {
    if (!this.#throttle.passes(`download ${status.id} ${status.state}`)) return;
    this.#line({ type: 'progress', command: 'download_file', ...downloadData(status) });
  }

  notice(notice: Notice): void {
    if (notice.type === 'download-ended') {
      const { status } = notice;
      this.#line({ type: 'notice', notice: notice.type, ok: status.state === 'done', ...downloadData(status) });
      return;
    }
    const { type, ...fields } = notice;
    this.#line({ type: 'notice', notice: type, ...fields });
  }

  close(): void {
    this.#open = false;
  }

  #line(fields: { readonly [key: string]: Json | undefined }): void {
    if (this.#open) this.#output.write(`${JSON.stringify(fields)}\n`);
  }
}
