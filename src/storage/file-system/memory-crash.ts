/**
 * What a crash may leave of a file system in memory.
 *
 * The model is stricter than any one disk: nothing is durable before its sync, a file's sync says nothing about its name,
 * unsynced sectors of 512 bytes reach the disk in any order or not at all, and a changed name is there or not, whole.
 * After the ideas of Pebble's strict MemFS and ALICE (Pillai et al., OSDI 2014).
 */
import { applyChange, Directory, type FileNode, type NameChange, type NameChangeUnit } from './memory-directory.ts';
import { Inode } from './memory-inode.ts';

/**
 * - `'all'`: the process was killed; everything visible survives, and is as unsynced as before.
 * - `'synced'`: the power failed; only synced bytes and names survive.
 * - `'zeros'`: names and sizes survive, unsynced bytes read as zeros.
 * - `'prefix'`: of each file a random number of its unsynced writes survives, in order, the last one torn at a byte or
 *   at a sector; of the names an ordered prefix.
 * - `'sectors'`: any unsynced sectors survive, the others are zeros or garbage, and the size is any; of the names an
 *   ordered prefix or any subset.
 * - `'stale'`: the same, but instead of garbage there is what files that were removed had in them, as a file system leaves it
 *   that does not order data before its journal. Without such files (`removedBytesKeptMax`) there are zeros.
 */
export type CrashMode = 'all' | 'synced' | 'zeros' | 'prefix' | 'sectors' | 'stale';

/** A source of numbers in [0, 1), as `Math.random`; seeded in tests, so that each image can be made again. */
export type RandomSource = () => number;

/** The unit that a disk writes whole or not at all. */
const SECTOR_BYTES = 512;

/** The tree of names, and what of it is not durable. */
export interface FileTree {
  readonly root: Directory;
  readonly units: readonly NameChangeUnit[];
}

/**
 * The tree after a crash. Shares buffers with the original where bytes agree, and never changes it.
 *
 * @param removed - contents of removed files, for `'stale'`
 */
export function crashTree(
  tree: FileTree,
  mode: CrashMode,
  random: RandomSource,
  removed: readonly Uint8Array[] = [],
): FileTree {
  if (mode === 'all') return copyTree(tree);
  const names = new Map<Directory, Map<string, FileNode>>();
  for (const unit of survivingUnits(tree.units, mode, random)) {
    for (const change of unit) {
      let map = names.get(change.directory);
      if (map === undefined) {
        map = new Map(change.directory.synced);
        names.set(change.directory, map);
      }
      applyChange(map, change);
    }
  }
  const copier = new Copier((inode) => survivingInode(inode, mode, random, removed));
  const root = copier.directory(tree.root);
  for (let next = copier.takeUnfilled(); next !== undefined; next = copier.takeUnfilled()) {
    for (const [name, node] of names.get(next.from) ?? next.from.synced) {
      const copy = copier.node(node);
      next.to.live.set(name, copy);
      next.to.synced.set(name, copy);
    }
  }
  return { root, units: [] };
}

/** The same tree, with the same things unsynced. */
function copyTree(tree: FileTree): FileTree {
  const copier = new Copier((inode) => inode.copy());
  const root = copier.directory(tree.root);
  const units = tree.units.map((unit) =>
    unit.map((change): NameChange => ({
      directory: copier.directory(change.directory),
      name: change.name,
      node: change.node === undefined ? undefined : copier.node(change.node),
    })),
  );
  for (let next = copier.takeUnfilled(); next !== undefined; next = copier.takeUnfilled()) {
    for (const [name, node] of next.from.live) next.to.live.set(name, copier.node(node));
    for (const [name, node] of next.from.synced) next.to.synced.set(name, copier.node(node));
  }
  return { root, units };
}

/** Copies each node once, however many names lead to it; directories are filled by the caller, without recursion. */
class Copier {
  readonly #copyInode: (inode: Inode) => Inode;
  readonly #inodes = new Map<Inode, Inode>();
  readonly #directories = new Map<Directory, Directory>();
  readonly #unfilled: { from: Directory; to: Directory }[] = [];

  constructor(copyInode: (inode: Inode) => Inode) {
    this.#copyInode = copyInode;
  }

  node(node: FileNode): FileNode {
    return node.kind === 'file' ? this.#inode(node) : this.directory(node);
  }

  directory(from: Directory): Directory {
    let to = this.#directories.get(from);
    if (to === undefined) {
      to = new Directory();
      this.#directories.set(from, to);
      this.#unfilled.push({ from, to });
    }
    return to;
  }

  takeUnfilled(): { from: Directory; to: Directory } | undefined {
    return this.#unfilled.pop();
  }

  #inode(from: Inode): Inode {
    let to = this.#inodes.get(from);
    if (to === undefined) {
      to = this.#copyInode(from);
      this.#inodes.set(from, to);
    }
    return to;
  }
}

function survivingUnits(
  units: readonly NameChangeUnit[],
  mode: Exclude<CrashMode, 'all'>,
  random: RandomSource,
): readonly NameChangeUnit[] {
  if (units.length === 0 || mode === 'zeros') return units;
  if (mode === 'synced') return [];
  const isOrdered = mode === 'prefix' || random() < 0.5;
  return isOrdered ? units.slice(0, below(units.length + 1, random)) : units.filter(() => random() < 0.5);
}

