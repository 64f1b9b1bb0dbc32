/**
 * What a CBOR body may look like, told from its bytes alone before a decoder sees it: numbers, text, byte strings,
 * arrays, maps with text keys, booleans, null and undefined, of definite length. No tags, for a decoder may have any
 * number of meanings for them (cycles, classes, state that outlives the body). Nesting is bounded, and nothing claims
 * more items than there are bytes left, so a decoder never allocates for what is not there.
 */
import { CBOR_DEPTH_MAX, CBOR_ITEMS_MAX } from './limits.ts';

const BYTES = 2;
const TEXT = 3;
const ARRAY = 4;
const MAP = 5;
const TAG = 6;
const OTHER = 7;

/** Bytes of the number that follows a head whose low five bits are 24 to 27. */
const ARGUMENT_BYTES = [1, 2, 4, 8] as const;
const FIRST_ARGUMENT = 24;
const FALSE = 20;
const UNDEFINED = 23;
const FLOAT16 = 25;
const FLOAT64 = 27;

interface Container {
  /** Items still to come; in a map, an even number means that the next one is a key. */
  left: number;
  readonly isMap: boolean;
}

/** Why these bytes are not one value of ours; undefined when they are. */
export function cborFault(bytes: Uint8Array): string | undefined {
  const open: Container[] = [];
  let at = 0;
  do {
    const head = bytes[at];
    if (head === undefined) return 'it ends too early';
    at += 1;
    const major = head >> 5;
    const low = head & 31;
    let argument = low;
    if (low >= FIRST_ARGUMENT) {
      const argumentBytes = ARGUMENT_BYTES[low - FIRST_ARGUMENT];
      if (argumentBytes === undefined) return 'a length is indefinite or reserved';
      if (at + argumentBytes > bytes.length) return 'it ends too early';
      argument = 0;
      for (let i = 0; i < argumentBytes; i += 1) argument = argument * 256 + (bytes[at + i] ?? 0);
      at += argumentBytes;
    }
    const container = open.at(-1);
    if (container) {
      if (container.isMap && container.left % 2 === 0 && major !== TEXT) return 'a key is not text';
      container.left -= 1;
    }
    switch (major) {
      case BYTES:
      case TEXT:
        if (argument > bytes.length - at) return 'a string is longer than the body';
        at += argument;
        break;
      case ARRAY:
      case MAP: {
        const items = major === MAP ? 2 * argument : argument;
        if (argument > CBOR_ITEMS_MAX) return `more than ${CBOR_ITEMS_MAX} items`;
        if (items > bytes.length - at) return 'more items than bytes';
        if (open.length === CBOR_DEPTH_MAX) return `nested more than ${CBOR_DEPTH_MAX} deep`;
        open.push({ left: items, isMap: major === MAP });
        break;
      }
      case TAG:
        return 'a tag';
      case OTHER:
        if (low < FALSE || (low > UNDEFINED && (low < FLOAT16 || low > FLOAT64))) return 'an unknown simple value';
        break;
      default:
    }
    while (open.at(-1)?.left === 0) open.pop();
  } while (open.length > 0);
  return at === bytes.length ? undefined : 'bytes follow its end';
}
