/** What a `Level` can be told: classic-level's options by classic-level's names, and ours. */
import type {
  AbstractBatchOptions,
  AbstractChainedBatchWriteOptions,
  AbstractClearOptions,
  AbstractDatabaseOptions,
  AbstractDelOptions,
  AbstractGetManyOptions,
  AbstractGetOptions,
  AbstractHasManyOptions,
  AbstractHasOptions,
  AbstractIteratorOptions,
  AbstractKeyIteratorOptions,
  AbstractOpenOptions,
  AbstractPutOptions,
  AbstractValueIteratorOptions,
  Transcoder,
} from 'abstract-level';
import { InvalidArgumentError, type OpenOptions as StoreOptions } from 'alluvium';

/** Options of the constructor. */
export interface DatabaseOptions<K, V> extends AbstractDatabaseOptions<K, V>, Omit<OpenOptions, 'passive'> {}

/** Options of `open`. Sizes outside of LevelDB's ranges are moved into them, as LevelDB does. */
export interface OpenOptions extends AbstractOpenOptions {
  /** False: tables are not compressed. Default true. */
  readonly compression?: boolean | undefined;
  /** Bytes of uncompressed blocks kept for reads. Default 32 MiB. */
  readonly cacheSize?: number | undefined;
  /** Bytes of one memtable. 64 KiB to 1 GiB; default 16 MiB. */
  readonly writeBufferSize?: number | undefined;
  /** Uncompressed bytes at which a block is cut. 1 KiB to 4 MiB; default 4,096. */
  readonly blockSize?: number | undefined;
  /** Tables open at once, and ten. 74 to 50,000; default 1,010. */
  readonly maxOpenFiles?: number | undefined;
  /** Entries between two restart points of a block. 1 to 1,024; default 16. */
  readonly blockRestartInterval?: number | undefined;
  /** Bytes at which a compaction cuts a table. 1 MiB to 1 GiB; default 4 MiB. */
  readonly maxFileSize?: number | undefined;
  /**
   * False: a directory that is open elsewhere is refused with LEVEL_LOCKED, and this one is not shared. Default true: who
   * comes later, in this process or another one, attaches to the first, and takes over when it goes away. What needs the
   * store itself (`getSync`, `getProperty`, `store`, running a consumer) is refused with LEVEL_NOT_SUPPORTED while it is attached.
   */
  readonly attach?: boolean | undefined;
  /** Accepted, and without effect: `attach` shares the directory with other threads, too. */
  readonly multithreading?: boolean | undefined;
  /** Opens without the lock, beside whoever writes, and changes no file; writes fail with LEVEL_READONLY. Default false. */
  readonly readOnly?: boolean | undefined;
  /** Options of the store that classic-level has no name for: history, file system, `onEvent`. They win over those above. */
  readonly engine?: StoreOptions | undefined;
}

/** Options of reads. */
export interface ReadOptions {
  /** Accepted, and without effect: what a point read has read stays in the cache. */
  readonly fillCache?: boolean | undefined;
}

export interface GetOptions<K, V> extends AbstractGetOptions<K, V>, ReadOptions {}
export interface GetManyOptions<K, V> extends AbstractGetManyOptions<K, V>, ReadOptions {}
export interface HasOptions<K> extends AbstractHasOptions<K>, ReadOptions {}
export interface HasManyOptions<K> extends AbstractHasManyOptions<K>, ReadOptions {}

/** Options of iterators. */
export interface AdditionalIteratorOptions extends ReadOptions {
  /** Bytes of keys and values after which `nextv` gives what it has. Default 16 KiB. */
  readonly highWaterMarkBytes?: number | undefined;
}

export interface IteratorOptions<K, V> extends AbstractIteratorOptions<K, V>, AdditionalIteratorOptions {}
export interface KeyIteratorOptions<K> extends AbstractKeyIteratorOptions<K>, AdditionalIteratorOptions {}
export interface ValueIteratorOptions<K, V> extends AbstractValueIteratorOptions<K, V>, AdditionalIteratorOptions {}

/** Options of writes. */
export interface WriteOptions {
  /**
   * True: the write is acknowledged when it survives the power going out. False: when it survives the process being killed;
   * it reaches the disk within `engine.syncIntervalMs` (100 ms). Default false.
   */
  readonly sync?: boolean | undefined;
}

export interface PutOptions<K, V> extends AbstractPutOptions<K, V>, WriteOptions {}
export interface DelOptions<K> extends AbstractDelOptions<K>, WriteOptions {}
export interface BatchOptions<K, V> extends AbstractBatchOptions<K, V>, WriteOptions {}
export interface ClearOptions<K> extends AbstractClearOptions<K>, WriteOptions {}
export interface ChainedBatchWriteOptions extends AbstractChainedBatchWriteOptions, WriteOptions {}

/** Options of `approximateSize` and `compactRange`. */
export interface StartEndOptions<K> {
  readonly keyEncoding?: string | Transcoder.PartialEncoder<K> | undefined;
}

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
/** Files of LevelDB's count that are no tables. */
const OTHER_FILES = 10;

/** The store's options. @throws InvalidArgumentError */
export function storeOptions(options: OpenOptions): StoreOptions {
  const { createIfMissing, errorIfExists, readOnly, compression, engine } = options;
  const { maxOpenFiles } = options;
  const openFiles = clipped('maxOpenFiles', maxOpenFiles, 64 + OTHER_FILES, 50_000);
  return {
    durability: 'buffered',
    createIfMissing,
    errorIfExists,
    readOnly,
    compression: compression === false ? 'none' : 'snappy',
    blockCacheBytesMax: clipped('cacheSize', options.cacheSize, 0, 1024 * GIB),
    memtableBytesMax: clipped('writeBufferSize', options.writeBufferSize, 64 * KIB, GIB),
    blockBytesMax: clipped('blockSize', options.blockSize, KIB, 4 * MIB),
    openTablesMax: openFiles === undefined ? undefined : openFiles - OTHER_FILES,
    blockRestartInterval: clipped('blockRestartInterval', options.blockRestartInterval, 1, 1024),
    tableBytesMax: clipped('maxFileSize', options.maxFileSize, MIB, GIB),
    ...engine,
  };
}

function clipped(name: string, value: unknown, min: number, max: number): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || Number.isNaN(value)) throw new InvalidArgumentError(name, 'a number', value);
  return Math.min(Math.max(Math.floor(value), min), max);
}
