/**
 * Open tables, by file number, bounded in number and in the bytes of their indexes and filters. At most `openTablesMax` files stay open, but for those in use: a table that somebody reads
 * is never closed, so a wide scan may go over the bound for as long as it lasts. (Making it wait for itself would be worse.)
 *
 * Idle tables are let go by CLOCK: in the order in which they were opened, and those used since the hand came by last get
 * one more round.
 */
import { ClosedError, IoError } from '../../errors.ts';
import type { FileSystem, ReadableFile } from '../file-system/file-system.ts';
import type { BlockCache } from './block-cache.ts';
import { Table } from './table.ts';
import type { TableBounds } from './table-open.ts';

/** What the manifest says about a table, as far as is needed to open it. */
export interface TableFile {
  readonly fileNumber: number;
  readonly fileBytes: number;
  readonly smallest?: Uint8Array | undefined;
  readonly largest?: Uint8Array | undefined;
}

const boundsOf = ({ smallest, largest }: TableFile): TableBounds | undefined =>
  smallest === undefined || largest === undefined ? undefined : { smallest, largest };

/** One table of the cache, open or being opened. */
interface Place {
  /** Undefined while it is being opened. */
  table: Table | undefined;
  opening: Promise<Table> | undefined;
  /** How many hold it now. */
  users: number;
  /** Since the hand came by. */
  isUsed: boolean;
}

const TOO_MANY_FILES: readonly string[] = ['EMFILE', 'ENFILE'];

export class TableCache {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  readonly #openTablesMax: number;
  readonly #blockCache: BlockCache;
  readonly #fileNamesOf: (fileNumber: number) => readonly string[];
  readonly #bytesMax: number;
  /** In the order in which the hand of the clock comes by. */
  readonly #places: Map<number, Place> = new Map();
  /** Tables whose file is to be deleted, still in use. */
  readonly #evicted: Map<Table, Place> = new Map();
  readonly #closing: Set<Promise<void>> = new Set();
  #bytes = 0;
  #isClosed = false;

