/** The tables that a repaired database has: those that stay, and those that are written anew, in their levels. */
import { compareUserKeysOf, type TableMeta } from '../manifest/table-meta.ts';
import type { LeveledTable } from '../manifest/version-edit.ts';
import type { LogClaims, LogFile } from '../wal/log-recovery.ts';
import { LossList } from './repair-report.ts';
import type { Rewriter } from './rewriter.ts';
import { salvageLogs } from './salvage-logs.ts';
import type { SalvagedTable } from './salvage-table.ts';

/** A table that is to be read, with what can be read of it. */
export interface KnownTable {
  readonly name: string;
  readonly level: number;
  /** As the MANIFEST says; without one, as was found. */
  readonly meta: TableMeta;
  readonly entries: number;
  /** `undefined`: nothing is wrong with it. */
  readonly salvaged: SalvagedTable | undefined;
}

/** What is to become of tables and logs. */
export interface RebuildPlan {
  readonly tables: readonly KnownTable[];
  /** Those of them that are written anew. */
  readonly rewritten: readonly KnownTable[];
  /** Whether all of it is merged into one level. */
  readonly isMerge: boolean;
  /** Logs that go into tables. */
  readonly logs: readonly LogFile[];
  /** The highest sequence number in tables. */
  readonly tablesLast: number;
  readonly claims: LogClaims;
}

/** The level for what was merged from everything: below level 0, where newer writes will come in. */
const MERGED_LEVEL = 1;

/** Writes what is to be written anew. @returns all tables of the repaired database */
export async function rebuildTables(rewriter: Rewriter, plan: RebuildPlan): Promise<readonly LeveledTable[]> {
  const { tables, rewritten, isMerge, logs } = plan;
  const kept = tables.filter((table) => !rewritten.includes(table));
  const newTables: LeveledTable[] = kept.map(({ level, meta }) => ({ level, table: meta }));
  const put = (level: number, made: readonly TableMeta[]): void => {
    newTables.push(...made.map((table) => ({ level, table })));
  };
  const salvagedOf = (some: readonly KnownTable[]): readonly SalvagedTable[] =>
    some.flatMap(({ salvaged }) => salvaged ?? []);
  const wholeOf = (some: readonly KnownTable[]): readonly TableMeta[] =>
    some.flatMap(({ salvaged, meta }) => (salvaged === undefined ? [meta] : []));
  const fromLogs = await tablesOfLogs(rewriter, isMerge ? logs : [], plan);
  if (isMerge) {
    const runs = [...runsOf(wholeOf(rewritten)), ...fromLogs.map((table) => [table])];
    put(MERGED_LEVEL, await rewriter.merge(salvagedOf(rewritten), runs, false));
    await rewriter.discard(fromLogs);
    return newTables;
  }
  const level0 = rewritten.filter(({ level }) => level === 0);
  if (level0.length > 0) {
    const runs = wholeOf(level0).map((table) => [table]);
    put(0, await rewriter.merge(salvagedOf(level0), runs, true));
  }
  for (const { level, salvaged } of rewritten) {
    if (level > 0 && salvaged !== undefined) put(level, await rewriter.merge([salvaged], [], true));
  }
  put(0, await tablesOfLogs(rewriter, logs, plan)); // last: they are newer than all of level 0
  return newTables;
}

async function tablesOfLogs(
  rewriter: Rewriter,
  logs: readonly LogFile[],
  { tablesLast, claims }: RebuildPlan,
): Promise<readonly TableMeta[]> {
  if (logs.length === 0) return [];
  const tables = rewriter.logTables();
  await salvageLogs(logs, tablesLast, (bytes, count) => tables.add(bytes, count), new LossList(), claims);
  return tables.finish();
}

/** Puts tables into as few runs as they fit in, each without overlap: a merge has one table of each run open at a time. */
function runsOf(tables: readonly TableMeta[]): readonly (readonly TableMeta[])[] {
  const runs: TableMeta[][] = [];
  const inOrder = [...tables].sort((a, b) => compareUserKeysOf(a.smallest, b.smallest));
  for (const table of inOrder) {
    const run = runs.find((one) => compareUserKeysOf((one.at(-1) as TableMeta).largest, table.smallest) < 0);
    if (run === undefined) runs.push([table]);
    else run.push(table);
  }
  return runs;
}
