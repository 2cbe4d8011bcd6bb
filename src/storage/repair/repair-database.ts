/**
 * Repairs a database that is closed. First all is read and a plan is made, which a dry run only tells; then:
 *
 *   1  what will be replaced gets a second name in lost/<date and time>/, durably
 *   2  new tables are written, and synced
 *   3  a new MANIFEST that names them, and CURRENT: from here on the database is repaired
 *   4  the first names of what was replaced go
 *
 * A crash at any point leaves the database as it was, or repaired; nothing is ever without a name. The plan:
 *
 *   MANIFEST whole     tables stay in their levels; damaged ones are written again from their good blocks, those of level 0
 *                      together, since there the order of file numbers says what is newer
 *   no such MANIFEST   all tables and logs there are, merged into one level. (LevelDB puts all tables into level 0 instead, by
 *                      number; a point read then finds whichever version lies in the table with the highest one.)
 *   logs               stay as they are unless they are damaged; then what passes its checksums goes into tables
 *   history            stays if MANIFEST, logs and history itself are whole; else it begins anew, in another database for cursors
 *
 * Longer than most files here: the plan is one story, and what it needs to know it learns on the way.
 */
import * as E from 'fp-ts/lib/Either.js';
import { CorruptionError, IoError, type LockHolder, NotADatabaseError } from '../../errors.ts';
import {
  CURRENT,
  LOST_DIRECTORY,
  logName,
  manifestName,
  parseFileName,
  pathOf,
  tableName,
  tableNames,
} from '../file-names.ts';
import type { FileSystem, ReadableFile } from '../file-system/file-system.ts';
import { refuseLink } from '../file-system/own-directory.ts';
import { databaseIdOf } from '../history/database-id.ts';
import { ARCHIVE_DIRECTORY, archivePath } from '../history/history-names.ts';
import { claimsOfLogs } from '../history/log-claims.ts';
import { BURNT_SEQUENCES } from '../history/recover-history.ts';
import { readCurrent } from '../manifest/current-file.ts';
import { type ManifestState, readManifest } from '../manifest/read-manifest.ts';
import { LEVELS, type TableMeta, userKeyOf } from '../manifest/table-meta.ts';
import type { LeveledTable } from '../manifest/version-edit.ts';
import { VersionSet } from '../manifest/version-set.ts';
import { Version } from '../manifest/version.ts';
import { SEQUENCE_MAX, type Step } from '../read/internal-iterator.ts';
import { compareReads } from '../verify/compare-reads.ts';
import { VerifyContext, type VerifyPorts } from '../verify/verify-context.ts';
import { verifyHistory } from '../verify/verify-history.ts';
import { verifyTable } from '../verify/verify-table.ts';
import { walkRecords } from '../verify/walk-records.ts';
import { type LogClaims, type LogFile, NO_CLAIMS } from '../wal/log-recovery.ts';
import { isNewestOnTop } from './check-depth.ts';
import { LossList, type RepairReport } from './repair-report.ts';
import { type SalvagedTable, salvageTable } from './salvage-table.ts';
import { salvageLogs } from './salvage-logs.ts';
import { type KnownTable, rebuildTables } from './rebuild-tables.ts';
import { Rewriter } from './rewriter.ts';
import { isThatTable, OTHER_TABLE } from './same-table.ts';
import { dateName, historyFiles, newestInHistory, removeFirstNames, setAside } from './set-aside.ts';

export interface RepairPorts extends Omit<VerifyPorts, 'findingsMax'> {
  readonly isDryRun: boolean;
  readonly holder: LockHolder;
  /** For the name in `lost/`. */
  readonly now: Date;
}

/** @throws NotADatabaseError, ComparatorMismatchError, LockedError, IoError, NoSpaceError, AbortedError */
export async function repairDatabase(directory: string, ports: RepairPorts): Promise<RepairReport> {
  const { fileSystem, isDryRun, holder } = ports;
  const kind = await fileSystem.stat(directory).then(
    (stat) => stat.kind,
    (error: unknown) => {
      if (error instanceof IoError && (error.systemCode === 'ENOENT' || error.systemCode === 'ENOTDIR')) return 'none';
      throw error;
    },
  );
  if (kind !== 'directory') throw new NotADatabaseError(directory, 'there is no directory of that name.');
  const location = await fileSystem.realPath(directory);
  await refuseLinks(fileSystem, location);
  requireDatabase(location, await fileSystem.list(location)); // before the lock, which leaves a file behind
  const lock = isDryRun ? undefined : await fileSystem.lock(location, holder);
  const repair = new Repair(location, ports);
  try {
    const report = await repair.run();
    repair.finish();
    return report;
  } finally {
    await repair.close();
    await lock?.release().catch(() => undefined);
  }
}

