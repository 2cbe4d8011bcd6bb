/**
 * Text and bytes, which are their own order.
 *
 *     utf8  := the UTF-8 of the text     order: by code point
 *     bytes := as they are               order: bytewise, unsigned, a prefix before what it begins
 *
 * By code point is not quite the order of `<` on strings, which compares UTF-16 units: there, U+10000 and above come before
 * U+E000. A lone surrogate has no UTF-8, and is refused rather than replaced: two keys would become one.
 */
import type { KeyCodec } from './key-codec.ts';

const LONE_SURROGATE = /\p{Surrogate}/u;
/** A byte order mark is text like any other: what is stored is given back. */
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The text that the bytes are the UTF-8 of. Throws a TypeError if they are none. */
export const textOfUtf8 = (bytes: Uint8Array): string => decoder.decode(bytes);

export const utf8Codec: KeyCodec<string> = {
  encode(text) {
    if (typeof text !== 'string') throw new TypeError(`a string is needed, not ${typeof text}`);
    if (LONE_SURROGATE.test(text))
      throw new TypeError('the string has half of a surrogate pair, which UTF-8 cannot hold');
    return text;
  },
  decode: textOfUtf8,
};

export const bytesCodec: KeyCodec<Uint8Array> = {
  encode(bytes) {
    if (!((bytes as unknown) instanceof Uint8Array)) throw new TypeError('a Uint8Array is needed');
    return bytes;
  },
  decode: (bytes) => bytes,
};
