/**
 * First in, first out: a ring in one array.
 *
 * `Array.prototype.shift` moves the whole array once that is large; here both ends cost the same at every size. The
 * ring doubles when it is full, and shrinks back when it has run empty after a burst, so that a burst does not hold
 * memory for ever.
 *
 * ```text
 *   slots   . . c d e . . .      push puts f behind e, shift takes c
 *               ^head  ^(head + size) & mask
 * ```
 *
 * @internal
 */
export class Fifo<A> {
  /** How many values wait. */
  size = 0;
  #slots: (A | undefined)[] = new Array<A | undefined>(SLOTS_MIN);
  #mask = SLOTS_MIN - 1;
  #head = 0;

  push(value: A): void {
    if (this.size > this.#mask) this.#grow();
    this.#slots[(this.#head + this.size) & this.#mask] = value;
    this.size += 1;
  }

  /** The oldest value, which stays; `undefined` when there is none. */
  peek(): A | undefined {
    return this.#slots[this.#head];
  }

  /** Takes the oldest value out; `undefined` when there is none. */
  shift(): A | undefined {
    if (this.size === 0) return undefined;
    const value = this.#slots[this.#head];
    this.#slots[this.#head] = undefined; // the ring must not keep alive what has left it
    this.#head = (this.#head + 1) & this.#mask;
    this.size -= 1;
    if (this.size === 0 && this.#mask >= SLOTS_KEPT_MAX) this.clear();
    return value;
  }

  /** Forgets everything. */
  clear(): void {
    this.size = 0;
    this.#slots = new Array<A | undefined>(SLOTS_MIN);
    this.#mask = SLOTS_MIN - 1;
    this.#head = 0;
  }

  #grow(): void {
    const slots = this.#slots.slice(this.#head).concat(this.#slots.slice(0, this.#head));
    slots.length *= 2;
    this.#slots = slots;
    this.#mask = slots.length - 1;
    this.#head = 0;
  }
}

/** Slots of a new ring; a power of two, as every size of it is. */
const SLOTS_MIN = 16;
/** An empty ring of more slots than this is given back. */
const SLOTS_KEPT_MAX = 4_096;
