/**
 * What trackers say to each other (ALPN `p2pfs-replica/1`). The side that dialled follows: it says what it holds, and is
 * sent what it lacks, at first and as it comes to be; each batch is answered with what is held then. The accepting
 * side feeds it, and tells it who is online there. Between two trackers there is one connection each way.
 */
import * as v from 'valibot';
import { bytesSchema, decodeCbor, encodeCbor } from './cbor.ts';
import { ProtocolViolation } from './errors.ts';
import { encodeFrame, type Frame, FrameType } from './frame.ts';
import { deviceIdSchema, fileIdSchema, groupIdSchema, trackerIdSchema } from './ids.ts';
import {
  ANNOUNCE_ITEMS_MAX,
  DIGEST_BYTES,
  ENTRIES_AT_ONCE_MAX,
  ENTRY_BYTES_MAX,
  SPKI_BYTES_MAX,
  TRACKERS_MAX,
} from './limits.ts';
import { peerSchema, pinSchema } from './messages.ts';
import { type Signed, signedSchema } from './signed.ts';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const digest = v.pipe(
  bytesSchema,
  v.check((bytes) => bytes.length === DIGEST_BYTES, 'not a digest'),
);
/** The highest seq of each tracker. */
const vectorSchema = v.pipe(
  v.record(trackerIdSchema, count),
  v.check((vector) => Object.keys(vector).length <= TRACKERS_MAX, 'too many trackers'),
);
const spki = v.pipe(
  bytesSchema,
  v.check((bytes) => bytes.length <= SPKI_BYTES_MAX, 'not a key'),
);
const files = v.pipe(v.array(fileIdSchema), v.maxLength(ANNOUNCE_ITEMS_MAX));
const messageSchema = v.variant('type', [
  /**
   * Opens a link, both ways: the keys of the trackers whose logs one has, the pins one knows, what one holds, and the last
   * entry that one holds of the other side's own log.
   */
  v.object({
    type: v.literal('introduce'),
    keys: v.pipe(v.array(spki), v.maxLength(TRACKERS_MAX)),
    pins: v.pipe(v.array(pinSchema), v.maxLength(TRACKERS_MAX)),
    held: vectorSchema,
    /** It keeps its log in etcd, as all others of its network must: no entries are exchanged. */
    shared: v.optional(v.boolean()),
    yours: v.optional(signedSchema),
  }),
  /** From the follower: what is safe and executed there. `again`: what was sent beyond it was not taken. */
  v.object({ type: v.literal('held'), held: vectorSchema, again: v.optional(v.boolean()) }),
  /** Now and then, both ways: what is held, and what the registry adds up to then, the same everywhere. */
  v.object({ type: v.literal('state'), held: vectorSchema, digest: v.optional(digest) }),
  /** From the feeder: a device that is online there serves these files, beside those it named before. */
  v.object({
    type: v.literal('serves'),
    peer: peerSchema,
    shares: v.pipe(v.array(v.object({ group: groupIdSchema, file: fileIdSchema })), v.maxLength(ANNOUNCE_ITEMS_MAX)),
  }),
  v.object({ type: v.literal('withdraws'), device: deviceIdSchema, files }),
  v.object({ type: v.literal('left'), device: deviceIdSchema }),
  /** Everybody who is online there was named since the link stands. */
  v.object({ type: v.literal('all-named') }),
]);
type PlainMessage = v.InferOutput<typeof messageSchema>;

const entriesSchema = v.pipe(v.array(signedSchema), v.maxLength(ENTRIES_AT_ONCE_MAX));

export type ReplicaMessage = PlainMessage | { readonly type: 'entries'; readonly entries: readonly Signed[] };

export function encodeReplica(message: ReplicaMessage): Uint8Array {
  return message.type === 'entries'
    ? encodeFrame(FrameType.Entries, { body: encodeCbor(message.entries) })
    : encodeFrame(FrameType.Replica, { body: encodeCbor(message) });
}

/** Throws ProtocolViolation. */
export function decodeReplica(frame: Frame): ReplicaMessage {
  switch (frame.type) {
    case FrameType.Replica:
      return decodeCbor(messageSchema, frame.body, 'message of a tracker');
    case FrameType.Entries: {
      const entries = decodeCbor(entriesSchema, frame.body, 'entries');
      if (entries.some(({ body }) => body.length > ENTRY_BYTES_MAX)) throw new ProtocolViolation('an entry too long');
      return { type: 'entries', entries };
    }
    default:
      throw new ProtocolViolation(`frame type ${frame.type} from a tracker`);
  }
}
