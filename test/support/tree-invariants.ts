/**
 * An independent reader of a database's directory: it folds the MANIFEST and reads every table whole, and tells which of
 * the invariants I1 to I7 (docs/file-formats.md) do not hold. It takes the codecs from the engine, and nothing else.
 */
import * as E from 'fp-ts/lib/Either.js';
import { encodeInternalKey } from '../../src/storage/codec/internal-key.ts';
import { manifestName, parseFileName, pathOf, tableName, tableNames } from '../../src/storage/file-names.ts';
import type { FileSystem } from '../../src/storage/file-system/file-system.ts';
import { readSmallFile } from '../../src/storage/file-system/small-file.ts';
import { type TableMeta, userKeyOf } from '../../src/storage/manifest/table-meta.ts';
import { decodeVersionEdit } from '../../src/storage/manifest/version-edit.ts';
import { KIND_SET } from '../../src/storage/read/internal-iterator.ts';
import { BlockCache } from '../../src/storage/table/block-cache.ts';
import { Lookup } from '../../src/storage/table/lookup.ts';
import { Table } from '../../src/storage/table/table.ts';
import { RecordReader } from '../../src/storage/wal/record-reader.ts';
import { readForwards, settled, type TableEntry } from './table-entries.ts';

export interface TreeReport {
  /** In words, which invariant does not hold where; empty: all hold. */
  readonly violations: readonly string[];
  /** Number of tables of each level, level 0 first. */
  readonly tablesOfLevels: readonly number[];
  readonly tombstoneCount: number;
  readonly entryCount: number;
  /** Data files in the directory that neither the MANIFEST nor CURRENT has a use for. */
  readonly strays: readonly string[];
}

interface Manifest {
  readonly number: number;
  readonly levels: Map<number, TableMeta>[];
  nextFileNumber: number;
  lastSequence: number;
  logNumber: number;
}

const LEVELS = 7;
const SMALL_BYTES_MAX = 1000;
/** The last eight bytes of a table. */
const MAGIC = '57fb808b247547db';
const keyText = (key: Uint8Array): string => Buffer.from(key).toString('latin1');

export async function inspectTree(fileSystem: FileSystem, directory: string): Promise<TreeReport> {
  const manifest = await readManifestAlone(fileSystem, directory);
  const violations: string[] = [];
  const report = { tombstoneCount: 0, entryCount: 0 };
  /** Of each user key: the oldest sequence number in shallower levels (and newer level-0 tables). */
  const oldestAbove = new Map<string, number>();
  for (const [level, tables] of manifest.levels.entries()) {
    const inOrder = [...tables.values()].sort((a, b) =>
      level === 0 ? b.fileNumber - a.fileNumber : Buffer.compare(userKeyOf(a.smallest), userKeyOf(b.smallest)),
    );
    let group: TableEntry[] = [];
    for (const [index, meta] of inOrder.entries()) {
      const name = `table ${meta.fileNumber} of level ${level}`;
      const entries = await readTable(fileSystem, directory, meta, name, violations);
      const before = inOrder[index - 1];
      if (level > 0 && before && Buffer.compare(userKeyOf(before.largest), userKeyOf(meta.smallest)) >= 0) {
        violations.push(`I1: ${name} shares a user key with table ${before.fileNumber}`);
      }
      if (meta.fileNumber >= manifest.nextFileNumber) violations.push(`I4: ${name} is not below the next file number`);
      for (const { sequence, kind } of entries) {
        if (sequence > manifest.lastSequence) violations.push(`I3: ${name} has ${sequence}, over the last sequence`);
        report.entryCount += 1;
        if (kind !== KIND_SET) report.tombstoneCount += 1;
      }
      group.push(...entries);
      if (level > 0) continue;
      checkAge(group, oldestAbove, name, violations); // in level 0, each table is older than the one before
      group = [];
    }
    checkAge(group, oldestAbove, `level ${level}`, violations);
  }
  for (const number of [manifest.number, manifest.logNumber]) {
    if (number >= manifest.nextFileNumber) violations.push(`I4: file ${number} is not below the next file number`);
  }
  const names = await fileSystem.list(directory);
  for (const name of names.filter((one) => /\.log$|^MANIFEST/.test(one))) {
    await checkRecordTypes(fileSystem, directory, name, violations);
  }
  const tablesOfLevels = manifest.levels.map((tables) => tables.size);
  return { ...report, violations, tablesOfLevels, strays: names.filter((name) => isStray(name, manifest)) };
}

async function readManifestAlone(fileSystem: FileSystem, directory: string): Promise<Manifest> {
  const current = await readSmallFile(fileSystem, pathOf(directory, 'CURRENT'), SMALL_BYTES_MAX);
  const number = Number(/^MANIFEST-(\d+)\n$/.exec(new TextDecoder().decode(current))?.[1]);
  const levels = Array.from({ length: LEVELS }, () => new Map<number, TableMeta>());
  const manifest: Manifest = { number, levels, nextFileNumber: -1, lastSequence: -1, logNumber: -1 };
  const name = manifestName(number);
  const file = await fileSystem.openForRead(pathOf(directory, name));
  try {
    const reader = new RecordReader(file, name);
    for (let outcome = await reader.next(); outcome.type === 'record'; outcome = await reader.next()) {
      const edit = decodeVersionEdit(outcome.bytes, name, outcome.offset);
      if (E.isLeft(edit)) throw edit.left;
      const { deletedTables, newTables, nextFileNumber, lastSequence, logNumber } = edit.right;
      for (const { level, fileNumber } of deletedTables) levels[level]?.delete(fileNumber);
      for (const { level, table } of newTables) levels[level]?.set(table.fileNumber, table);
      manifest.nextFileNumber = nextFileNumber ?? manifest.nextFileNumber;
      manifest.lastSequence = lastSequence ?? manifest.lastSequence;
      manifest.logNumber = logNumber ?? manifest.logNumber;
    }
  } finally {
    await file.close();
  }
  return manifest;
}

