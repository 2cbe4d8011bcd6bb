/**
 * A cursor over tables whose key ranges do not overlap, such as those of a level below the first: a table cursor, and the
 * choice of the table. Only the table it stands in is open on its behalf.
 */
import { compareBytes } from '../codec/compare.ts';
import { TAG_BYTES } from '../codec/internal-key.ts';
import type { InternalIterator, Step } from '../read/internal-iterator.ts';
import { roughSequence } from './block.ts';
import { EntryHolder } from './entry-holder.ts';
import type { Table } from './table.ts';
import type { TableCache, TableFile } from './table-cache.ts';
import type { TableIteratorOptions } from './table-iterator.ts';

/** A table of the run. */
export interface LevelTable extends TableFile {
  /** First and last internal keys. */
  readonly smallest: Uint8Array;
  readonly largest: Uint8Array;
}

const NO_TABLE = -1;
type Arrival = 'first' | 'last';

export class LevelIterator extends EntryHolder implements InternalIterator {
  readonly #tables: readonly LevelTable[];
  readonly #cache: TableCache;
  readonly #options: TableIteratorOptions;
  /** Index of the table that the cursor is in. */
  #place = NO_TABLE;
  #table: Table | undefined = undefined;
  #iterator: InternalIterator | undefined = undefined;
  #isClosed = false;

  /** @param tables - in ascending order, without overlap */
  constructor(tables: readonly LevelTable[], cache: TableCache, options: Omit<TableIteratorOptions, 'showIn'>) {
    super();
    this.#tables = tables;
    this.#cache = cache;
    this.#options = { ...options, showIn: this };
  }

  seekToFirst(): Step {
    return this.#enter(0, 'first');
  }

  seekToLast(): Step {
    return this.#enter(this.#tables.length - 1, 'last');
  }

  seek(userKey: Uint8Array, sequence: number): Step {
    const place = this.#search(userKey, sequence);
    const step = place === this.#place ? undefined : this.#open(place);
    if (step !== undefined) return step.then(() => this.#seekInTable(userKey, sequence));
    return this.#seekInTable(userKey, sequence);
  }

  next(): Step {
    return this.#settle(this.#iterator?.next(), 'first');
  }

  previous(): Step {
    return this.#settle(this.#iterator?.previous(), 'last');
  }

  close(): void {
    this.#isClosed = true;
    this.#leave();
  }

  #seekInTable(userKey: Uint8Array, sequence: number): Step {
    return this.#settle(this.#iterator?.seek(userKey, sequence), 'first');
  }

  /** After a step in the table: stays if there is an entry, else goes on to the first one of the next (or previous) table. */
  #settle(step: Step, arrival: Arrival): Step {
    if (step !== undefined) return step.then(() => this.#settle(undefined, arrival));
    if (this.isValid || this.#place === NO_TABLE) return undefined;
    return this.#enter(arrival === 'first' ? this.#place + 1 : this.#place - 1, arrival);
  }

  #enter(place: number, arrival: Arrival): Step {
    const step = this.#open(place);
    if (step !== undefined) return step.then(() => this.#arrive(arrival));
    return this.#arrive(arrival);
  }

  #arrive(arrival: Arrival): Step {
    const step = arrival === 'first' ? this.#iterator?.seekToFirst() : this.#iterator?.seekToLast();
    return this.#settle(step, arrival);
  }

  /** Puts the cursor before table `place`, or nowhere if there is no such table. */
  #open(place: number): Step {
    this.#leave();
    const file = this.#tables[place];
    if (file === undefined) return undefined;
    const table = this.#cache.acquire(file);
    if (table instanceof Promise) return table.then((opened) => this.#use(place, opened));
    this.#use(place, table);
    return undefined;
  }

  #use(place: number, table: Table): void {
    if (this.#isClosed) {
      this.#cache.release(table); // closed while the table was being opened
      return;
    }
    this.#table = table;
    this.#iterator = table.iterator(this.#options);
    this.#place = place;
  }

  #leave(): void {
    this.isValid = false;
    this.#place = NO_TABLE;
    this.#iterator?.close();
    this.#iterator = undefined;
    if (this.#table !== undefined) this.#cache.release(this.#table);
    this.#table = undefined;
  }

  /** Index of the first table whose largest key is at or after the key. */
  #search(userKey: Uint8Array, sequence: number): number {
    let left = 0;
    let right = this.#tables.length;
    while (left < right) {
      const middle = (left + right) >>> 1;
      if (isBefore(this.#tables[middle]?.largest, userKey, sequence)) left = middle + 1;
      else right = middle;
    }
    return left;
  }
}

function isBefore(internalKey: Uint8Array | undefined, userKey: Uint8Array, sequence: number): boolean {
  if (internalKey === undefined) return false;
  const userEnd = internalKey.length - TAG_BYTES;
  const order = compareBytes(internalKey, 0, userEnd, userKey, 0, userKey.length);
  return order !== 0 ? order < 0 : roughSequence(internalKey, internalKey.length) > sequence;
}
