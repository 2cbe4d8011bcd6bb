/**
 * Bytes on their way out to the caller, who may keep and change them: so always a copy, never a view on a memtable or a
 * cached block. Small ones share a slab, as Node's own `Buffer` does: a view on a slab costs a tenth of an allocation.
 */
const SLAB_BYTES = 32 * 1024;
/** More than this gets a buffer of its own, so that keeping one large value does not keep its neighbours. */
const SHARED_BYTES_MAX = SLAB_BYTES / 8;
/** Up to here a plain loop beats `set`, which has to make a view first. */
const LOOP_BYTES_MAX = 64;

let slab = new Uint8Array(SLAB_BYTES);
let used = 0;

export function copyOut(source: Uint8Array, start: number, end: number): Uint8Array {
  const length = end - start;
  if (length > SHARED_BYTES_MAX) {
    const own = new Uint8Array(length);
    own.set(source.subarray(start, end));
    return own;
  }
  if (used + length > SLAB_BYTES) {
    slab = new Uint8Array(SLAB_BYTES);
    used = 0;
  }
  const offset = used;
  used += length;
  if (length <= LOOP_BYTES_MAX) {
    for (let index = 0; index < length; index += 1) slab[offset + index] = source[start + index] as number;
  } else {
    slab.set(new Uint8Array(source.buffer, source.byteOffset + start, length), offset);
  }
  return new Uint8Array(slab.buffer, offset, length);
}