  /**
   * @param openTablesMax - files kept open, at least 1
   * @param fileNamesOf - names to try for a file number, the likeliest first
   * @param bytesMax - bytes of indexes and filters, tables in use included; those are kept all the same
   */
  constructor(
    fileSystem: FileSystem,
    directory: string,
    openTablesMax: number,
    blockCache: BlockCache,
    fileNamesOf: (fileNumber: number) => readonly string[],
    bytesMax: number = Infinity,
  ) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
    this.#openTablesMax = openTablesMax;
    this.#blockCache = blockCache;
    this.#fileNamesOf = fileNamesOf;
    this.#bytesMax = bytesMax;
  }

  /** Tables open or being opened. */
  get openCount(): number {
    return this.#places.size + this.#evicted.size;
  }

  /** Bytes of indexes and filters of the open tables. */
  get memoryBytes(): number {
    return this.#bytes;
  }

  /**
   * The table, to be given back with `release`; at once if it is open. Rejects with CorruptionError, or with IoError when
   * its file cannot be opened or read, also when it is missing.
   */
  acquire(file: TableFile): Table | Promise<Table> {
    if (this.#isClosed) return Promise.reject(new ClosedError('store')); // a read that closing has overtaken
    const place = this.#places.get(file.fileNumber);
    if (place === undefined) return this.#open(file);
    place.users += 1;
    place.isUsed = true;
    if (place.table !== undefined) return place.table;
    return place.opening ?? this.#open(file); // one of both is always there
  }

  /**
   * As {@link acquire}, and opens it on the calling thread if it is not open.
   *
   * @throws CorruptionError, ClosedError, IoError (ENOSYS where the file system cannot do that)
   */
  acquireNow(file: TableFile): Table {
    if (this.#isClosed) throw new ClosedError('store');
    const place = this.#places.get(file.fileNumber);
    if (place?.table !== undefined) {
      place.users += 1;
      place.isUsed = true;
      return place.table;
    }
    this.#closeIdle(this.#openTablesMax - 1);
    const table = this.#openNow(file);
    this.#bytes += table.memoryBytes;
    if (place === undefined) {
      this.#places.set(file.fileNumber, { table, opening: undefined, users: 1, isUsed: true });
      return table;
    }
    // Somebody is opening it in the background, and gets this one: else each further call here would open it once more.
    place.table = table;
    place.users += 1;
    place.isUsed = true;
    return table;
  }

  /** Gives a table back; once per `acquire`. */
  release(table: Table): void {
    if (this.#isClosed) return;
    let place = this.#places.get(table.fileNumber);
    if (place?.table !== table) place = this.#evicted.get(table);
    if (place === undefined || place.users === 0) throw new Error('a table was released more often than acquired');
    place.users -= 1;
    if (place.users > 0) return;
    if (this.#evicted.delete(table)) void this.#close(table);
    else if (this.#isOver(this.#openTablesMax)) this.#closeIdle(this.#openTablesMax);
  }

  /** Forgets a table whose file is to be deleted. Resolves when it is closed or, if it is in use, at once. */
  async evict(fileNumber: number): Promise<void> {
    const place = this.#places.get(fileNumber);
    if (place === undefined) return;
    // Whoever opens it cannot be stopped; a failure is theirs to see.
    await place.opening?.catch(() => undefined);
    if (place.table === undefined || this.#places.get(fileNumber) !== place) return;
    this.#places.delete(fileNumber);
    if (place.users > 0) this.#evicted.set(place.table, place);
    else await this.#close(place.table);
  }

  /** Closes all tables, also those in use: their readers get ClosedError when they ask for another block or table. */
  async closeAll(): Promise<void> {
    this.#isClosed = true;
    for (const { opening } of this.#places.values()) await opening?.catch(() => undefined);
    for (const { table } of this.#places.values()) {
      if (table !== undefined) void this.#close(table);
    }
    for (const table of this.#evicted.keys()) void this.#close(table);
    this.#places.clear();
    this.#evicted.clear();
    await Promise.all(this.#closing);
  }

  #open(file: TableFile): Promise<Table> {
    this.#closeIdle(this.#openTablesMax - 1);
    const place: Place = { table: undefined, opening: undefined, users: 1, isUsed: true };
    this.#places.set(file.fileNumber, place);
    place.opening = this.#openInto(place, file);
    return place.opening;
  }

  async #openInto(place: Place, tableFile: TableFile): Promise<Table> {
    const { fileNumber, fileBytes } = tableFile;
    try {
      const [name, file] = await this.#openFile(fileNumber);
      try {
        const table = await Table.open(file, fileNumber, name, fileBytes, this.#blockCache, boundsOf(tableFile));
        if (place.table !== undefined) {
          await file.close().catch(() => undefined); // nothing was written to it
          return place.table; // opened meanwhile by who could not wait
        }
        place.table = table;
        this.#bytes += table.memoryBytes;
        if (this.#isOver(this.#openTablesMax)) this.#closeIdle(this.#openTablesMax);
        return table;
      } catch (thrown) {
        await file.close();
        throw thrown;
      }
    } catch (thrown) {
      if (place.table !== undefined) return place.table;
      this.#places.delete(fileNumber);
      throw thrown;
    } finally {
      place.opening = undefined;
    }
  }

  #openNow(tableFile: TableFile): Table {
    const { fileNumber, fileBytes } = tableFile;
    const [name, file] = this.#openFirstNameNow(fileNumber);
    try {
      return Table.openNow(file, fileNumber, name, fileBytes, this.#blockCache, boundsOf(tableFile));
    } catch (thrown) {
      void file.close().catch(() => undefined); // the first error says more
      throw thrown;
    }
  }

  /** Opens the file; when the process or the system is out of descriptors, lets idle tables go first and tries again. */
  async #openFile(fileNumber: number): Promise<readonly [string, ReadableFile]> {
    try {
      return await this.#openFirstName(fileNumber);
    } catch (thrown) {
      if (!(thrown instanceof IoError) || !TOO_MANY_FILES.includes(thrown.systemCode)) throw thrown;
      this.#closeIdle(0);
      await Promise.all(this.#closing);
      return this.#openFirstName(fileNumber);
    }
  }

  async #openFirstName(fileNumber: number): Promise<readonly [string, ReadableFile]> {
    let missing: unknown;
    for (const name of this.#fileNamesOf(fileNumber)) {
      try {
        return [name, await this.#fileSystem.openForRead(`${this.#directory}/${name}`)];
      } catch (thrown) {
        if (!(thrown instanceof IoError) || thrown.systemCode !== 'ENOENT') throw thrown;
        missing ??= thrown;
      }
    }
    throw missing;
  }

  #openFirstNameNow(fileNumber: number): readonly [string, ReadableFile] {
    let missing: unknown;
    for (const name of this.#fileNamesOf(fileNumber)) {
      const path = `${this.#directory}/${name}`;
      if (this.#fileSystem.openForReadNow === undefined) throw new IoError('open', path, 'ENOSYS', 'failed');
      try {
        return [name, this.#fileSystem.openForReadNow(path)];
      } catch (thrown) {
        if (!(thrown instanceof IoError) || thrown.systemCode !== 'ENOENT') throw thrown;
        missing ??= thrown;
      }
    }
    throw missing;
  }

  #isOver(openMax: number): boolean {
    return this.openCount > openMax || this.#bytes > this.#bytesMax;
  }

  /** Closes idle tables until at most `openMax` are open, in no more than their bytes, or none is idle. */
  #closeIdle(openMax: number): void {
    // In two rounds each idle table is seen unused at least once.
    let visitsLeft = 2 * this.#places.size;
    for (const [fileNumber, place] of this.#places) {
      if (!this.#isOver(openMax) || visitsLeft === 0) return;
      visitsLeft -= 1;
      const { table } = place;
      if (table !== undefined && place.users === 0 && !place.isUsed) {
        this.#places.delete(fileNumber);
        void this.#close(table);
      } else {
        // To the end of the map, which this loop reaches again.
        place.isUsed = false;
        this.#places.delete(fileNumber);
        this.#places.set(fileNumber, place);
      }
    }
  }

  #close(table: Table): Promise<void> {
    this.#bytes -= table.memoryBytes;
    // Nothing was written, so nothing is lost when a close fails.
    const closing = table
      .close()
      .catch(() => undefined)
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
    return closing;
  }
}
