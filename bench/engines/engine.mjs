/**
 * What an engine is to a question: one face for all. Each is used the fastest way that its own documentation shows, and gives
 * and takes Buffers. Types only.
 *
 * @typedef {object} Variant
 * @property {string} name - unique in one run
 * @property {EngineName} engine
 * @property {string} [module] - where to import Alluvium from, if not by its name
 * @property {number} [writeBufferBytes] - what is kept in memory before it goes to a table; absent: the engine's default
 *
 * @typedef {'alluvium' | 'classic-level' | 'rocksdb' | 'lmdb' | 'sqlite' | 'memory-level'} EngineName
 * @typedef {'synced' | 'buffered'} Durability
 *
 * @typedef {object} OpenSettings
 * @property {string} directory
 * @property {Durability} durability - of every write
 * @property {number | undefined} writeBufferBytes
 * @property {number} inFlight - puts that will be under way at a time
 *
 * @typedef {object} Range
 * @property {Buffer} [gte]
 * @property {number} [limit]
 * @property {boolean} [isReverse]
 * @property {boolean} [isKeysOnly] - the tally is then given keys with no values
 *
 * @typedef {object} Tally
 * @property {(key: Uint8Array, value: Uint8Array) => void} add
 * @property {(key: Uint8Array) => void} addKey
 *
 * @typedef {Uint8Array | undefined} Value
 *
 * @typedef {object} Driver
 * @property {(key: Buffer, value: Buffer) => unknown} put - to be awaited
 * @property {(key: Buffer) => unknown} delete - to be awaited
 * @property {(indexes: Uint32Array, data: import('../support/data.mjs').Data) => unknown} putBatch - all or none; to be awaited
 * @property {(key: Buffer) => Value | PromiseLike<Value>} get - the way that the engine would have it awaited
 * @property {(key: Buffer) => Value} [getSync] - absent: the engine has none
 * @property {(keys: Buffer[]) => PromiseLike<readonly (Value)[]> | readonly Value[]} getMany
 * @property {(range: Range, tally: Tally) => Promise<void>} scanOneByOne
 * @property {(range: Range, tally: Tally) => Promise<void>} scanInBulk
 * @property {() => Snapshot} [snapshot] - absent: the engine has none that outlives a turn of the event loop
 * @property {() => unknown} compact - to be awaited
 * @property {() => Promise<void>} close
 *
 * @typedef {object} Snapshot
 * @property {(key: Buffer) => Value | PromiseLike<Value>} get
 * @property {() => unknown} close
 *
 * @typedef {object} Engine
 * @property {string} label - in the report
 * @property {string} durable - what `'synced'` means here
 * @property {string} buffered - what `'buffered'` means here
 * @property {string} checksums - what is verified when a block or page is read
 * @property {string} compression
 * @property {(variant: Variant) => Promise<(settings: OpenSettings) => Promise<Driver>>} load - the code, without opening
 *   anything, so that opening can be timed alone; rejects where the engine is not installed
 */

/** Cache for blocks or pages that each engine is given, if it has one of its own. */
export const CACHE_BYTES = 32 * 1024 * 1024;
/** Entries of a page, where a scan is asked for in pages. */
export const SCAN_PAGE_ENTRIES = 1000;
