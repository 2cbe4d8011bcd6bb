/**
 * Decides what to compact next. Pure: the same version, options and pointers give the same answer.
 *
 * The invariants that LevelDB's readers, and ours, rely on (`docs/file-formats.md`, I1 to I7), and who keeps them:
 *   I1  tables of a run share no user key              outputs are cut only between user keys (merge-tables)
 *   I2  newer data of a key lies in shallower levels   a level-0 compaction takes every level-0 table that its range
 *                                                      touches, and every compaction all it touches one level deeper
 *   I3, I4, I5  counters and bounds in the MANIFEST    the version set, and the table builder's own count
 *   I6, I7  record kinds, nothing behind the footer    the table builder
 *
 * Source: LevelDB db/version_set.cc; the score that counts tombstones: RocksDB's CompactOnDeletionCollector in spirit.
 */
import { compareInternal } from '../codec/internal-key.ts';
import { rangeOf, type TableMeta, totalBytes, type UserKeyRange } from '../manifest/table-meta.ts';
import type { VersionEdit } from '../manifest/version-edit.ts';
import { LEVELS } from '../manifest/table-meta.ts';
import type { Version } from '../manifest/version.ts';

export interface PickerOptions {
  readonly level0CompactionTrigger: number;
  readonly level1BytesMax: number;
  readonly tableBytesMax: number;
}

export type CompactionReason = 'level0' | 'size' | 'tombstones' | 'manual';

/** One compaction: tables of `level` merge with those of the next level, and become tables of the next level. */
export interface Compaction {
  readonly reason: CompactionReason;
  readonly level: number;
  readonly inputs: readonly TableMeta[];
  /** Tables of the next level that share user keys with the inputs. */
  readonly overlaps: readonly TableMeta[];
  /** Tables two levels down in the same range: they decide where outputs are cut, so that the next compaction is small. */
  readonly grandparents: readonly TableMeta[];
}

/** Bytes of the output's grandparents after which an output is cut, in tables of the largest size. */
export const GRANDPARENT_TABLES_MAX = 10;
/** Bytes up to which the inputs grow when this brings in no further table of the next level, likewise. */
const EXPANDED_TABLES_MAX = 25;
const LEVEL_MULTIPLIER = 10;
/** A table is worth rewriting for its tombstones when they are this part of its entries. */
const TOMBSTONE_SHARE = 0.5;
const TOMBSTONES_MIN = 32;

export const levelBytesMax = (level: number, options: PickerOptions): number =>
  options.level1BytesMax * LEVEL_MULTIPLIER ** (level - 1);

/** How full a level is; from 1 on it needs a compaction. The deepest level has nowhere to go. */
export function levelScore(version: Version, level: number, options: PickerOptions): number {
  if (level === LEVELS - 1) return 0;
  if (level === 0) return version.tables(0).length / options.level0CompactionTrigger;
  return version.levelBytes(level) / levelBytesMax(level, options);
}

/** Bytes that wait for compaction: what lies above each level's limit. Admission slows as this grows. */
export function compactionDebt(version: Version, options: PickerOptions): number {
  let debt = 0;
  if (version.tables(0).length >= options.level0CompactionTrigger) debt += version.levelBytes(0);
  for (let level = 1; level < LEVELS - 1; level += 1) {
    debt += Math.max(0, version.levelBytes(level) - levelBytesMax(level, options));
  }
  return debt;
}

/**
 * @param pointers - per level, the internal key behind which the last compaction ended: levels are worked through in turn
 * @param tombstonesUpTo - tombstones up to this sequence number are hidden from no snapshot, and can be dropped
 */
export function pickCompaction(
  version: Version,
  pointers: readonly (Uint8Array | undefined)[],
  options: PickerOptions,
  tombstonesUpTo: number,
): Compaction | undefined {
  let bestLevel = 0;
  let bestScore = 0;
  for (let level = 0; level < LEVELS - 1; level += 1) {
    const score = levelScore(version, level, options);
    if (score > bestScore) [bestLevel, bestScore] = [level, score];
  }
  if (bestScore >= 1) {
    const table = nextInTurn(version, bestLevel, pointers[bestLevel]);
    if (table !== undefined) return complete(version, bestLevel === 0 ? 'level0' : 'size', bestLevel, [table], options);
  }
  return pickTombstones(version, options, tombstonesUpTo);
}

