/**
 * Names, and which of them a power cut would leave.
 *
 * Each change of names (create, link, rename, remove) is one unit: it becomes durable whole or not at all, also a rename
 * from one directory to another. Changes wait in one list per file system, in the order of the calls; `syncDirectory`
 * takes out those of its directory, and with them all earlier ones that they build on.
 */
import type { Inode } from './memory-inode.ts';

export type FileNode = Inode | Directory;

export class Directory {
  readonly kind = 'directory';
  /** What programs see. */
  readonly live: Map<string, FileNode> = new Map();
  /** What a power cut is sure to leave. */
  readonly synced: Map<string, FileNode> = new Map();
}

/** In `directory`, `name` leads to `node` from now on, or to nothing. */
export interface NameChange {
  readonly directory: Directory;
  readonly name: string;
  readonly node: FileNode | undefined;
}

/** What one call changes: a rename has two parts, the others one. */
export type NameChangeUnit = readonly NameChange[];

/** Does one change on a map of names. */
export function applyChange(names: Map<string, FileNode>, { name, node }: NameChange): void {
  if (node === undefined) names.delete(name);
  else names.set(name, node);
}

/** The changes that no `syncDirectory` has made durable yet. */
export class PendingChanges {
  #units: NameChangeUnit[] = [];

  get units(): readonly NameChangeUnit[] {
    return this.#units;
  }

  /** Makes a change visible, and remembers that it is not durable. */
  add(unit: NameChangeUnit): void {
    for (const change of unit) applyChange(change.directory.live, change);
    this.#units.push(unit);
  }

  /** Remembers a change that is visible already; for copies. */
  restore(unit: NameChangeUnit): void {
    this.#units.push(unit);
  }

  /** Makes the changes in `directory` durable. */
  sync(directory: Directory): void {
    const touched = new Set([directory]);
    const taken = new Set<NameChangeUnit>();
    // Backwards, so that a rename between two directories also takes what happened before in the other one.
    for (let index = this.#units.length - 1; index >= 0; index -= 1) {
      const unit = this.#units[index] as NameChangeUnit;
      if (!unit.some((change) => touched.has(change.directory))) continue;
      taken.add(unit);
      for (const change of unit) touched.add(change.directory);
    }
    if (taken.size === 0) return;
    const kept: NameChangeUnit[] = [];
    for (const unit of this.#units) {
      if (!taken.has(unit)) kept.push(unit);
      else for (const change of unit) applyChange(change.directory.synced, change);
    }
    this.#units = kept;
  }
}
