/**
 * The two kinds of errors (docs/PROTOCOL.md): the other side broke the protocol, or a request can't be done.
 * A ProtocolViolation closes one connection; a RequestError is told to a person, with what to do next.
 * A violated invariant of our own is neither: it stops the process.
 */

/** The other side sent what the protocol does not allow. Its connection is closed and the fault counted against it. */
export class ProtocolViolation extends Error {
  override readonly name = 'ProtocolViolation';
}

/** What a refusal is about; decides the exit code of a program. */
export type ErrorKind = 'refused' | 'usage' | 'unreachable' | 'integrity' | 'disk';

const KINDS = {
  'bad-request': 'usage',
  'unknown-command': 'usage',
  'bad-name': 'refused',
  'name-taken': 'refused',
  'no-such-user': 'refused',
  'wrong-password': 'refused',
  'too-many-attempts': 'refused',
  'not-logged-in': 'refused',
  'already-logged-in': 'refused',
  'session-ended': 'refused',
  'no-such-group': 'refused',
  'already-member': 'refused',
  'already-asked': 'refused',
  'not-a-member': 'refused',
  'not-the-owner': 'refused',
  'no-such-request': 'refused',
  'no-such-file': 'refused',
  'no-such-download': 'refused',
  'not-shared': 'refused',
  busy: 'refused',
  'no-ticket': 'refused',
  'destination-exists': 'disk',
  'file-missing': 'disk',
  'not-a-file': 'disk',
  unreadable: 'disk',
  'disk-full': 'disk',
  'disk-error': 'disk',
  'data-dir-in-use': 'disk',
  'port-taken': 'unreachable',
  'tracker-unreachable': 'unreachable',
  'tracker-behind': 'unreachable',
  'log-unreachable': 'unreachable',
  'other-log': 'usage',
  'no-peers': 'unreachable',
  'pin-mismatch': 'integrity',
  'wrong-content': 'integrity',
  'file-changed': 'integrity',
  'log-damaged': 'integrity',
  'tracker-info': 'usage',
  cancelled: 'refused',
  internal: 'refused',
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof KINDS;

/** A request that can't be done: a code for programs, a sentence for people, and where there is one, what to do next. */
export class RequestError extends Error {
  override readonly name = 'RequestError';
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, hint?: string) {
    super(message);
    this.code = code;
    this.hint = hint;
  }

  get kind(): ErrorKind {
    return KINDS[this.code];
  }
}

/** A code that came over a wire: unknown ones (of a newer tracker) count as a plain refusal. */
export function knownErrorCode(code: string): ErrorCode {
  return Object.hasOwn(KINDS, code) ? (code as ErrorCode) : 'internal';
}

/** States what must hold. A failure is a bug of ours and stops the process. */
export function invariant(condition: unknown, what: string): asserts condition {
  if (!condition) throw new Error(`invariant violated: ${what}`);
}
