/**
 * The two ways to read a key must give the same: the point read, which asks tables one after the other and stops at the
 * first answer, and the merge of all tables. They differ where the tables of a level do not lie as they should: LevelDB's
 * published releases can leave such a tree, and then return stale values.
 *
 * Each different key in the tables is looked up once, also those whose newest entry is a tombstone: a stale read brings
 * back what was deleted.
 */
import { CorruptionError, IoError } from '../../errors.ts';
import { compareBytes } from '../codec/compare.ts';
import { tableNames } from '../file-names.ts';
import type { Version } from '../manifest/version.ts';
import { findInTables } from '../read/find-in-tables.ts';
import { type InternalIterator, KIND_DELETE, SEQUENCE_MAX } from '../read/internal-iterator.ts';
import { MergeIterator } from '../read/merge-iterator.ts';
import { BlockCache } from '../table/block-cache.ts';
import { LevelIterator } from '../table/level-iterator.ts';
import { Lookup } from '../table/lookup.ts';
import { TableCache } from '../table/table-cache.ts';
import type { VerifyContext } from './verify-context.ts';

const CACHE_BYTES = 8 * 1024 * 1024;
const OPEN_TABLES_MAX = 256;
const TABLE_CACHE_BYTES = 64 * 1024 * 1024;
const READ_AHEAD_BYTES = 128 * 1024;
const ENTRIES_PER_REPORT = 16_384;

export interface ComparisonParts {
  readonly version: Version;
  /** Entries in all tables, and bytes that are told as done when all are compared. */
  readonly entries: number;
  readonly bytes: number;
  /** For findings: a key lies in many tables, and the manifest says in which. */
  readonly manifestName: string;
}

/** @returns how many keys were compared */
export async function compareReads(context: VerifyContext, parts: ComparisonParts): Promise<number> {
  const { version, manifestName } = parts;
  const cache = new BlockCache(CACHE_BYTES);
  const tables = new TableCache(
    context.fileSystem,
    context.location,
    OPEN_TABLES_MAX,
    cache,
    tableNames,
    TABLE_CACHE_BYTES,
  );
  const options = { isCacheFilled: false, readAheadBytes: READ_AHEAD_BYTES };
  const sources: InternalIterator[] = version.tables(0).map((table) => new LevelIterator([table], tables, options));
  for (const run of version.levels.slice(1)) if (run.length > 0) sources.push(new LevelIterator(run, tables, options));
  const merged = new MergeIterator(sources);
  try {
    return await new Comparison(context, parts, tables, merged).run();
  } catch (error) {
    if (!(error instanceof CorruptionError) && !(error instanceof IoError)) throw error;
    context.failed(error, error instanceof CorruptionError ? error.file : manifestName);
    return 0;
  } finally {
    merged.close();
    await tables.closeAll();
  }
}

class Comparison {
  readonly #context: VerifyContext;
  readonly #parts: ComparisonParts;
  readonly #tables: TableCache;
  readonly #merged: InternalIterator;
  readonly #lookup = new Lookup();
  #key = new Uint8Array(256);
  #keyLength = -1;

  constructor(context: VerifyContext, parts: ComparisonParts, tables: TableCache, merged: InternalIterator) {
    this.#context = context;
    this.#parts = parts;
    this.#tables = tables;
    this.#merged = merged;
  }

  async run(): Promise<number> {
    const merged = this.#merged;
    const { bytes, entries } = this.#parts;
    let keys = 0;
    let seen = 0;
    for (let step = merged.seekToFirst(); ; step = merged.next()) {
      if (step !== undefined) await step;
      if (!merged.isValid) break;
      seen += 1;
      if (seen % ENTRIES_PER_REPORT === 0) await this.#context.advance((bytes * ENTRIES_PER_REPORT) / entries);
      const turn = this.#context.looked(2);
      if (turn !== undefined) await turn;
      if (!this.#isNewKey()) continue;
      keys += 1;
      await this.#compare();
    }
    await this.#context.advance((bytes * (seen % ENTRIES_PER_REPORT)) / Math.max(1, entries));
    return keys;
  }

  /** The first entry of a key is its newest. */
  #isNewKey(): boolean {
    const { keyBytes, keyStart, keyEnd } = this.#merged;
    const length = this.#keyLength;
    if (length >= 0 && compareBytes(this.#key, 0, length, keyBytes, keyStart, keyEnd) === 0) return false;
    this.#keyLength = keyEnd - keyStart;
    if (this.#key.length < this.#keyLength) this.#key = new Uint8Array(2 * this.#keyLength);
    this.#key.set(keyBytes.subarray(keyStart, keyEnd));
    return true;
  }

  async #compare(): Promise<void> {
    const { sequence, kind, valueBytes, valueStart, valueEnd } = this.#merged;
    const lookup = this.#lookup;
    lookup.reset(this.#key, 0, this.#keyLength, SEQUENCE_MAX);
    const step = findInTables(this.#parts.version, this.#tables, lookup);
    if (step !== undefined) await step;
    const isRight =
      lookup.state === (kind === KIND_DELETE ? 'deleted' : 'found') &&
      lookup.foundSequence === sequence &&
      (kind === KIND_DELETE ||
        compareBytes(lookup.valueBytes, lookup.valueStart, lookup.valueEnd, valueBytes, valueStart, valueEnd) === 0);
    if (isRight) return;
    const got = lookup.state === 'absent' ? 'nothing' : `the entry at ${lookup.foundSequence}`;
    const key = Buffer.from(this.#key.subarray(0, Math.min(this.#keyLength, 64))).toString('hex');
    const reason = `a point read of key 0x${key} finds ${got}, and its newest entry is at ${sequence}`;
    this.#context.add('staleRead', this.#parts.manifestName, undefined, reason);
  }
}
