/**
 * The control messages: what the CBOR bodies of frames may hold. Each has a schema, and nothing is read before its
 * schema has seen it. Names travel as people typed them; the tracker judges them (names.ts), not the schema.
 */
import * as v from 'valibot';
import { checkValue, decodeCbor, encodeCbor } from './cbor.ts';
import {
  deviceIdSchema,
  fileIdSchema,
  groupIdSchema,
  requestIdSchema,
  rootSchema,
  trackerIdSchema,
  userIdSchema,
} from './ids.ts';
import {
  ANNOUNCE_ITEMS_MAX,
  FILE_PATH_BYTES_MAX,
  HOST_BYTES_MAX,
  PAGE_ITEMS_MAX,
  PROTOCOL_VERSION,
  SENTENCE_BYTES_MAX,
  TRACKERS_MAX,
} from './limits.ts';
import { signedSchema } from './signed.ts';

const label = v.pipe(v.string(), v.maxBytes(256));
const fileName = v.pipe(v.string(), v.maxBytes(FILE_PATH_BYTES_MAX));
const sentence = v.pipe(v.string(), v.maxBytes(SENTENCE_BYTES_MAX));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const portNumber = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65535));
const cursor = v.optional(fileName);
const page = <T extends v.GenericSchema>(items: T) => ({
  items: v.pipe(v.array(items), v.maxLength(PAGE_ITEMS_MAX)),
  /** Present when there is more: pass it as `after`. */
  next: v.optional(fileName),
});

/** Opens every conversation, both ways. */
export const helloSchema = v.object({
  version: v.number(),
  features: v.pipe(v.array(v.pipe(v.string(), v.maxBytes(32))), v.maxLength(64)),
  agent: label,
});
export type Hello = v.InferOutput<typeof helloSchema>;

/** A refusal as it crosses the wire; `Bye` carries one as the reason for closing. */
export const failureSchema = v.object({ code: label, message: sentence, hint: v.optional(sentence) });
export type Failure = v.InferOutput<typeof failureSchema>;

/** The key of a tracker, by the address that tracker_info.txt gives. */
export const pinSchema = v.object({
  host: v.pipe(v.string(), v.maxBytes(HOST_BYTES_MAX)),
  port: portNumber,
  tracker: trackerIdSchema,
});
export type Pin = v.InferOutput<typeof pinSchema>;

const addressSchema = v.object({ host: v.pipe(v.string(), v.maxBytes(HOST_BYTES_MAX)), port: portNumber });

export const fileRecordSchema = v.object({
  file: fileIdSchema,
  name: fileName,
  sizeBytes: count,
  pieceSizeBytes: count,
  root: rootSchema,
});
export type FileRecord = v.InferOutput<typeof fileRecordSchema>;

export const peerSchema = v.object({
  device: deviceIdSchema,
  user: userIdSchema,
  userName: label,
  address: addressSchema,
});
export type Peer = v.InferOutput<typeof peerSchema>;

const groupListingSchema = v.object({
  name: label,
  owner: label,
  members: count,
  standing: v.picklist(['owner', 'member', 'asked', 'none']),
});
export type GroupListing = v.InferOutput<typeof groupListingSchema>;

const fileListingSchema = v.object({ ...fileRecordSchema.entries, sharedBy: label, seedersOnline: count });
export type FileListing = v.InferOutput<typeof fileListingSchema>;

const change = { requestId: requestIdSchema };
const nothing = v.object({});

/**
 * Every request to a tracker. Those with a requestId change state: each success is a transaction, and repeating one
 * under the same id gives the same answer. The state-changing ones answer with `trackers`, how many hold it.
 */