function survivingInode(
  inode: Inode,
  mode: Exclude<CrashMode, 'all'>,
  random: RandomSource,
  removed: readonly Uint8Array[],
): Inode {
  const { durableReservedEnd, pendingStart, reservedEnd, size } = inode;
  const isUndecided = reservedEnd > size && reservedEnd > durableReservedEnd && mode !== 'synced';
  if (mode === 'stale' && (isUndecided || pendingStart < size))
    return Inode.durable(staleBytes(inode, random, removed));
  const bytes = survivingBytes(inode, mode, random);
  const isKept = isUndecided && (mode === 'zeros' || random() < 0.5);
  const end = isKept ? reservedEnd : durableReservedEnd;
  if (end <= bytes.length) return Inode.durable(bytes);
  const padded = new Uint8Array(end);
  padded.set(bytes);
  return Inode.durable(padded);
}

function survivingBytes(inode: Inode, mode: Exclude<CrashMode, 'all'>, random: RandomSource): Uint8Array {
  const { size, pendingStart, durableSize } = inode;
  if (pendingStart === size || mode === 'synced') return durableBytes(inode, durableSize);
  switch (mode) {
    case 'zeros':
      return durableBytes(inode, size).slice().fill(0, pendingStart);
    case 'prefix': {
      const end = tornEnd(inode, random);
      return durableBytes(inode, end === pendingStart ? durableSize : end);
    }
    case 'sectors':
    case 'stale':
      return scatteredBytes(inode, random);
  }
}

/** The first `end` bytes as the disk has them if all writes up to there got to it: what was lost reads as zeros. */
function durableBytes(inode: Inode, end: number): Uint8Array {
  const bytes = inode.view(end);
  if (!inode.lost.some((range) => range.start < end)) return bytes; // shared, not copied: the usual case
  const copy = bytes.slice();
  for (const range of inode.lost) copy.fill(0, range.start, range.end); // fill stops at the end of the copy
  return copy;
}

/** Where the file ends if only some of its unsynced writes happened, the last of them in part. */
function tornEnd(inode: Inode, random: RandomSource): number {
  const ends = inode.writeEnds;
  const wholeWrites = below(ends.length + 1, random);
  const start = wholeWrites === 0 ? inode.pendingStart : (ends[wholeWrites - 1] ?? inode.pendingStart);
  const nextEnd = ends[wholeWrites];
  if (nextEnd === undefined || random() < 0.25) return start;
  const torn = start + below(nextEnd - start, random);
  if (random() < 0.5) return torn;
  return Math.max(start, torn - (torn % SECTOR_BYTES));
}

/** Each unsynced sector by itself: there, zeros, or garbage; and the file of any size that holds what is durable. */
function scatteredBytes(inode: Inode, random: RandomSource): Uint8Array {
  const { size, pendingStart, durableSize } = inode;
  const end = random() < 0.5 ? size : durableSize + below(size - durableSize + 1, random);
  const bytes = durableBytes(inode, end).slice();
  for (let start = pendingStart; start < end;) {
    const sectorEnd = Math.min(end, start - (start % SECTOR_BYTES) + SECTOR_BYTES);
    const fate = random();
    if (fate >= 0.75) for (let at = start; at < sectorEnd; at += 1) bytes[at] = below(256, random);
    else if (fate >= 0.5) bytes.fill(0, start, sectorEnd);
    start = sectorEnd;
  }
  return bytes;
}

/**
 * From some sector on nothing of what was written is there, but what a removed file had; or each sector by itself is there, zeros,
 * or such bytes. Not in the sector of the last durable byte, nor in room whose zeros are durable: those were this file's already.
 * A file that has the same layout is as likely to be met at the same offset as anywhere.
 */
function staleBytes(inode: Inode, random: RandomSource, removed: readonly Uint8Array[]): Uint8Array {
  const { pendingStart, durableReservedEnd, size, visibleSize } = inode;
  const durableEnd = Math.max(inode.durableSize, durableReservedEnd);
  const most = Math.max(visibleSize, durableEnd); // room that was given back since the sync may be there still
  const end = random() < 0.5 ? most : durableEnd + below(most - durableEnd + 1, random);
  const bytes = new Uint8Array(end);
  bytes.set(durableBytes(inode, Math.min(end, size)));
  const former = removed[below(removed.length, random)] ?? new Uint8Array(0);
  const isShifted = random() < 0.5;
  const shift = isShifted ? SECTOR_BYTES * below(Math.ceil(former.length / SECTOR_BYTES), random) : 0;
  const firstSector = Math.ceil(pendingStart / SECTOR_BYTES);
  const sectors = Math.max(0, Math.ceil(end / SECTOR_BYTES) - firstSector);
  const allFrom = random() < 0.5 ? firstSector + below(sectors, random) : Infinity;
  const from = isShifted ? shift - firstSector * SECTOR_BYTES : 0;
  for (let sector = firstSector; sector < firstSector + sectors; sector += 1) {
    const start = sector * SECTOR_BYTES;
    const fate = allFrom === Infinity ? random() : sector < allFrom ? 0 : 1;
    if (fate < 0.4) continue;
    const sectorEnd = Math.min(end, start + SECTOR_BYTES);
    bytes.fill(0, start, sectorEnd);
    const isOwn = start < durableReservedEnd;
    if (fate >= 0.5 && !isOwn) bytes.set(former.subarray(start + from, Math.max(start, sectorEnd) + from), start);
  }
  return bytes;
}

/** A whole number in [0, count). */
function below(count: number, random: RandomSource): number {
  return Math.floor(random() * count);
}