/** @throws NotADatabaseError */
function requireDatabase(location: string, names: readonly string[]): void {
  if (names.some((name) => name === CURRENT || parseFileName(name) !== undefined)) return;
  throw new NotADatabaseError(location, 'there is no file of a database in it.');
}

/** What lies behind a link is none of the database's files: none of it may be moved aside. */
async function refuseLinks(fileSystem: FileSystem, location: string): Promise<void> {
  const archive = pathOf(location, ARCHIVE_DIRECTORY);
  for (const path of [archive, pathOf(location, LOST_DIRECTORY)]) await refuseLink(fileSystem, path);
  for (const id of await fileSystem.list(archive).catch(() => [])) await refuseLink(fileSystem, pathOf(archive, id));
}

const MANIFEST_BYTES_MAX = 4 * 1024 * 1024;
class Repair {
  readonly #ports: RepairPorts;
  readonly #fileSystem: FileSystem;
  readonly #location: string;
  readonly #context: VerifyContext;
  readonly #losses = new LossList();
  readonly #notes: string[] = [];
  readonly #open: ReadableFile[] = [];
  #names: readonly string[] = [];
  #state: ManifestState | undefined;
  #claims: LogClaims = NO_CLAIMS;
  #manifestNumber: number | undefined;
  #tables: KnownTable[] = [];
  #isMerge = false;
  /** Whether numbers in the MANIFEST are too low for what is there. */
  #isManifestWrong = false;
  #tablesLast = 0;

  constructor(location: string, ports: RepairPorts) {
    this.#ports = ports;
    this.#fileSystem = ports.fileSystem;
    this.#location = location;
    this.#context = new VerifyContext(location, { ...ports, findingsMax: 1 });
  }

  /** Tells that all is done. */
  finish(): void {
    this.#context.finish();
  }