/** All entries of a table; checks what is about this table alone. */
async function readTable(
  fileSystem: FileSystem,
  directory: string,
  meta: TableMeta,
  name: string,
  violations: string[],
): Promise<TableEntry[]> {
  const fileName = (await fileSystem.list(directory)).find((one) => tableNames(meta.fileNumber).includes(one));
  const path = pathOf(directory, fileName ?? tableName(meta.fileNumber));
  const file = await fileSystem.openForRead(path);
  const fileBytes = await file.size();
  if (fileBytes !== meta.fileBytes) violations.push(`I5: ${name} has ${fileBytes} bytes, not ${meta.fileBytes}`);
  const end = new Uint8Array(8);
  await file.read(end, fileBytes - end.length);
  if (Buffer.from(end).toString('hex') !== MAGIC) violations.push(`I7: ${name} does not end with its footer`);
  let entries: TableEntry[] = [];
  try {
    const table = await Table.open(file, meta.fileNumber, path, fileBytes, new BlockCache(1_000_000));
    entries = await readForwards(table.iterator({ isCacheFilled: true, readAheadBytes: 0 }));
    await findAll(table, entries, name, violations);
    await table.close();
  } catch (error) {
    // Other kinds than set and delete are among what a table's reader refuses.
    violations.push(`I6: ${name} cannot be read: ${String(error)}`);
    await file.close();
    return entries;
  }
  const keys = entries.map(({ key, sequence, kind }) => encodeInternalKey(key, sequence, kind));
  if (Buffer.compare(keys[0] ?? end, meta.smallest) !== 0) violations.push(`I5: ${name} begins with another key`);
  if (Buffer.compare(keys.at(-1) ?? end, meta.largest) !== 0) violations.push(`I5: ${name} ends with another key`);
  for (const [index, entry] of entries.entries()) {
    const before = entries[index - 1];
    if (before === undefined) continue;
    const order = Buffer.compare(before.key, entry.key) || entry.sequence - before.sequence;
    if (order >= 0) violations.push(`I5: ${name} is not in order at entry ${index}`);
  }
  return entries;
}

/** A point read must find what an iterator gives: index and filter belong to the data. */
async function findAll(
  table: Table,
  entries: readonly TableEntry[],
  name: string,
  violations: string[],
): Promise<void> {
  const lookup = new Lookup();
  for (const { key, sequence } of entries) {
    lookup.reset(key, 0, key.length, sequence);
    await settled(table.find(lookup));
    if (lookup.state === 'absent' || lookup.foundSequence !== sequence) {
      violations.push(`I5: ${name} does not find its key ${keyText(key)} at ${sequence}`);
    }
  }
}

/** I2: all entries of a key in shallower levels are newer than those of this group. */
function checkAge(
  group: readonly TableEntry[],
  oldestAbove: Map<string, number>,
  name: string,
  violations: string[],
): void {
  for (const { key, sequence } of group) {
    if (sequence >= (oldestAbove.get(keyText(key)) ?? Infinity)) {
      violations.push(`I2: ${name} has ${keyText(key)} at ${sequence}, newer than what lies above it`);
    }
  }
  for (const { key, sequence } of group) {
    const text = keyText(key);
    oldestAbove.set(text, Math.min(sequence, oldestAbove.get(text) ?? Infinity));
  }
}

/** LevelDB takes a fragment of an unknown type for the end of the file: only 1 to 4 may be there. */
async function checkRecordTypes(
  fileSystem: FileSystem,
  directory: string,
  name: string,
  violations: string[],
): Promise<void> {
  const file = await fileSystem.openForRead(pathOf(directory, name));
  const bytes = new Uint8Array(await file.size());
  if (bytes.length > 0) await file.read(bytes, 0);
  await file.close();
  for (let at = 0; at + 7 <= bytes.length;) {
    const left = 32_768 - (at % 32_768);
    if (left < 7) {
      at += left;
      continue;
    }
    const [low = 0, high = 0, type = 0] = bytes.subarray(at + 4, at + 7);
    if (type < 1 || type > 4) {
      violations.push(`I6: ${name} has a fragment of type ${type} at ${at}`);
      return;
    }
    at += 7 + low + 256 * high;
  }
}

function isStray(name: string, { number, levels, logNumber }: Manifest): boolean {
  const parsed = parseFileName(name);
  if (parsed === undefined) return false;
  const { kind, fileNumber } = parsed;
  if (kind === 'table') return !levels.some((tables) => tables.has(fileNumber));
  if (kind === 'manifest') return fileNumber !== number;
  return kind === 'temporary' || fileNumber < logNumber;
}
