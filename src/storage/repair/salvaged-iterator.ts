/** A cursor over the readable blocks of a damaged table: forwards only, as a rewrite needs it. */
import type { InternalIterator, Step } from '../read/internal-iterator.ts';
import { Block } from '../table/block.ts';
import { BlockIterator } from '../table/block-iterator.ts';
import { readBlock } from '../table/block-read.ts';
import { EntryHolder } from '../table/entry-holder.ts';
import type { SalvagedTable } from './salvage-table.ts';

export class SalvagedIterator extends EntryHolder implements InternalIterator {
  readonly #table: SalvagedTable;
  readonly #cursor: BlockIterator;
  #place = 0;

  constructor(table: SalvagedTable) {
    super();
    this.#table = table;
    this.#cursor = new BlockIterator(this);
  }

  seekToFirst(): Step {
    return this.#enter(0);
  }

  next(): Step {
    this.#cursor.next();
    return this.isValid ? undefined : this.#enter(this.#place + 1);
  }

  seekToLast(): Step {
    throw new Error('a salvaged table is read forwards'); // a bug of ours
  }

  previous(): Step {
    return this.seekToLast();
  }

  seek(): Step {
    return this.seekToLast();
  }

  close(): void {
    this.isValid = false;
  }

  #enter(place: number): Step {
    this.#place = place;
    this.isValid = false;
    const handle = this.#table.blocks[place];
    if (handle === undefined) return undefined;
    const { source } = this.#table;
    return readBlock(source, handle).then((contents) => {
      this.#cursor.open(new Block(contents, source.name, handle.offset));
      this.#cursor.seekToFirst();
    });
  }
}
