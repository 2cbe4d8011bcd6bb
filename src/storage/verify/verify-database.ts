/**
 * Checks all files of a database, and changes none:
 *
 *   1  CURRENT and the MANIFEST            4  the logs that an open would replay
 *   2  each live table, byte by byte       5  history
 *   3  both ways of reading, key by key    6  what else lies there, and whether somebody has changed it meanwhile
 *
 * It takes no lock, as an open for reading only takes none. What cannot be read does not end it: it is noted, and the check
 * goes on with what can be. Memory: blocks and indexes of tables, as an open store needs them, and the findings.
 */
import { IoError, NotADatabaseError } from '../../errors.ts';
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
import { databaseIdOf } from '../history/database-id.ts';
import { ARCHIVE_DIRECTORY, archivePath, isDatabaseId } from '../history/history-names.ts';
import { claimsOfLogs } from '../history/log-claims.ts';
import { readCurrent } from '../manifest/current-file.ts';
import { type ManifestState, readManifest } from '../manifest/read-manifest.ts';
import { compareUserKeysOf, type TableMeta } from '../manifest/table-meta.ts';
import { type LogClaims, NO_CLAIMS } from '../wal/log-recovery.ts';
import { compareReads } from './compare-reads.ts';
import { VerifyContext, type VerifyPorts } from './verify-context.ts';
import { verifyHistory } from './verify-history.ts';
import { type CheckedLogs, verifyLogs } from './verify-logs.ts';
import type { VerifyReport } from './verify-report.ts';
import { verifyTable } from './verify-table.ts';
import { walkRecords } from './walk-records.ts';

/**
 * @throws NotADatabaseError, ComparatorMismatchError, AbortedError, IoError where the directory cannot be listed
 */
export async function verifyDatabase(directory: string, ports: VerifyPorts): Promise<VerifyReport> {
  const { fileSystem } = ports;
  const kind = await fileSystem.stat(directory).then(
    (stat) => stat.kind,
    (error: unknown) => {
      if (error instanceof IoError && (error.systemCode === 'ENOENT' || error.systemCode === 'ENOTDIR')) return 'none';
      throw error;
    },
  );
  if (kind !== 'directory') throw new NotADatabaseError(directory, 'there is no directory of that name.');
  const location = await fileSystem.realPath(directory);
  return new DatabaseCheck(new VerifyContext(location, ports)).run();
}

/** By which a file is known to be as it was. */
interface Listed {
  /** -1: it cannot be told. */
  readonly size: number;
  readonly version: number | undefined;
}

class DatabaseCheck {
  readonly #context: VerifyContext;
  #names: readonly string[] = [];
  /** Names in `archive/<id>` of this database. */
  #archived: readonly string[] = [];
  #tables = 0;
  #entries = 0;
  #tablesLast = 0;
  #areTablesReadable = true;

  constructor(context: VerifyContext) {
    this.#context = context;
  }

  async run(): Promise<VerifyReport> {
    const context = this.#context;
    const before = await this.#listing();
    this.#names = [...before.keys()];
    if (!this.#names.some((name) => name === CURRENT || parseFileName(name) !== undefined)) {
      throw new NotADatabaseError(context.location, 'there is no file of a database in it.');
    }
    const manifestNumber = await this.#checkCurrent();
    const state = manifestNumber === undefined ? undefined : await this.#checkManifest(manifestNumber);
    await this.#estimate(before, state);
    if (state === undefined) await this.#checkTablesAlone();
    else await this.#checkTables(state);
    const keys = state === undefined ? 0 : await this.#compare(state, manifestNumber ?? 0);
    const logs = await this.#checkLogs(state);
    const historySegments = state === undefined ? 0 : await this.#checkHistory(state);
    await this.#listUnreferenced(state, manifestNumber);
    await this.#checkUnchanged(before);
    const { list, location, files, bytes } = context;
    return {
      location,
      isWhole: list.counts.error === 0,
      findings: list.findings,
      errorCount: list.counts.error,
      warningCount: list.counts.warning,
      infoCount: list.counts.info,
      unreferenced: list.unreferenced,
      files,
      bytes,
      tables: this.#tables,
      entries: this.#entries,
      keys,
      logBatches: logs.batches,
      historySegments,
      lastSequence: Math.max(logs.lastSequence, state?.lastSequence ?? 0),
    };
  }

