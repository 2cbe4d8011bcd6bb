/**
 * Memtables whose memory is used again. A memtable is some sixteen megabytes that V8 counts as nothing: left to the garbage
 * collector, hundreds of megabytes of dead ones pile up before it sees a reason to look.
 *
 * A retired memtable's memory is free when its last reader has let go of it. One such arena is kept; it is wiped then, so
 * that the next rotation finds it as if it were new.
 */
import { Memtable } from './memtable.ts';

export class ArenaPool {
  readonly #capacityBytes: number;
  /** Readers of each memtable that has any. */
  readonly #readers = new Map<Memtable, number>();
  readonly #retired = new Set<Memtable>();
  #free: SharedArrayBuffer | undefined;

  /** @param capacityBytes - of the arenas that are worth keeping: the usual size */
  constructor(capacityBytes: number) {
    this.#capacityBytes = capacityBytes;
  }

  create(capacityBytes: number): Memtable {
    const arena = this.#free;
    if (arena?.byteLength !== capacityBytes) return Memtable.create(capacityBytes);
    this.#free = undefined;
    return Memtable.createIn(arena);
  }

  hold(memtable: Memtable): void {
    this.#readers.set(memtable, (this.#readers.get(memtable) ?? 0) + 1);
  }

  release(memtable: Memtable): void {
    const left = (this.#readers.get(memtable) ?? 0) - 1;
    if (left > 0) {
      this.#readers.set(memtable, left);
      return;
    }
    this.#readers.delete(memtable);
    if (this.#retired.delete(memtable)) this.#keep(memtable);
  }

  /** Nothing new will read the memtable: its entries are in a table. */
  retire(memtable: Memtable): void {
    if (this.#readers.has(memtable)) this.#retired.add(memtable);
    else this.#keep(memtable);
  }

  #keep({ buffer }: Memtable): void {
    if (this.#free !== undefined || buffer.byteLength !== this.#capacityBytes) return;
    new Uint8Array(buffer).fill(0);
    this.#free = buffer;
  }
}
