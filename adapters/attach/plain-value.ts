/**
 * Whether bytes are a value as node:v8 writes it, made of what our messages are made of, and of nothing else.
 *
 * node:v8 reads more than that. An array with holes is its length and nothing else: ten bytes can stand for 2^25 elements, and
 * reading them takes 256 MiB and seconds in which the event loop stands still. So the bytes are looked through before, one
 * token after the other, each of which says how long it is; and all arrays together, also those within others, have no more
 * elements than the message has bytes: node:v8 makes room for them before it looks for them.
 *
 * Source: V8's src/objects/value-serializer.cc, format version 15; node's lib/v8.js for views (host objects).
 */
const VERSION = 0xff;
const PADDING = 0x00;
const HOST_OBJECT = 0x5c; // '\'

/** Tokens that are their tag alone: undefined, null, true, false, the beginning of an object. */
const BARE: ReadonlySet<number> = codes('_0TFo');
/** Tokens with one number behind the tag: int32, uint32, the end of an object, a reference, the version. */
const WITH_NUMBER: ReadonlySet<number> = new Set([...codes('IU{^'), VERSION]);
/** Tokens with a length and so many bytes: strings of one byte a character, and of two. */
const WITH_BYTES: ReadonlySet<number> = codes('"c');
/** Eight bytes: a number with a fraction or a large one, a date. */
const DOUBLES: ReadonlySet<number> = codes('ND');
/** An array: its length, and its elements; where it has holes, or might have had some, as an object's properties. */
const ARRAYS: ReadonlySet<number> = codes('Aa');
/** Properties beside the elements, and the length once more. */
const ARRAY_ENDS: ReadonlySet<number> = codes('$@');
const DOUBLE_BYTES = 8;

function codes(tags: string): ReadonlySet<number> {
  return new Set(Buffer.from(tags, 'latin1'));
}

export function isPlainValue(bytes: Uint8Array): boolean {
  const tokens = new Tokens(bytes);
  while (tokens.offset < bytes.length) if (!tokens.advance()) return false;
  return true;
}

class Tokens {
  readonly #bytes: Uint8Array;
  offset = 0;
  /** Each element of an array takes a byte at least, and is of one array. */
  #elementsLeft: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#elementsLeft = bytes.length;
  }

  /** Goes behind the next token; `false`: there is none of ours. */
  advance(): boolean {
    const tag = this.#bytes[this.offset] as number;
    this.offset += 1;
    if (BARE.has(tag) || tag === PADDING) return true;
    if (WITH_NUMBER.has(tag)) return this.#number() !== undefined;
    if (WITH_BYTES.has(tag)) return this.#skipBytes(this.#number());
    if (DOUBLES.has(tag)) return this.#skipBytes(DOUBLE_BYTES);
    if (ARRAY_ENDS.has(tag)) return this.#number() !== undefined && this.#number() !== undefined;
    if (ARRAYS.has(tag)) return this.#takeElements(this.#number());
    if (tag === HOST_OBJECT) return this.#number() !== undefined && this.#skipBytes(this.#number());
    return false;
  }

  #takeElements(count: number | undefined): boolean {
    if (count === undefined || count > this.#elementsLeft) return false;
    this.#elementsLeft -= count;
    return true;
  }

  #skipBytes(count: number | undefined): boolean {
    if (count === undefined || count > this.#bytes.length - this.offset) return false;
    this.offset += count;
    return true;
  }

  /** A varint32; `undefined` if it is cut short or longer. */
  #number(): number | undefined {
    let value = 0;
    for (let scale = 1; scale <= 2 ** 28; scale *= 2 ** 7) {
      const byte = this.#bytes[this.offset];
      if (byte === undefined) return undefined;
      this.offset += 1;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    return undefined;
  }
}
