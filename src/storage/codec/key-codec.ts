/**
 * What turns typed keys and values into bytes and back. Both ways throw on what does not fit; the keyspace makes a
 * `SchemaError` of whatever is thrown.
 */
import type { Bytes } from '../../model.ts';

/** Values of one type as bytes. */
export interface ValueCodec<Value> {
  /** The bytes of `value`, or a string that stands for its UTF-8. Throws if `value` is none that it can give back. */
  encode(value: Value): Bytes;
  /** The value that `bytes` stand for. Throws if no value has these bytes. Must not change them. */
  decode(bytes: Uint8Array): Value;
}

/** Keys of one type as bytes, such that the bytewise order of the bytes is the order of the keys. */
export interface KeyCodec<Key> extends ValueCodec<Key> {
  /**
   * Only where no encoded key is the beginning of another one: how many bytes the encoded key takes that begins at
   * `start`. A tuple then holds it as it is; without this it is escaped. Throws if there is no key.
   */
  encodedLength?(bytes: Uint8Array, start: number): number;
  /** Only where keys are lists: lets ranges of them have bounds of fewer elements. */
  readonly list?: KeyListCodec;
}

export interface KeyListCodec {
  /** Elements of every key. */
  readonly length: number;
  /** What the encoded form of every key begins with that begins with `elements`, fewer than `length`; and of no other. */
  encodePrefix(elements: readonly unknown[]): Uint8Array;
}
