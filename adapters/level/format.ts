/**
 * The three forms in which abstract-level hands keys and values to an implementation; all other encodings it makes of these.
 * The store itself takes strings and bytes, and gives bytes.
 */
import type { Bytes } from 'alluvium';

export type Format = 'utf8' | 'buffer' | 'view';
export type Formatted = string | Buffer | Uint8Array;

/** Bytes of the store in the form that was asked for. They are the caller's own, so views on them are, too. */
export function formatted(bytes: Uint8Array, format: Format | undefined): Formatted {
  if (format === 'view') return bytes;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // Not a TextDecoder, which would swallow a byte order mark.
  return format === 'utf8' ? buffer.toString('utf8') : buffer;
}

/** The same, where there may be nothing. */
export const formattedOrNone = (bytes: Uint8Array | undefined, format: Format | undefined): Formatted | undefined =>
  bytes === undefined ? undefined : formatted(bytes, format);

/** Data that stays as it is now: the store reads bytes until an operation completes, and callers of `level` change them. */
export const pinned = (data: Formatted): Bytes => (typeof data === 'string' ? data : new Uint8Array(data));

/** As the store would write it. */
export const bytesOf = (data: Bytes): Uint8Array => (typeof data === 'string' ? Buffer.from(data) : data);
