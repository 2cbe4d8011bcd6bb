/** Keys on their way in, as bytes. */
import type { Bytes } from '../model.ts';

const encoder = new TextEncoder();
/** Short ASCII is the common case, and a loop over it is faster than a call into the encoder. */
const LOOP_CHARACTERS_MAX = 48;

export const toBytes = (data: Bytes): Uint8Array => (typeof data === 'string' ? encoder.encode(data) : data);

/** One key, in memory that serves key after key. */
export class KeyBuffer {
  bytes: Uint8Array = new Uint8Array(128);
  length = 0;

  set(key: Bytes): void {
    if (typeof key !== 'string') {
      this.#reserve(key.length);
      this.bytes.set(key);
      this.length = key.length;
      return;
    }
    this.#reserve(3 * key.length); // UTF-8 takes at most three bytes for a UTF-16 unit
    if (key.length <= LOOP_CHARACTERS_MAX && this.#setAscii(key)) return;
    this.length = encoder.encodeInto(key, this.bytes).written;
  }

  /** @returns false if it is not all ASCII */
  #setAscii(key: string): boolean {
    const { bytes } = this;
    for (let index = 0; index < key.length; index += 1) {
      const code = key.charCodeAt(index);
      if (code >= 0x80) return false;
      bytes[index] = code;
    }
    this.length = key.length;
    return true;
  }

  #reserve(length: number): void {
    if (this.bytes.length < length) this.bytes = new Uint8Array(2 * length);
  }
}