export const METHODS = {
  create_user: {
    params: v.object({ ...change, user: label, password: sentence }),
    result: v.object({ user: userIdSchema, trackers: count }),
  },
  login: {
    params: v.object({ ...change, user: label, password: sentence }),
    result: v.object({ user: userIdSchema, userName: label, token: signedSchema, trackers: count }),
  },
  /** Which keys the trackers of the network have, as far as this one knows. */
  trackers: { params: nothing, result: v.object({ pins: v.pipe(v.array(pinSchema), v.maxLength(TRACKERS_MAX)) }) },
  /** Takes up a session again on a new connection. */
  resume: { params: v.object({ token: signedSchema }), result: v.object({ user: userIdSchema, userName: label }) },
  logout: { params: v.object(change), result: v.object({ trackers: count }) },
  create_group: {
    params: v.object({ ...change, group: label }),
    result: v.object({ group: groupIdSchema, trackers: count }),
  },
  join_group: { params: v.object({ ...change, group: label }), result: v.object({ owner: label, trackers: count }) },
  leave_group: {
    params: v.object({ ...change, group: label }),
    /** newOwner: who has the group now, if its owner left; dissolved: nobody is left. */
    result: v.object({
      group: groupIdSchema,
      newOwner: v.optional(label),
      dissolved: v.boolean(),
      trackers: count,
    }),
  },
  list_requests: { params: v.object({ group: label, after: cursor }), result: v.object(page(label)) },
  accept_request: { params: v.object({ ...change, group: label, user: label }), result: v.object({ trackers: count }) },
  reject_request: { params: v.object({ ...change, group: label, user: label }), result: v.object({ trackers: count }) },
  remove_member: { params: v.object({ ...change, group: label, user: label }), result: v.object({ trackers: count }) },
  list_members: { params: v.object({ group: label, after: cursor }), result: v.object(page(label)) },
  list_groups: { params: v.object({ after: cursor }), result: v.object(page(groupListingSchema)) },
  list_files: { params: v.object({ group: label, after: cursor }), result: v.object(page(fileListingSchema)) },
  add_file: {
    params: v.object({
      ...change,
      group: label,
      name: fileName,
      sizeBytes: count,
      pieceSizeBytes: count,
      root: rootSchema,
      /** Another file under this name gives way to this one; for who shared it, or the group's owner. */
      replace: v.optional(v.boolean()),
    }),
    /** created: false when the group had this very file already, and the caller only becomes a seeder of it. */
    result: v.object({ group: groupIdSchema, file: fileIdSchema, created: v.boolean(), trackers: count }),
  },
  find_file: {
    params: v.object({ group: label, name: fileName }),
    result: v.object({ group: groupIdSchema, file: fileRecordSchema }),
  },
  ticket: { params: v.object({ group: groupIdSchema }), result: v.object({ ticket: signedSchema }) },
  /** Presence: where I am, and which files I serve. Repeated in parts for more than ANNOUNCE_ITEMS_MAX shares. */
  announce: {
    params: v.object({
      address: addressSchema,
      shares: v.pipe(v.array(v.object({ group: groupIdSchema, file: fileIdSchema })), v.maxLength(ANNOUNCE_ITEMS_MAX)),
    }),
    /** Shares that the tracker does not know or that the caller may not serve. */
    result: v.object({ refused: v.pipe(v.array(fileIdSchema), v.maxLength(ANNOUNCE_ITEMS_MAX)) }),
  },
  withdraw: {
    params: v.object({ files: v.pipe(v.array(fileIdSchema), v.maxLength(ANNOUNCE_ITEMS_MAX)) }),
    result: nothing,
  },
  /** Peers that serve a file now, a random PAGE_ITEMS_MAX of them where there are more; changes are pushed until unwatch_file or the end of the connection. */
  watch_file: {
    params: v.object({ group: groupIdSchema, file: fileIdSchema }),
    result: v.object({ peers: v.pipe(v.array(peerSchema), v.maxLength(PAGE_ITEMS_MAX)) }),
  },
  unwatch_file: { params: v.object({ file: fileIdSchema }), result: nothing },
} as const;

export type Method = keyof typeof METHODS;
export type Params<M extends Method> = v.InferOutput<(typeof METHODS)[M]['params']>;
export type Result<M extends Method> = v.InferOutput<(typeof METHODS)[M]['result']>;
/** A call as it was decoded: the method decides the params. */
export type Call = { [M in Method]: { method: M; params: Params<M> } }[Method];

/** What a tracker tells without being asked. */
export const pushSchema = v.variant('type', [
  v.object({ type: v.literal('peer-online'), file: fileIdSchema, peer: peerSchema }),
  v.object({ type: v.literal('peer-offline'), file: fileIdSchema, device: deviceIdSchema }),
  /** Somebody is no member any more: stop serving them in this group, whatever their ticket says. */
  v.object({
    type: v.literal('member-gone'),
    group: groupIdSchema,
    groupName: label,
    user: userIdSchema,
    userName: label,
  }),
  v.object({ type: v.literal('join-requested'), groupName: label, userName: label }),
  v.object({ type: v.literal('join-accepted'), groupName: label }),
  v.object({ type: v.literal('join-rejected'), groupName: label }),
  v.object({ type: v.literal('group-inherited'), groupName: label }),
  v.object({
    type: v.literal('file-shared'),
    groupName: label,
    userName: label,
    name: fileName,
    sizeBytes: count,
    /** The version that it takes the place of. */
    replaces: v.optional(fileIdSchema),
  }),
  v.object({ type: v.literal('session-ended') }),
]);
export type Push = v.InferOutput<typeof pushSchema>;

/** The first frame of a channel between peers: a file of a group. */
export const openSchema = v.object({ group: groupIdSchema, file: fileIdSchema });

/** Flag of an Opened frame: every piece is there, and no bitfield follows. */
export const OPENED_COMPLETE = 1;

const callEnvelopeSchema = v.object({ method: v.string(), params: v.unknown() });

export function encodeCall<M extends Method>(method: M, params: Params<M>): Uint8Array {
  return encodeCbor({ method, params });
}

/** Throws ProtocolViolation for what is no call; returns undefined for a method this version does not know. */
export function decodeCall(body: Uint8Array): Call | undefined {
  const { method, params } = decodeCbor(callEnvelopeSchema, body, 'call');
  if (!Object.hasOwn(METHODS, method)) return undefined;
  const known = method as Method;
  return { method: known, params: checkValue(METHODS[known].params as v.GenericSchema, params, known) } as Call;
}

export function decodeResult<M extends Method>(method: M, body: Uint8Array): Result<M> {
  return decodeCbor(METHODS[method].result as v.GenericSchema, body, `answer to ${method}`) as Result<M>;
}

export const AGENT = 'p2p-file-share/0.1';

export function encodeHello(features: readonly string[] = []): Uint8Array {
  return encodeCbor({ version: PROTOCOL_VERSION, features, agent: AGENT });
}
