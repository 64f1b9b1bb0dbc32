/**
 * Every number that bounds what another machine may make us hold or do, in one place and related to each other.
 * A length is compared with its limit here before anything is allocated for it.
 */

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

export const PROTOCOL_VERSION = 1;

/** Bytes of a BLAKE3-256 digest and of a root. */
export const DIGEST_BYTES = 32;
/** Bytes of an xxHash64 checksum. */
export const CHECKSUM_BYTES = 8;

export const PIECE_BYTES_DEFAULT = 512 * KIB;
export const PIECE_BYTES_MIN = 16 * KIB;
export const PIECE_BYTES_MAX = 16 * MIB;
/** Pieces of all levels of one file; an index must fit the u32 of a frame header. */
export const PIECES_MAX = 2 ** 28;

export const FRAME_HEADER_BYTES = 16;
/** A CBOR body that carries lists: results, pushes, announcements. */
export const CONTROL_BODY_BYTES_MAX = 256 * KIB;
/** A CBOR body that carries a fixed handful of fields. */
export const SMALL_BODY_BYTES_MAX = 4 * KIB;
/** What is said to a person: a refusal carries two of these and fits SMALL_BODY_BYTES_MAX. */
export const SENTENCE_BYTES_MAX = 1536;
/** A bitfield with one bit for each piece. */
export const BITFIELD_BYTES_MAX = PIECES_MAX / 8;
/** Array items and map entries in one CBOR body, whatever its bytes claim. */
export const CBOR_ITEMS_MAX = 16 * KIB;
/** Arrays and maps inside each other in one CBOR body; ours nest four deep. */
export const CBOR_DEPTH_MAX = 8;

/** Trackers of one network, and so the entries of a version vector. */
export const TRACKERS_MAX = 64;
/** An Ed25519 public key with its wrapping has 44. */
export const SPKI_BYTES_MAX = 256;
/** An entry of a log as it crosses the wire: the longest file name and a full version vector fit many times. */
export const ENTRY_BYTES_MAX = 32 * KIB;
/** Entries that one tracker sends another at once; a frame holds them, or a few of the longest. */
export const ENTRIES_AT_ONCE_MAX = 256;
export const ENTRIES_BODY_BYTES_MAX = 1024 * KIB;

/** Requests a tracker lets one connection have open; more wait in the socket. */
export const CALLS_IN_FLIGHT_MAX = 256;
/** Entries in one page of a listing; a page fits CONTROL_BODY_BYTES_MAX with names of full length. */
export const PAGE_ITEMS_MAX = 128;
/** Shares named in one announcement. */
export const ANNOUNCE_ITEMS_MAX = 1024;

/** Pieces one downloader may have asked of one uploader on one channel; more is a violation. */
export const REQUESTS_PER_CHANNEL_MAX = 1024;
/** Files one peer connection may have open at once. */
export const CHANNELS_PER_LINK_MAX = 64;

export const USER_NAME_BYTES_MAX = 64;
export const GROUP_NAME_BYTES_MAX = 64;
/** One segment of a file's name, as file systems have it. */
export const FILE_SEGMENT_BYTES_MAX = 255;
/** A whole relative name. */
export const FILE_PATH_BYTES_MAX = 1024;
export const PASSWORD_BYTES_MAX = 256;
export const HOST_BYTES_MAX = 255;

/** Bad pieces after which a peer is banned for the rest of a download. */
export const BAD_PIECES_MAX = 2;

export const TICKET_LIFETIME_MS = 10 * 60_000;
export const SESSION_LIFETIME_MS = 30 * 24 * 3600_000;
/** How far a clock of another machine may run ahead of ours. */
export const CLOCK_AHEAD_MS_MAX = 60_000;

export const HEARTBEAT_MS = 15_000;
/** Silence after which a connection counts as dead: three heartbeats. */
export const SILENCE_MS_MAX = 3 * HEARTBEAT_MS;
