/**
 * Messages as bytes, one after the other, on a socket.
 *
 * ```text
 * message := frame* lastFrame        the contents of its frames, one after the other, are a value as node:v8 writes it
 * frame   := length (fixed32, 1 to 64 MiB) | 1 (1 byte) | content (length bytes)
 * lastFrame := length                      | 0          | content
 * ```
 *
 * A length is looked at before anything is kept for it; and nothing is allocated for bytes that have not come.
 */
import { deserialize, serialize } from 'node:v8';
import { AttachProtocolError } from './attach-error.ts';
import { isPlainValue } from './plain-value.ts';

/** Longest content of a frame that is accepted. */
export const FRAME_BYTES_MAX: number = 64 * 1024 * 1024;
/** Longest content of a frame that is sent: what a frame holds up, it holds up for this long only. */
const FRAME_BYTES_SENT: number = 8 * 1024 * 1024;
/** Longest first message of either side, before which nothing is known of it. */
export const HELLO_BYTES_MAX: number = 64 * 1024;
/** Longest message: the longest batch, and some more for what is around it. */
export const MESSAGE_BYTES_MAX: number = 1024 * 1024 * 1024 + FRAME_BYTES_MAX;
const HEADER_BYTES = 5;
const MORE = 1;
const LAST = 0;

/** @throws AttachProtocolError if it is too long; what node:v8 throws if it cannot be written */
export function encodeMessage(message: object): Uint8Array[] {
  const content = serialize(message);
  if (content.length > MESSAGE_BYTES_MAX)
    throw new AttachProtocolError(`a message of ${content.length} bytes is too long.`);
  const frames: Uint8Array[] = [];
  for (let start = 0; start < content.length; start += FRAME_BYTES_SENT) {
    const end = Math.min(start + FRAME_BYTES_SENT, content.length);
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32LE(end - start);
    header[4] = end < content.length ? MORE : LAST;
    // A small message is one piece, for one call of the system.
    if (content.length < 64 * 1024) frames.push(Buffer.concat([header, content]));
    else frames.push(header, content.subarray(start, end));
  }
  return frames;
}

/** A message that has come whole. */
export interface Received {
  readonly message: unknown;
  readonly bytes: number;
}

/**
 * Puts together what comes in pieces.
 */
export class FrameReader {
  /** Longest message that is accepted from now on. */
  messageBytesMax: number;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #header: { readonly length: number; readonly isLast: boolean } | undefined;
  #parts: Buffer[] = [];
  #partBytes = 0;

  constructor(messageBytesMax: number = MESSAGE_BYTES_MAX) {
    this.messageBytesMax = messageBytesMax;
  }

  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  /**
   * The next message, or `undefined` if it has not come whole yet.
   *
   * @throws AttachProtocolError; nothing after it can be read
   */
  next(): Received | undefined {
    for (;;) {
      this.#header ??= this.#readHeader();
      if (this.#header === undefined || this.#bytes < this.#header.length) return undefined;
      const { length, isLast } = this.#header;
      this.#header = undefined;
      this.#parts.push(this.#take(length));
      this.#partBytes += length;
      if (isLast) return this.#finish();
    }
  }

  #readHeader(): { readonly length: number; readonly isLast: boolean } | undefined {
    if (this.#bytes < HEADER_BYTES) return undefined;
    const header = this.#take(HEADER_BYTES);
    const length = header.readUInt32LE();
    const flag = header[4];
    if (length < 1 || length > FRAME_BYTES_MAX)
      throw new AttachProtocolError(`a frame says that it has ${length} bytes.`);
    if (flag !== MORE && flag !== LAST) throw new AttachProtocolError(`a frame has the unknown flag ${flag ?? -1}.`);
    if (this.#partBytes + length > this.messageBytesMax) throw new AttachProtocolError('a message is too long.');
    return { length, isLast: flag === LAST };
  }

  /** A copy, so that a small value does not keep a large piece. The caller has looked that so much is there. */
  #take(length: number): Buffer {
    const taken = Buffer.allocUnsafeSlow(length);
    let filled = 0;
    let used = 0;
    while (filled < length) {
      const chunk = this.#chunks[used] as Buffer;
      const count = chunk.copy(taken, filled, 0, length - filled);
      filled += count;
      if (count === chunk.length) used += 1;
      else this.#chunks[used] = chunk.subarray(count);
    }
    this.#chunks.splice(0, used);
    this.#bytes -= length;
    return taken;
  }

  #finish(): Received {
    const [first] = this.#parts;
    const content = this.#parts.length === 1 && first !== undefined ? first : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#partBytes = 0;
    try {
      if (!isPlainValue(content)) throw new TypeError('it holds what no message of ours does');
      const message: unknown = deserialize(content);
      return { message, bytes: content.length };
    } catch (error) {
      throw new AttachProtocolError('a message is none.', { cause: error });
    }
  }
}