function pickTombstones(version: Version, options: PickerOptions, upTo: number): Compaction | undefined {
  for (let level = LEVELS - 2; level >= 0; level -= 1) {
    for (const table of version.tables(level)) {
      const { entryCount = 0, tombstoneCount = 0, largestSequence = Infinity } = table;
      if (tombstoneCount < TOMBSTONES_MIN || tombstoneCount < TOMBSTONE_SHARE * entryCount) continue;
      if (largestSequence <= upTo) return complete(version, 'tombstones', level, [table], options);
    }
  }
  return undefined;
}

/**
 * The next piece of a compaction of a whole range, one level at a time; `undefined` when the level holds none of it.
 * Pieces are bounded, so that a flush or a close need not wait for the whole.
 */
export function pickManual(
  version: Version,
  level: number,
  range: UserKeyRange,
  options: PickerOptions,
): Compaction | undefined {
  const found = version.overlapping(level, range);
  if (found.length === 0) return undefined;
  const piece: TableMeta[] = [];
  for (const table of found) {
    piece.push(table);
    if (level > 0 && totalBytes(piece) >= options.tableBytesMax * EXPANDED_TABLES_MAX) break;
  }
  return complete(version, 'manual', level, piece, options);
}

function nextInTurn(version: Version, level: number, pointer: Uint8Array | undefined): TableMeta | undefined {
  const tables = version.tables(level);
  if (level === 0) return tables.at(-1); // the oldest: its space and its shadowed entries come free first
  if (pointer === undefined) return tables[0];
  const isBehind = ({ largest }: TableMeta): boolean =>
    compareInternal(largest, 0, largest.length, pointer, 0, pointer.length) > 0;
  return tables.find(isBehind) ?? tables[0];
}

/** Adds what the invariants ask for, and what comes at no extra cost. */
function complete(
  version: Version,
  reason: CompactionReason,
  level: number,
  chosen: readonly TableMeta[],
  options: PickerOptions,
): Compaction {
  let inputs = version.overlapping(level, rangeOf(chosen));
  const overlaps = version.overlapping(level + 1, rangeOf(inputs));
  if (overlaps.length > 0) {
    const expanded = version.overlapping(level, rangeOf([...inputs, ...overlaps]));
    const bytes = totalBytes(expanded) + totalBytes(overlaps);
    const isFree = version.overlapping(level + 1, rangeOf(expanded)).length === overlaps.length;
    if (isFree && bytes <= options.tableBytesMax * EXPANDED_TABLES_MAX) inputs = expanded;
  }
  const grandparents = level + 2 < LEVELS ? version.overlapping(level + 2, rangeOf([...inputs, ...overlaps])) : [];
  return { reason, level, inputs, overlaps, grandparents };
}

/**
 * Whether moving the one input down as it is does the same as rewriting it: nothing to merge with, nothing to drop, and
 * not so much below it that its own next compaction would be large.
 */
export function isTrivialMove({ reason, inputs, overlaps, grandparents }: Compaction, options: PickerOptions): boolean {
  const [table] = inputs;
  if (table === undefined || inputs.length > 1 || overlaps.length > 0) return false;
  if (reason === 'tombstones' || (reason === 'manual' && table.tombstoneCount !== 0)) return false;
  return totalBytes(grandparents) <= options.tableBytesMax * GRANDPARENT_TABLES_MAX;
}

/** The edit that takes the compaction's inputs out and puts its outputs in. */
export function editOf(compaction: Compaction, outputs: readonly TableMeta[]): VersionEdit {
  const { level, inputs, overlaps } = compaction;
  const last = inputs.at(-1);
  return {
    deletedTables: [
      ...inputs.map(({ fileNumber }) => ({ level, fileNumber })),
      ...overlaps.map(({ fileNumber }) => ({ level: level + 1, fileNumber })),
    ],
    newTables: outputs.map((table) => ({ level: level + 1, table })),
    compactionPointers: level > 0 && last !== undefined ? [{ level, key: last.largest }] : [],
  };
}