  async close(): Promise<void> {
    for (const file of this.#open) await file.close().catch(() => undefined);
  }

  async run(): Promise<RepairReport> {
    this.#names = await this.#fileSystem.list(this.#location);
    requireDatabase(this.#location, this.#names);
    await this.#estimate();
    await this.#readManifest();
    await this.#examineTables();
    if (!this.#isMerge) await this.#checkFit();
    const logs = await this.#openLogs();
    // A first reading, to know; the second one, if there is anything to repair, takes.
    const look = (_: Uint8Array, count: number): Step => this.#context.looked(count);
    if (this.#state !== undefined) this.#claims = await claimsOfLogs(this.#fileSystem, this.#location, this.#state);
    const known = await salvageLogs(logs, this.#tablesLast, look, this.#losses, this.#claims);
    const isLogMissing = this.#isLogMissing();
    const areLogsTaken = this.#isMerge || known.isDamaged || isLogMissing;
    const history = await this.#judgeHistory(areLogsTaken);
    const rewritten = this.#toRewrite();
    const wasWhole =
      !areLogsTaken && rewritten.length === 0 && history !== 'begunAnew' && !this.#isMerge && !this.#isManifestWrong;
    const lastSequence = Math.max(known.lastSequence, this.#tablesLast, this.#state?.lastSequence ?? 0);
    this.#addNotes(rewritten.length > 0);
    const aside = wasWhole ? [] : await this.#asideNames(areLogsTaken, history, rewritten);
    const lostDirectory = aside.length === 0 ? undefined : pathOf(LOST_DIRECTORY, dateName(this.#ports.now));
    const { isDryRun, fileSystem } = this.#ports;
    if (!wasWhole && !isDryRun) {
      const keepsHistory = history !== 'begunAnew' && !areLogsTaken;
      await setAside(fileSystem, this.#location, lostDirectory ?? LOST_DIRECTORY, aside, () => this.#context.turn());
      await this.#write(rewritten, areLogsTaken ? logs : undefined, keepsHistory, lastSequence);
      await removeFirstNames(fileSystem, this.#location, aside);
    }
    return {
      location: this.#location,
      isDryRun,
      wasWhole,
      levels: this.#isMerge ? 'rebuilt' : 'kept',
      tablesKept: this.#tables.length - rewritten.length,
      tablesRewritten: rewritten.length,
      entriesRead: rewritten.reduce((sum, { entries }) => sum + entries, 0),
      logBatches: areLogsTaken ? known.batches : 0,
      history,
      losses: this.#losses.losses,
      lossCount: this.#losses.count,
      notes: this.#notes,
      setAside: aside,
      lostDirectory,
    };
  }

  async #estimate(): Promise<void> {
    for (const name of this.#names) {
      if (parseFileName(name) === undefined) continue;
      const stat = await this.#fileSystem.stat(pathOf(this.#location, name)).catch(() => undefined); // told later
      this.#context.bytesTotal += stat?.size ?? 0;
    }
  }

  /** The MANIFEST, if it can be relied upon; else everything is merged. */
  async #readManifest(): Promise<void> {
    const fileSystem = this.#fileSystem;
    const location = this.#location;
    try {
      this.#manifestNumber = await readCurrent(fileSystem, location);
      if (this.#manifestNumber === undefined) throw new CorruptionError(CURRENT, 0, 'it is missing');
      const name = manifestName(this.#manifestNumber);
      const state = await readManifest(fileSystem, location, this.#manifestNumber);
      const file = await fileSystem.openForRead(pathOf(location, name));
      this.#open.push(file);
      const end = await walkRecords(this.#context, file, name, () => undefined);
      this.#state = state;
      // Without its last edit it may name tables and logs that have been replaced since.
      if (
        end.type !== 'end' &&
        (this.#isLogMissing() || state.version.levels.flat().some((table) => !this.#has(table)))
      ) {
        throw new CorruptionError(name, end.offset, `${end.reason}, and files that it names are gone`);
      }
    } catch (error) {
      if (!(error instanceof CorruptionError)) throw error;
      this.#state = undefined;
      this.#isMerge = true;
      const { file, offset, reason } = error;
      this.#losses.add({ file, offset, endOffset: undefined, reason, firstKey: undefined, lastKey: undefined });
    }
  }

  #has({ fileNumber }: TableMeta): boolean {
    return tableNames(fileNumber).some((name) => this.#names.includes(name));
  }

  #isLogMissing(): boolean {
    const logNumber = this.#state?.logNumber ?? 0;
    return logNumber !== 0 && !this.#names.includes(logName(logNumber));
  }

  /** Reads every table, and of the damaged ones what can be read. */
  async #examineTables(): Promise<void> {
    const state = this.#state;
    if (state === undefined) {
      for (const name of this.#names) {
        const parsed = parseFileName(name);
        if (parsed?.kind === 'table') await this.#examine(name, 0, parsed.fileNumber, undefined);
      }
      return;
    }
    this.#tablesLast = state.lastSequence;
    for (const [level, tables] of state.version.levels.entries()) {
      for (const meta of tables) {
        const name = tableNames(meta.fileNumber).find((one) => this.#names.includes(one)) ?? tableName(meta.fileNumber);
        await this.#examine(name, level, meta.fileNumber, meta);
      }
    }
    const numbers = [this.#manifestNumber ?? 0, state.logNumber, ...this.#tables.map(({ meta }) => meta.fileNumber)];
    const isNumberTooHigh = numbers.some((number) => number >= state.nextFileNumber);
    this.#isManifestWrong = isNumberTooHigh || this.#tablesLast > state.lastSequence;
  }

  async #examine(name: string, level: number, fileNumber: number, known: TableMeta | undefined): Promise<void> {
    const { counts } = this.#context.list;
    const before = counts.error;
    const expected = known === undefined ? undefined : { ...known, lastSequence: SEQUENCE_MAX };
    const checked = await verifyTable(this.#context, name, expected);
    const salvaged = counts.error > before ? await this.#salvage(name, known) : undefined;
    const { smallest, largest } = checked;
    const { size: fileBytes } = await this.#fileSystem.stat(pathOf(this.#location, name)).catch(() => ({ size: 0 })); // it is missing, and told
    const meta = known ?? { fileNumber, fileBytes, smallest, largest };
    this.#tables.push({ name, level, meta, entries: salvaged?.entries ?? checked.entries, salvaged });
    this.#tablesLast = Math.max(this.#tablesLast, (salvaged ?? checked).largestSequence);
  }

  async #salvage(name: string, known: TableMeta | undefined): Promise<SalvagedTable> {
    try {
      const file = await this.#fileSystem.openForRead(pathOf(this.#location, name));
      this.#open.push(file);
      const before = this.#losses.losses.length;
      const ports = { turn: () => this.#context.turn(), losses: this.#losses };
      const salvaged = await salvageTable({ file, name }, ports);
      const lost = this.#losses.losses.slice(before);
      if (known !== undefined && !isThatTable(salvaged, await file.size(), known, lost)) {
        const bounds = { firstKey: userKeyOf(known.smallest), lastKey: userKeyOf(known.largest) };
        this.#losses.add({ file: name, offset: 0, endOffset: undefined, reason: OTHER_TABLE, ...bounds });
      }
      return salvaged;
    } catch (error) {
      if (!(error instanceof IoError)) throw error;
      const reason =
        error.systemCode === 'ENOENT' ? 'it is missing' : `${error.operation} failed with ${error.systemCode}`;
      const bounds = { firstKey: known && userKeyOf(known.smallest), lastKey: known && userKeyOf(known.largest) };
      this.#losses.add({ file: name, offset: 0, endOffset: undefined, reason, ...bounds });
      return nothingOf(name);
    }
  }

  /** Whether what can be read still makes a tree whose reads are right; else all of it is merged, which heals it. */
  async #checkFit(): Promise<void> {
    const state = this.#state;
    if (state === undefined) return;
    const isDamaged = this.#tables.some(({ salvaged }) => salvaged !== undefined);
    if (isDamaged) {
      const newTables = this.#tables.flatMap(({ level, meta, salvaged }): LeveledTable[] => {
        if (salvaged === undefined || level === 0) return [{ level, table: meta }];
        const { smallest, largest } = salvaged;
        return smallest === undefined || largest === undefined
          ? []
          : [{ level, table: { ...meta, smallest, largest } }];
      });
      if (E.isLeft(Version.empty.apply({ newTables }))) {
        this.#notes.push('Tables hold other keys than the MANIFEST says, and overlap. All of them are merged.');
        this.#isMerge = true;
      } else if (!(await this.#isNewestOnTop())) {
        this.#notes.push('Tables hold older entries than those below them. All of them are merged, which heals that.');
        this.#isMerge = true;
      }
      return;
    }
    const before = this.#context.list.counts.error;
    const name = manifestName(this.#manifestNumber ?? 0);
    await compareReads(this.#context, { version: state.version, entries: 1, bytes: 0, manifestName: name });
    if (this.#context.list.counts.error === before) return;
    this.#notes.push(
      'Point reads found other versions of keys than the newest. All tables are merged, which heals that.',
    );
    this.#isMerge = true;
  }

  #isNewestOnTop(): Promise<boolean> {
    return isNewestOnTop(this.#fileSystem, this.#location, this.#tables, () => this.#context.looked(1));
  }

  async #openLogs(): Promise<readonly LogFile[]> {
    const from = this.#state?.logNumber ?? 0;
    const previous = this.#state?.previousLogNumber ?? 0;
    const logs: LogFile[] = [];
    const numbers = this.#names
      .flatMap((name) => {
        const parsed = parseFileName(name);
        return parsed?.kind === 'log' ? [parsed.fileNumber] : [];
      })
      .filter((number) => number >= from || number === previous)
      .sort((a, b) => a - b);
    for (const number of numbers) {
      const name = logName(number);
      const file = await this.#fileSystem.openForRead(pathOf(this.#location, name));
      this.#open.push(file);
      logs.push({ number, name, file });
    }
    if (this.#isLogMissing()) {
      const reason = 'the MANIFEST names it, and it is missing: what was written last may be lost';
      this.#losses.add({
        file: logName(from),
        offset: 0,
        endOffset: undefined,
        reason,
        firstKey: undefined,
        lastKey: undefined,
      });
    }
    return logs;
  }

  async #judgeHistory(areLogsTaken: boolean): Promise<RepairReport['history']> {
    const state = this.#state;
    const databaseId = state === undefined ? undefined : databaseIdOf(state.compactionPointers);
    if (state === undefined || databaseId === undefined) {
      return this.#isMerge && this.#names.includes(ARCHIVE_DIRECTORY) ? 'begunAnew' : 'none';
    }
    if (areLogsTaken) return 'begunAnew';
    const archived = await this.#fileSystem.list(archivePath(this.#location, databaseId)).catch(() => []); // told as missing
    const before = this.#context.list.counts.error;
    await verifyHistory(this.#context, { databaseId, logNumber: state.logNumber, names: this.#names, archived });
    return this.#context.list.counts.error === before ? 'kept' : 'begunAnew';
  }

  /** Damaged tables; with one of level 0 all of that level; in a merge all there are. */
  #toRewrite(): readonly KnownTable[] {
    if (this.#isMerge) return this.#tables;
    const isLevel0Damaged = this.#tables.some(({ level, salvaged }) => level === 0 && salvaged !== undefined);
    return this.#tables.filter(({ level, salvaged }) => salvaged !== undefined || (level === 0 && isLevel0Damaged));
  }

  #addNotes(hasRewritten: boolean): void {
    if (this.#state === undefined) {
      this.#notes.push(
        'There is no whole MANIFEST: every table and log in the directory was used. If some of them had been replaced already, ' +
          'keys that were deleted may be back.',
      );
    }
    if (hasRewritten && this.#losses.losses.some(({ file }) => parseFileName(file)?.kind === 'table')) {
      this.#notes.push('Where blocks are lost, older values of their keys may show, or keys that were deleted.');
    }
  }

  /** What will be replaced, by relative names. */
  async #asideNames(
    areLogsTaken: boolean,
    history: RepairReport['history'],
    rewritten: readonly KnownTable[],
  ): Promise<readonly string[]> {
    const names = new Set(rewritten.map(({ name }) => name));
    for (const name of this.#names) {
      const parsed = parseFileName(name);
      if (parsed?.kind === 'manifest' || parsed?.kind === 'temporary' || name === CURRENT) names.add(name);
      // Replaced, but not gone yet; the next open would take them away.
      const isObsolete = parsed?.kind === 'table' && !this.#tables.some((table) => table.name === name);
      if (isObsolete || (parsed?.kind === 'log' && areLogsTaken)) names.add(name);
    }
    if (history === 'begunAnew')
      for (const name of await historyFiles(this.#fileSystem, this.#location)) names.add(name);
    return [...names].filter((name) => name.includes('/') || this.#names.includes(name));
  }

  /**
   * Writes what takes the place of the old, and makes it current.
   *
   * @param logs - that go into tables; `undefined`: they stay
   */
  async #write(
    rewritten: readonly KnownTable[],
    logs: readonly LogFile[] | undefined,
    keepsHistory: boolean,
    lastSequence: number,
  ): Promise<void> {
    const newest = this.#names.reduce((most, name) => Math.max(most, parseFileName(name)?.fileNumber ?? 0), 0);
    const pointers = this.#state?.compactionPointers ?? [];
    const logNumber = logs === undefined ? (this.#state?.logNumber ?? 0) : 0;
    const state = {
      version: Version.empty,
      nextFileNumber: this.#state?.nextFileNumber ?? 1,
      lastSequence: 0,
      logNumber,
      previousLogNumber: 0,
      // The deepest level's is the identity: without it, the next open makes another database of this for cursors.
      compactionPointers: pointers.slice(0, keepsHistory ? LEVELS : LEVELS - 1),
    };
    const floor = Math.max(newest, await newestInHistory(this.#fileSystem, this.#location)) + 1;
    const versions = new VersionSet(this.#fileSystem, this.#location, state, floor, MANIFEST_BYTES_MAX);
    const rewriter = new Rewriter(
      this.#fileSystem,
      this.#location,
      () => versions.allocateFileNumber(),
      () => this.#context.turn(),
    );
    try {
      const newTables = await rebuildTables(rewriter, {
        tables: this.#tables,
        rewritten,
        isMerge: this.#isMerge,
        logs: logs ?? [],
        claims: this.#claims,
        tablesLast: this.#tablesLast,
      });
      // Numbers that were given out and lost must not be given out again, or a consumer would take one for the other.
      const last = keepsHistory ? this.#tablesLast : Math.min(lastSequence + BURNT_SEQUENCES, SEQUENCE_MAX);
      await versions.commit({ newTables, logNumber, lastSequence: last });
    } finally {
      await versions.close();
    }
  }
}

/** Nothing can be read of a table that cannot be opened. */
function nothingOf(name: string): SalvagedTable {
  const file: ReadableFile = {
    path: name,
    size: () => Promise.resolve(0),
    read: () => Promise.resolve(0),
    close: () => Promise.resolve(),
  };
  const source = { file, name };
  return {
    source,
    blocks: [],
    entries: 0,
    largestSequence: 0,
    smallest: undefined,
    largest: undefined,
    hasIndex: false,
  };
}
