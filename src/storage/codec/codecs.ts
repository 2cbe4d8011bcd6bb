/** The codecs that come with the engine, under one name. */
import { bigintCodec } from './key-bigint.ts';
import type { KeyCodec } from './key-codec.ts';
import { booleanCodec, dateCodec, numberCodec } from './key-number.ts';
import { bytesCodec, utf8Codec } from './key-text.ts';
import { tupleCodec } from './key-tuple.ts';
import { jsonCodec } from './value-json.ts';

/** Codecs of keys, all of which keep the order of the keys; each serves for values, too. `json` is for values only. */
export interface Codecs {
  /** Text, as UTF-8, ordered by code point. A lone surrogate is refused. */
  readonly utf8: KeyCodec<string>;
  /** Bytes as they are, ordered bytewise. */
  readonly bytes: KeyCodec<Uint8Array>;
  /** Numbers, the infinities included, in 8 bytes. -0 is 0; NaN is refused. */
  readonly number: KeyCodec<number>;
  /** Whole numbers of up to 1,016 bits, in 1 to 128 bytes. */
  readonly bigint: KeyCodec<bigint>;
  /** Dates, to the millisecond, in 8 bytes. An invalid one is refused. */
  readonly date: KeyCodec<Date>;
  /** False before true, in a byte. */
  readonly boolean: KeyCodec<boolean>;
  /**
   * Keys of several elements, ordered by the first element, then by the second, and so on; tuples may hold tuples. As the
   * bound of a range, fewer elements stand for all keys that begin with them: `{ gte: ['ada'], lte: ['ada'] }`.
   */
  readonly tuple: typeof tupleCodec;
  /**
   * Any value that JSON can say, as its text. Nothing checks that what is stored is a `Value`: use a schema for that.
   */
  readonly json: typeof jsonCodec;
}

export const codecs: Codecs = {
  utf8: utf8Codec,
  bytes: bytesCodec,
  number: numberCodec,
  bigint: bigintCodec,
  date: dateCodec,
  boolean: booleanCodec,
  tuple: tupleCodec,
  json: jsonCodec,
};
