/** Keys and values of a database or of a sublevel, between the types of its encodings and the store's bytes. */
import type { Bytes, KeyRange } from 'alluvium';
import type { LevelRange, Typing } from './change-types.ts';
import { type Format, type Formatted, formatted, pinned } from './format.ts';
import { LevelError } from './level-error.ts';
import { storeRange } from './range.ts';

/** What is used of an encoding of abstract-level. Which types it is of is only known to whoever named it. */
interface Encoding {
  readonly format: Format;
  encode(data: unknown): Formatted;
  decode(data: Formatted): unknown;
}

/** What is used of a database, or of a sublevel of it. */
export interface Encoder {
  keyEncoding(encoding?: unknown): Encoding;
  valueEncoding(encoding?: unknown): Encoding;
}

export interface TypedKeys<Key, Value> {
  encodeKey(key: Key): Bytes;
  encodeValue(value: Value): Bytes;
  /** @throws LEVEL_DECODE_ERROR */
  decodeKey(stored: Uint8Array): Key;
  /** @throws LEVEL_DECODE_ERROR */
  decodeValue(stored: Uint8Array): Value;
  /** As the store has it: within the sublevel, if it is one. */
  rangeOf(range: LevelRange<Key>): KeyRange;
}

/** @throws TypeError for a sublevel of another database */
export function typedKeys<Key, Value>(db: Encoder, options: Typing<Key, Value>): TypedKeys<Key, Value> {
  const { sublevel } = options;
  if (sublevel !== undefined && sublevel.db !== db) throw new TypeError('The sublevel is not one of this database');
  const encoder: Encoder = sublevel ?? db;
  const keyEncoding = encoder.keyEncoding(options.keyEncoding);
  const valueEncoding = encoder.valueEncoding(options.valueEncoding);
  const prefix = Buffer.from(sublevel?.prefix ?? '');
  const encodeKey = (key: Key): Bytes => prefixed(prefix, pinned(keyEncoding.encode(key)));
  const encodeBound = (key: Key | undefined): Bytes | undefined => (key === undefined ? undefined : encodeKey(key));
  return {
    encodeKey,
    encodeValue: (value) => pinned(valueEncoding.encode(value)),
    decodeKey: (stored) => decoded(keyEncoding, stored.subarray(prefix.length), 'key') as Key,
    decodeValue: (stored) => decoded(valueEncoding, stored, 'value') as Value,
    rangeOf: ({ gt, gte, lt, lte }) => {
      const isBelow = lt !== undefined || lte !== undefined;
      const isAbove = gt !== undefined || gte !== undefined;
      const range = storeRange({
        gt: encodeBound(gt),
        gte: encodeBound(gte),
        lt: encodeBound(lt),
        lte: encodeBound(lte),
      });
      if (prefix.length === 0) return range;
      return { ...(isAbove ? {} : { gte: prefix }), ...(isBelow ? {} : { lt: behind(prefix) }), ...range };
    },
  };
}

/** Subscribers share what the store gives, and who decodes to a view could change it: so those get a copy. */
function decoded(encoding: Encoding, stored: Uint8Array, what: 'key' | 'value'): unknown {
  const { format } = encoding;
  try {
    return encoding.decode(formatted(format === 'utf8' ? stored : new Uint8Array(stored), format));
  } catch (error) {
    throw new LevelError('LEVEL_DECODE_ERROR', `Could not decode ${what}`, { cause: error });
  }
}

const prefixed = (prefix: Buffer, key: Bytes): Bytes =>
  prefix.length === 0 ? key : Buffer.concat([prefix, typeof key === 'string' ? Buffer.from(key) : key]);

/** The first key behind all that begin with the prefix of a sublevel, whose last byte is its separator. */
function behind(prefix: Buffer): Uint8Array {
  const end = Uint8Array.from(prefix);
  end[end.length - 1] = (end[end.length - 1] as number) + 1;
  return end;
}