  /** Files of the directory. */
  async #listing(): Promise<Map<string, Listed>> {
    const { fileSystem, location } = this.#context;
    const files = new Map<string, Listed>();
    for (const name of await fileSystem.list(location)) {
      try {
        const { kind, size, version } = await fileSystem.stat(pathOf(location, name));
        if (kind === 'file') files.set(name, { size, version });
      } catch (error) {
        if (!(error instanceof IoError)) throw error;
        files.set(name, { size: -1, version: undefined }); // it is told when it is needed
      }
    }
    return files;
  }

  async #checkCurrent(): Promise<number | undefined> {
    const context = this.#context;
    try {
      const number = await readCurrent(context.fileSystem, context.location);
      if (number === undefined) context.add('missing', CURRENT, undefined, 'it is missing, beside files of a database');
      else await (await context.open(CURRENT))?.file.close();
      return number;
    } catch (error) {
      context.failed(error, CURRENT);
      return undefined;
    }
  }

  async #checkManifest(fileNumber: number): Promise<ManifestState | undefined> {
    const context = this.#context;
    const name = manifestName(fileNumber);
    const opened = await context.open(name);
    if (opened === undefined) return undefined;
    try {
      const end = await walkRecords(context, opened.file, name, () => undefined);
      const state = await readManifest(context.fileSystem, context.location, fileNumber);
      if (end.type !== 'end') context.add('tornTail', name, end.offset, `${end.reason}; its last edit is left out`);
      this.#checkNumbers(state, fileNumber);
      return state;
    } catch (error) {
      context.failed(error, name);
      return undefined;
    } finally {
      await opened.file.close();
    }
  }

  #checkNumbers({ version, nextFileNumber, logNumber }: ManifestState, manifestNumber: number): void {
    const name = manifestName(manifestNumber);
    const numbers = [manifestNumber, logNumber, ...version.levels.flat().map(({ fileNumber }) => fileNumber)];
    for (const number of numbers) {
      if (number < nextFileNumber) continue;
      const reason = `it names file ${number}, and says that the next one will be ${nextFileNumber}`;
      this.#context.add('fileNumber', name, undefined, reason);
    }
    for (const tables of version.levels.slice(1)) {
      for (const [index, { smallest, fileNumber }] of tables.entries()) {
        const previous = tables[index - 1];
        if (previous === undefined || compareUserKeysOf(previous.largest, smallest) !== 0) continue;
        const reason = `table ${fileNumber} begins with the key that table ${previous.fileNumber} ends with`;
        this.#context.add('splitKey', name, undefined, reason);
      }
    }
  }

  async #estimate(files: ReadonlyMap<string, Listed>, state: ManifestState | undefined): Promise<void> {
    const context = this.#context;
    const databaseId = state === undefined ? undefined : databaseIdOf(state.compactionPointers);
    for (const [name, { size }] of files) {
      const kind = parseFileName(name)?.kind;
      if (kind === 'table') context.bytesTotal += (state === undefined ? 1 : 2) * Math.max(0, size);
      else if (kind === 'log' || kind === 'manifest') context.bytesTotal += Math.max(0, size);
    }
    if (databaseId === undefined) return;
    const path = archivePath(context.location, databaseId);
    this.#archived = await context.fileSystem.list(path).catch((error: unknown) => {
      if (error instanceof IoError) return []; // STATE will be missing
      throw error;
    });
    for (const name of this.#archived) {
      const stat = await context.fileSystem.stat(pathOf(path, name)).catch(() => undefined); // told when it is needed
      context.bytesTotal += stat?.size ?? 0;
    }
  }

  async #checkTables({ version, lastSequence }: ManifestState): Promise<void> {
    for (const table of version.levels.flat()) {
      const { fileBytes, smallest, largest } = table;
      const name = this.#tableFile(table);
      const checked = await verifyTable(this.#context, name, { fileBytes, smallest, largest, lastSequence });
      this.#tables += 1;
      this.#entries += checked.entries;
      this.#areTablesReadable &&= checked.isReadable;
    }
    this.#tablesLast = lastSequence;
  }

  /** Without a MANIFEST, every table in the directory may be a live one. */
  async #checkTablesAlone(): Promise<void> {
    for (const name of this.#names) {
      if (parseFileName(name)?.kind !== 'table') continue;
      const checked = await verifyTable(this.#context, name, undefined);
      this.#tables += 1;
      this.#entries += checked.entries;
      this.#tablesLast = Math.max(this.#tablesLast, checked.largestSequence);
    }
  }

  #tableFile({ fileNumber }: TableMeta): string {
    return tableNames(fileNumber).find((name) => this.#names.includes(name)) ?? tableName(fileNumber);
  }

  async #compare({ version }: ManifestState, manifestNumber: number): Promise<number> {
    const name = manifestName(manifestNumber);
    if (!this.#areTablesReadable) {
      this.#context.add('notCompared', name, undefined, 'ways of reading were not compared: a table cannot be read');
      return 0;
    }
    const bytes = version.levels.flat().reduce((sum, { fileBytes }) => sum + fileBytes, 0);
    return compareReads(this.#context, { version, entries: this.#entries, bytes, manifestName: name });
  }

  async #checkLogs(state: ManifestState | undefined): Promise<CheckedLogs> {
    const logNumber = state?.logNumber ?? 0;
    const logs = this.#names
      .flatMap((name) => {
        const parsed = parseFileName(name);
        return parsed?.kind === 'log' ? [{ name, number: parsed.fileNumber }] : [];
      })
      .filter(({ number }) => number >= logNumber || number === state?.previousLogNumber)
      .sort((a, b) => a.number - b.number);
    if (logNumber !== 0 && !this.#names.includes(logName(logNumber))) {
      const reason = 'the MANIFEST, which may have lost its end, names it, and it is missing';
      this.#context.add('missing', logName(logNumber), undefined, reason);
    }
    const claims = state === undefined ? NO_CLAIMS : await this.#claimsOfLogs(state);
    return verifyLogs(this.#context, logs, this.#tablesLast, claims);
  }

  /** Indexes that cannot be read say nothing; the logs are checked without them. */
  async #claimsOfLogs(state: ManifestState): Promise<LogClaims> {
    const { fileSystem, location } = this.#context;
    try {
      return await claimsOfLogs(fileSystem, location, state);
    } catch (error) {
      this.#context.failed(error, ARCHIVE_DIRECTORY, 'history');
      return NO_CLAIMS;
    }
  }

  async #checkHistory(state: ManifestState): Promise<number> {
    const databaseId = databaseIdOf(state.compactionPointers);
    if (databaseId === undefined) return 0; // LevelDB's, and never opened by us for writing
    const { logNumber } = state;
    return verifyHistory(this.#context, { databaseId, logNumber, names: this.#names, archived: this.#archived });
  }

  async #listUnreferenced(state: ManifestState | undefined, manifestNumber: number | undefined): Promise<void> {
    const { fileSystem, location, list } = this.#context;
    const live = new Set(state?.version.levels.flat().map((table) => this.#tableFile(table)));
    for (const name of this.#names) {
      const parsed = parseFileName(name);
      if (parsed === undefined) continue;
      const { kind, fileNumber } = parsed;
      const isNamed =
        (kind === 'table' && (state === undefined || live.has(name))) ||
        (kind === 'log' && (fileNumber >= (state?.logNumber ?? 0) || fileNumber === state?.previousLogNumber)) ||
        (kind === 'manifest' && (manifestNumber === undefined || fileNumber === manifestNumber));
      if (!isNamed) list.addUnreferenced(name);
    }
    const databaseId = state === undefined ? undefined : databaseIdOf(state.compactionPointers);
    for (const folder of [ARCHIVE_DIRECTORY, LOST_DIRECTORY]) {
      const names = await fileSystem.list(pathOf(location, folder)).catch(() => []); // there is none
      for (const name of names) {
        const isHistory = folder === ARCHIVE_DIRECTORY && isDatabaseId(name);
        if (isHistory ? name !== databaseId && state !== undefined : folder === LOST_DIRECTORY) {
          list.addUnreferenced(pathOf(folder, name));
        }
      }
    }
  }

  /** Logs that are written to and tables that go are the work of a store that has it open. */
  async #checkUnchanged(before: ReadonlyMap<string, Listed>): Promise<void> {
    const after = await this.#listing();
    for (const name of new Set([...before.keys(), ...after.keys()])) {
      const [one, other] = [before.get(name), after.get(name)];
      if (one?.size === other?.size && one?.version === other?.version) continue;
      this.#context.add('changed', name, undefined, 'it was changed, made or removed while the check went on');
      return;
    }
  }
}
