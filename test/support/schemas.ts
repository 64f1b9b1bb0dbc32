/**
 * Values made from a valibot schema: any that it allows (for properties), and the largest that it allows (for limits).
 * Knows the schemas that the protocol is made of, and refuses others loudly rather than testing less.
 */
import fc from 'fast-check';
import type * as v from 'valibot';
import { bytesSchema } from '../../src/protocol/cbor.ts';
import * as ids from '../../src/protocol/ids.ts';

const hex = (digits: number) =>
  fc.uint8Array({ minLength: digits / 2, maxLength: digits / 2 }).map((bytes) => Buffer.from(bytes).toString('hex'));

const ID_DIGITS = new Map<unknown, number>([
  [ids.userIdSchema, 32],
  [ids.groupIdSchema, 32],
  [ids.fileIdSchema, 32],
  [ids.sessionIdSchema, 32],
  [ids.requestIdSchema, 32],
  [ids.deviceIdSchema, 64],
  [ids.trackerIdSchema, 64],
  [ids.rootSchema, 64],
]);

/** More bytes than any statement of ours has. */
const BYTES_MAX = 1024;

/** What the walk reads of a schema; valibot's own types name each kind apart. */
interface Described {
  readonly type: string;
  readonly entries?: Readonly<Record<string, v.GenericSchema>>;
  readonly item?: v.GenericSchema;
  readonly key?: v.GenericSchema;
  readonly value?: v.GenericSchema;
  readonly wrapped?: v.GenericSchema;
  readonly literal?: unknown;
  readonly options?: readonly unknown[];
  readonly pipe?: readonly { readonly type: string; readonly requirement?: unknown }[];
}

function described(schema: v.GenericSchema): Described {
  return schema;
}

function unknownTo(schema: Described): never {
  throw new Error(`a schema of type ${schema.type} that this walk does not know, or without a limit`);
}

const part = <T>(value: T | undefined, schema: Described): T => value ?? unknownTo(schema);

function limit(schema: Described, type: string, otherwise: number): number {
  const requirement = schema.pipe?.find((action) => action.type === type)?.requirement;
  return typeof requirement === 'number' ? requirement : otherwise;
}

/** Any value that the schema allows. */
export function arbitraryOf(schema: v.GenericSchema): fc.Arbitrary<unknown> {
  const digits = ID_DIGITS.get(schema);
  if (digits) return hex(digits);
  if (schema === bytesSchema) return fc.uint8Array({ maxLength: 100 });
  const shape = described(schema);
  switch (shape.type) {
    case 'object': {
      const entries = Object.entries(part(shape.entries, shape));
      const optional = entries.filter(([, entry]) => entry.type === 'optional').map(([key]) => key);
      return fc.record(Object.fromEntries(entries.map(([key, entry]) => [key, arbitraryOf(entry)])), {
        requiredKeys: entries.map(([key]) => key).filter((key) => !optional.includes(key)),
        noNullPrototype: true,
      });
    }
    case 'array':
      return fc.array(arbitraryOf(part(shape.item, shape)), { maxLength: Math.min(3, limit(shape, 'max_length', 3)) });
    case 'record':
      return fc.dictionary(
        fc.constant('').chain(() => hex(64)),
        arbitraryOf(part(shape.value, shape)),
        {
          maxKeys: 3,
          noNullPrototype: true,
        },
      );
    case 'optional':
      return arbitraryOf(part(shape.wrapped, shape));
    case 'variant':
      return fc.oneof(...part(shape.options, shape).map((option) => arbitraryOf(option as v.GenericSchema)));
    case 'picklist':
      return fc.constantFrom(...part(shape.options, shape));
    case 'literal':
      return fc.constant(shape.literal);
    case 'boolean':
      return fc.boolean();
    case 'number':
      return fc.integer({
        min: limit(shape, 'min_value', 0),
        max: limit(shape, 'max_value', Number.MAX_SAFE_INTEGER),
      });
    case 'string': {
      const bytesMax = limit(shape, 'max_bytes', 100);
      return fc.string({ unit: 'grapheme', maxLength: 40 }).filter((text) => Buffer.byteLength(text) <= bytesMax);
    }
    default:
      return unknownTo(shape);
  }
}

/** A value that takes as many bytes in CBOR as any that the schema allows. Throws where the schema sets no limit. */
export function largestOf(schema: v.GenericSchema): unknown {
  const digits = ID_DIGITS.get(schema);
  if (digits) return 'f'.repeat(digits);
  if (schema === bytesSchema) return new Uint8Array(BYTES_MAX);
  const shape = described(schema);
  switch (shape.type) {
    case 'object':
      return Object.fromEntries(
        Object.entries(part(shape.entries, shape)).map(([key, entry]) => [key, largestOf(entry)]),
      );
    case 'array': {
      const item = largestOf(part(shape.item, shape));
      return Array.from({ length: part(limit(shape, 'max_length', 0) || undefined, shape) }, () => item);
    }
    case 'optional':
      return largestOf(part(shape.wrapped, shape));
    case 'picklist':
      return part(shape.options, shape).reduce((a, b) => (String(a).length > String(b).length ? a : b));
    case 'literal':
      return shape.literal;
    case 'boolean':
      return true;
    case 'number':
      return limit(shape, 'max_value', Number.MAX_SAFE_INTEGER);
    case 'string':
      return 'x'.repeat(part(limit(shape, 'max_bytes', 0) || undefined, shape));
    default:
      return unknownTo(shape);
  }
}
