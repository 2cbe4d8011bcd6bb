/**
 * Lists of keys, in the order of their elements: the first that differs decides.
 *
 *     tuple   := { element } last
 *     element := as its codec has it, if that says where it ends | escaped 0x00 0x01
 *     escaped := as its codec has it, each 0x00 as 0x00 0xff
 *     last    := as its codec has it
 *
 * Why the order holds: the end mark `00 01` is less than an escaped zero, `00 ff`, and than every other byte; so a text comes
 * before those that it begins. The last element needs no mark, for the key ends with it. A tuple within a tuple is escaped
 * like text, once more for each tuple around it. The marks are those of CockroachDB's key encoding.
 */
import type { Bytes } from '../../model.ts';
import type { KeyCodec } from './key-codec.ts';
import { Malformed } from './malformed.ts';

const ESCAPE = 0x00;
const ESCAPED_ZERO = 0xff;
const END_MARK = 0x01;

const encoder = new TextEncoder();
const bytesOf = (data: Bytes): Uint8Array => (typeof data === 'string' ? encoder.encode(data) : data);

/**
 * Keys of several elements, ordered by the first element, then by the second, and so on.
 *
 * A range of such keys takes fewer elements as a bound, too; it stands for all keys that begin with them.
 *
 * @throws TypeError without elements
 */
export function tupleCodec<Elements extends readonly unknown[]>(
  ...codecs: { readonly [Index in keyof Elements]: KeyCodec<Elements[Index]> }
): KeyCodec<readonly [...Elements]>;
export function tupleCodec(...codecs: readonly KeyCodec<unknown>[]): KeyCodec<readonly unknown[]> {
  const last = codecs.length - 1;
  if (last < 0) throw new TypeError('a tuple needs a codec for each of its elements, and there is none');

  const encodeElements = (elements: readonly unknown[]): Uint8Array => {
    const parts = elements.map((element, index) => {
      const codec = codecs[index] as KeyCodec<unknown>;
      const bytes = bytesOf(inElement(index, () => codec.encode(element)));
      return index === last || codec.encodedLength !== undefined ? bytes : escape(bytes);
    });
    return concatenate(parts);
  };

  return {
    encode(elements) {
      // A copy: the holes of a sparse array would be passed over.
      const list: readonly unknown[] = isList(elements) ? [...elements] : [];
      if (list.length === codecs.length) return encodeElements(list);
      throw new TypeError(`an array of ${codecs.length} elements is needed`);
    },

    decode(bytes) {
      let offset = 0;
      return codecs.map((codec, index) => {
        const start = offset;
        const { content, end } = inElement(index, () => takeElement(codec, index === last, bytes, start));
        offset = end;
        return inElement(index, () => codec.decode(content));
      });
    },

    list: {
      length: codecs.length,
      encodePrefix(elements) {
        if (elements.length < codecs.length) return encodeElements([...elements]);
        throw new TypeError(`a prefix has fewer than ${codecs.length} elements`);
      },
    },
  };
}

const isList = (value: unknown): value is readonly unknown[] => Array.isArray(value);

/** Says of which element an error is. */
function inElement<T>(index: number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TypeError(`element ${index}: ${reason}`, { cause: error });
  }
}

interface TakenElement {
  readonly content: Uint8Array;
  /** Where the next element begins. */
  readonly end: number;
}

function takeElement(codec: KeyCodec<unknown>, isLast: boolean, bytes: Uint8Array, start: number): TakenElement {
  if (isLast) return { content: bytes.subarray(start), end: bytes.length };
  if (codec.encodedLength === undefined) return unescape(bytes, start);
  const length = codec.encodedLength(bytes, start);
  const isWhole = Number.isSafeInteger(length) && length >= 0 && length <= bytes.length - start;
  if (!isWhole) throw new Malformed(`it takes ${length} bytes, and there are ${bytes.length - start}`, start);
  return { content: bytes.subarray(start, start + length), end: start + length };
}

function escape(bytes: Uint8Array): Uint8Array {
  let zeros = 0;
  for (const byte of bytes) if (byte === ESCAPE) zeros += 1;
  const escaped = new Uint8Array(bytes.length + zeros + 2);
  let offset = 0;
  for (const byte of bytes) {
    escaped[offset++] = byte;
    if (byte === ESCAPE) escaped[offset++] = ESCAPED_ZERO;
  }
  escaped[offset] = ESCAPE;
  escaped[offset + 1] = END_MARK;
  return escaped;
}

function unescape(bytes: Uint8Array, start: number): TakenElement {
  const content = new Uint8Array(bytes.length - start);
  let length = 0;
  for (let offset = start; offset < bytes.length; offset += 1) {
    const byte = bytes[offset] as number;
    if (byte === ESCAPE) {
      offset += 1;
      const mark = bytes[offset];
      if (mark === END_MARK) return { content: content.subarray(0, length), end: offset + 1 };
      if (mark !== ESCAPED_ZERO) throw new Malformed('a zero byte is neither escaped nor an end', offset - 1);
    }
    content[length] = byte;
    length += 1;
  }
  throw new Malformed('it has no end', bytes.length);
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
