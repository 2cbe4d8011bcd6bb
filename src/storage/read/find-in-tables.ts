/**
 * A point read below the memtables: level 0 from the newest table to the oldest, then one table of each run, until one of
 * them has an entry. Synchronous while tables are open and blocks cached.
 */
import { compareBytes } from '../codec/compare.ts';
import { TAG_BYTES } from '../codec/internal-key.ts';
import { LEVELS, type TableMeta } from '../manifest/table-meta.ts';
import type { Version } from '../manifest/version.ts';
import type { Lookup } from '../table/lookup.ts';
import type { Table } from '../table/table.ts';
import type { TableCache } from '../table/table-cache.ts';
import type { Step } from './internal-iterator.ts';

/** Asks one table. */
type AskTable = (meta: TableMeta, tables: TableCache, lookup: Lookup) => Step;

/** Answers the lookup from the version's tables; the caller holds the version until the step is done. */
export function findInTables(version: Version, tables: TableCache, lookup: Lookup): Step {
  return findFrom(version, tables, lookup, findInTable, 0, 0);
}

/** The same, and reads on the calling thread what must be read. @throws also IoError (ENOSYS) */
export function findInTablesNow(version: Version, tables: TableCache, lookup: Lookup): void {
  void findFrom(version, tables, lookup, findInTableNow, 0, 0); // there is nothing to wait for
}

/** From the given place on: a table of level 0 by its index, or the run of a deeper level. */
function findFrom(
  version: Version,
  tables: TableCache,
  lookup: Lookup,
  ask: AskTable,
  fromLevel: number,
  fromIndex: number,
): Step {
  const newest = version.tables(0);
  for (let index = fromIndex; fromLevel === 0 && index < newest.length; index += 1) {
    const meta = newest[index] as TableMeta;
    if (!mayHold(meta, lookup)) continue;
    const step = ask(meta, tables, lookup);
    if (step !== undefined) return step.then(() => continueFrom(version, tables, lookup, ask, 0, index + 1));
    if (lookup.state !== 'absent') return undefined;
  }
  for (let level = Math.max(1, fromLevel); level < LEVELS; level += 1) {
    const meta = version.tableFor(level, lookup.key, lookup.keyStart, lookup.keyEnd, lookup.sequence);
    if (meta === undefined || !mayHold(meta, lookup)) continue;
    const step = ask(meta, tables, lookup);
    if (step !== undefined) return step.then(() => continueFrom(version, tables, lookup, ask, level + 1, 0));
    if (lookup.state !== 'absent') return undefined;
  }
  return undefined;
}

function continueFrom(
  version: Version,
  tables: TableCache,
  lookup: Lookup,
  ask: AskTable,
  level: number,
  index: number,
): Step {
  return lookup.state === 'absent' ? findFrom(version, tables, lookup, ask, level, index) : undefined;
}

function mayHold({ smallest, largest }: TableMeta, { key, keyStart, keyEnd }: Lookup): boolean {
  return (
    compareBytes(smallest, 0, smallest.length - TAG_BYTES, key, keyStart, keyEnd) <= 0 &&
    compareBytes(largest, 0, largest.length - TAG_BYTES, key, keyStart, keyEnd) >= 0
  );
}

function findInTable(meta: TableMeta, tables: TableCache, lookup: Lookup): Step {
  const opened = tables.acquire(meta);
  if (opened instanceof Promise) return opened.then((table) => search(table, tables, lookup));
  return search(opened, tables, lookup);
}

function findInTableNow(meta: TableMeta, tables: TableCache, lookup: Lookup): undefined {
  const table = tables.acquireNow(meta);
  try {
    table.findNow(lookup);
  } finally {
    tables.release(table);
  }
}

function search(table: Table, tables: TableCache, lookup: Lookup): Step {
  let step: Step;
  try {
    step = table.find(lookup);
  } catch (error) {
    tables.release(table);
    throw error;
  }
  if (step !== undefined) return step.finally(() => tables.release(table));
  tables.release(table);
  return undefined;
}
