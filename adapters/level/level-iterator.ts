/**
 * An iterator of abstract-level over a scan of a snapshot.
 *
 *     iterator(options) ──> snapshot, at once ──> scan, when the first row is asked for ──> page ──> row by row
 *            seek(key) ──────────────────────────> another scan of the same snapshot
 *
 * The snapshot is what pins the view when the iterator is made; the scan can wait, and a seek before the first row costs
 * nothing. At most one page of the scan is held.
 */
import { AbstractIterator, type AbstractIteratorOptions, type AbstractSnapshot } from 'abstract-level';
import type { Bytes, Entry, KeyRange, ScanOptions } from 'alluvium';
import type { SnapshotFace, StoreFace } from '../attach/index.ts';
import { type Format, type Formatted, formatted, pinned } from './format.ts';
import { LevelError, levelErrorOf, throwLevelError, translated } from './level-error.ts';
import { LevelSnapshot } from './level-snapshot.ts';
import { type PrivateRange, rangeFrom, storeLimit, storeRange } from './range.ts';

/** What abstract-level hands over. */
export interface PrivateIteratorOptions extends PrivateRange {
  readonly keys: boolean;
  readonly values: boolean;
  readonly keyEncoding: Format;
  readonly valueEncoding: Format;
  readonly snapshot?: AbstractSnapshot | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly highWaterMarkBytes?: number | undefined;
}

export type Row = [key: Formatted | undefined, value: Formatted | undefined];
type Page = readonly (Entry | Uint8Array)[];

/** Bytes after which `nextv` and `all` stop collecting and give what they have. As in classic-level. */
const HIGH_WATER_MARK_BYTES = 16 * 1024;
const NO_PAGE: Page = [];

export class LevelIterator<TDatabase, K, V> extends AbstractIterator<TDatabase, K, V> {
  readonly #options: PrivateIteratorOptions;
  readonly #range: KeyRange;
  readonly #snapshot: SnapshotFace;
  readonly #isSnapshotOwn: boolean;
  readonly #highWaterMarkBytes: number;
  #target: Bytes | undefined;
  #pages: AsyncIterator<Page> | undefined;
  #page: Page = NO_PAGE;
  #position = 0;
  #isAtEnd = false;

  /** @internal */
  constructor(db: TDatabase, store: StoreFace, options: PrivateIteratorOptions) {
    const { snapshot, highWaterMarkBytes } = options;
    const isOwn = snapshot == null;
    const view = isOwn ? translated(() => store.snapshot()) : LevelSnapshot.snapshotOf(snapshot, store);
    super(db, options as AbstractIteratorOptions<K, V>); // the base looks at limit, signal and snapshot, and at its own symbols
    this.#options = options;
    this.#range = storeRange(options);
    this.#snapshot = view;
    this.#isSnapshotOwn = isOwn;
    this.#highWaterMarkBytes = typeof highWaterMarkBytes === 'number' ? highWaterMarkBytes : HIGH_WATER_MARK_BYTES;
  }

  /** Rows that are held, and were not asked for yet. */
  get cached(): number {
    return this.#page.length - this.#position;
  }

  /** @internal */
  _next(): Row | undefined | Promise<Row | undefined> {
    if (this.#position < this.#page.length) return this.#rowOf(this.#take());
    return this.#fill().then((hasRow) => (hasRow ? this.#rowOf(this.#take()) : undefined));
  }

  /** @internal */
  async _nextv(size: number): Promise<Row[]> {
    const rows: Row[] = [];
    let bytes = 0;
    while (rows.length < size && bytes <= this.#highWaterMarkBytes) {
      if (this.#position >= this.#page.length && !(await this.#fill())) break;
      const item = this.#take();
      rows.push(this.#rowOf(item));
      bytes += item instanceof Uint8Array ? item.length : item.key.length + item.value.length;
    }
    return rows;
  }

  /** @internal */
  _seek(target: Formatted): void {
    this.#endScan();
    this.#target = pinned(target);
    this.#isAtEnd = false;
  }

  /** @internal */
  _close(): Promise<void> {
    this.#endScan();
    if (this.#isSnapshotOwn) this.#snapshot.close();
    return Promise.resolve();
  }

  /** Gets the next page; `false` at the end. */
  async #fill(): Promise<boolean> {
    const { signal } = this.#options;
    try {
      if (this.#isAtEnd) return false;
      this.#pages ??= this.#open();
      const page = await this.#pages?.next();
      // The page may have come from memory before the signal, and abstract-level has it that the signal wins.
      if (signal?.aborted === true) {
        throw new LevelError('LEVEL_ABORTED', 'Operation has been aborted', { cause: signal.reason });
      }
      this.#isAtEnd = page === undefined || page.done === true;
      this.#page = page === undefined || page.done === true ? NO_PAGE : page.value;
      this.#position = 0;
      return !this.#isAtEnd;
    } catch (error) {
      return throwLevelError(error);
    }
  }

  /** `undefined` where a seek has led out of the range. */
  #open(): AsyncIterator<Page> | undefined {
    const { reverse, limit, signal, keys, values } = this.#options;
    const range = this.#target === undefined ? this.#range : rangeFrom(this.#range, this.#target, reverse);
    if (range === undefined) return undefined;
    const options: ScanOptions = { ...range, reverse, limit: storeLimit(limit) - this.count, signal };
    if (!values)
      return this.#snapshot
        .scan({ ...options, values: false })
        .pages()
        [Symbol.asyncIterator]();
    if (!keys)
      return this.#snapshot
        .scan({ ...options, keys: false })
        .pages()
        [Symbol.asyncIterator]();
    return this.#snapshot.scan(options).pages()[Symbol.asyncIterator]();
  }

  #take(): Entry | Uint8Array {
    const item = this.#page[this.#position] as Entry | Uint8Array; // the caller has looked
    this.#position += 1;
    return item;
  }

  #rowOf(item: Entry | Uint8Array): Row {
    const { keys, values, keyEncoding, valueEncoding } = this.#options;
    if (!(item instanceof Uint8Array)) return [formatted(item.key, keyEncoding), formatted(item.value, valueEncoding)];
    if (values) return [undefined, formatted(item, valueEncoding)];
    return [keys ? formatted(item, keyEncoding) : undefined, undefined];
  }

  #endScan(): void {
    const pages = this.#pages;
    this.#pages = undefined;
    this.#page = NO_PAGE;
    this.#position = 0;
    pages?.return?.().catch(levelErrorOf); // it only lets go, and cannot fail
  }
}
