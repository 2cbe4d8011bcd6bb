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

/**
 * The same for many pieces of one place, one after the other: a stretch is copied at once, and the pieces are views on the
 * copy. What keeping one of them keeps is bounded as with {@link copyOut}.
 */
export class StretchCopier {
  #source: Uint8Array = slab;
  #start = 0;
  #end = 0;
  #copy: Uint8Array = slab;

  /**
   * Copies `source[start, end)`.
   *
   * @param next - up to here the rest will be asked for too, most probably. At least `end`
   */
  copy(source: Uint8Array, start: number, end: number, next: number): Uint8Array {
    if (end - start > SHARED_BYTES_MAX) return copyOut(source, start, end);
    if (source !== this.#source || start < this.#start || end > this.#end) {
      this.#end = Math.min(next, start + SLAB_BYTES);
      this.#copy = copyOut(source, start, this.#end);
      this.#source = source;
      this.#start = start;
    }
    return new Uint8Array(this.#copy.buffer, this.#copy.byteOffset + start - this.#start, end - start);
  }

  /** The source's bytes are going to change. */
  forget(): void {
    this.#source = this.#copy = slab;
    this.#end = 0;
  }
}
