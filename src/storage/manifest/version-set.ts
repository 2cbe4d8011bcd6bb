/**
 * The tree's shape over time: the current version, those that readers still hold, and the MANIFEST that makes each step
 * durable.
 *
 * A commit, in this order and never another:
 *   1. the directory is synced, so that the names of new tables are durable (their content was synced by who wrote them)
 *   2. the edit is appended to the MANIFEST and synced; or, if there is no good MANIFEST or it has grown too large, a new
 *      one is begun with the whole version and the edit, synced, and CURRENT is switched to it
 *   3. the new version becomes current
 *   4. only now may what the edit made superfluous be deleted, and only when no reader holds a version that names it
 *
 * After a failed write or sync of a MANIFEST nobody knows whether the edit is in it. So nothing is deleted, and the next
 * commit begins a new MANIFEST, which says everything again (rule R4; RocksDB learned it in #5379 and #6331).
 */
import * as E from 'fp-ts/lib/Either.js';
import { COMPARATOR_NAME } from '../codec/compare.ts';
import { manifestName, pathOf } from '../file-names.ts';
import type { FileSystem, WritableFile } from '../file-system/file-system.ts';
import { RecordWriter } from '../wal/record-writer.ts';
import { writeCurrent } from './current-file.ts';
import type { ManifestState } from './read-manifest.ts';
import type { CompactionPointer, LeveledTable } from './version-edit.ts';
import { encodeVersionEdit, type VersionEdit } from './version-edit.ts';
import type { Version } from './version.ts';

interface LiveManifest {
  readonly fileNumber: number;
  readonly file: WritableFile;
  readonly records: RecordWriter;
  /** Size at which it is replaced. */
  readonly bytesMax: number;
}

export class VersionSet {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  readonly #manifestBytesMax: number;
  readonly #held = new Set<Version>();
  readonly compactionPointers: (Uint8Array | undefined)[];
  #current: Version;
  #manifest: LiveManifest | undefined;
  #nextFileNumber: number;
  #logNumber: number;
  #commits: Promise<unknown> = Promise.resolve();
  /** The last sequence number given out. */
  lastSequence: number;
  /** The highest sequence number that is in tables, or was given out and is in none: what the MANIFEST says. */
  #tableSequence: number;

  /** @param fileNumberFloor - lowest number that no file in the directory has */
  constructor(
    fileSystem: FileSystem,
    directory: string,
    state: ManifestState,
    fileNumberFloor: number,
    manifestBytesMax: number,
  ) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
    this.#manifestBytesMax = manifestBytesMax;
    this.#current = state.version;
    this.#current.holders += 1;
    this.#held.add(this.#current);
    this.#nextFileNumber = Math.max(state.nextFileNumber, fileNumberFloor);
    this.#logNumber = state.logNumber;
    this.compactionPointers = [...state.compactionPointers];
    this.lastSequence = state.lastSequence;
    this.#tableSequence = state.lastSequence;
  }

  get current(): Version {
    return this.#current;
  }

  /** Logs with a lower number are in tables. */
  get logNumber(): number {
    return this.#logNumber;
  }

  /** All that the current version's tables hold is at or below this sequence number, and all up to it is in them. */
  get tableSequence(): number {
    return this.#tableSequence;
  }

  get manifestNumber(): number | undefined {
    return this.#manifest?.fileNumber;
  }

  allocateFileNumber(): number {
    const fileNumber = this.#nextFileNumber;
    this.#nextFileNumber += 1;
    return fileNumber;
  }

  /** Keeps the version's tables from being deleted until {@link release}. */
  hold(version: Version): Version {
    version.holders += 1;
    return version;
  }

  release(version: Version): void {
    version.holders -= 1;
    if (version.holders === 0) this.#held.delete(version);
  }

  /** File numbers of all tables that the current version or a held one names. */
  liveTables(): Set<number> {
    const live = new Set<number>();
    for (const version of this.#held) {
      for (const tables of version.levels) for (const { fileNumber } of tables) live.add(fileNumber);
    }
    return live;
  }

  /**
   * Makes the edit durable and its version the current one. Commits run one after the other, in the order of the calls.
   *
   * @throws IoError or NoSpaceError: the version stays what it was; the edit may or may not be found after a crash
   */
  commit(edit: VersionEdit): Promise<void> {
    const done = this.#commits.then(() => this.#commit(edit));
    this.#commits = done.catch(() => undefined); // the caller hears of it; the next commit goes on
    return done;
  }

  async #commit(edit: VersionEdit): Promise<void> {
    const next = this.#current.apply(edit);
    if (E.isLeft(next)) throw new Error(`a version edit does not apply: ${next.left}`); // a bug of ours
    if (edit.newTables !== undefined) await this.#fileSystem.syncDirectory(this.#directory);

    const old = this.#manifest;
    const logNumber = edit.logNumber ?? this.#logNumber;
    // Not what was given out last: recovery takes this number as "all up to here is in tables", and looks for the rest
    // in the logs. So it grows only with a commit that succeeds: else it would cover a table that no version names.
    const lastSequence = Math.max(this.#tableSequence, edit.lastSequence ?? 0);
    const step = { ...edit, logNumber, lastSequence };
    if (old === undefined || old.records.offset >= old.bytesMax) {
      // The old one is never written to again, whatever becomes of the new one, and all in it was synced.
      await old?.file.close().catch(() => undefined);
      await this.#beginManifest(step);
      if (old !== undefined) await this.#removeManifest(old);
    } else {
      await this.#append(old, [this.#complete(step)]);
    }

    this.#logNumber = logNumber;
    this.#tableSequence = lastSequence;
    for (const { level, key } of edit.compactionPointers ?? []) this.compactionPointers[level] = key;
    const previous = this.#current;
    this.#current = this.hold(next.right);
    this.#held.add(this.#current);
    this.release(previous);
  }

  /** The edit with the other counters that every edit carries, as they are now. */
  #complete(edit: VersionEdit): VersionEdit {
    return { ...edit, previousLogNumber: 0, nextFileNumber: this.#nextFileNumber };
  }

  /** The whole current version as one edit. */
  #snapshot(): VersionEdit {
    const newTables: LeveledTable[] = this.#current.levels.flatMap((tables, level) =>
      tables.map((table) => ({ level, table })),
    );
    const compactionPointers: CompactionPointer[] = this.compactionPointers.flatMap((key, level) =>
      key === undefined ? [] : [{ level, key }],
    );
    return { comparator: COMPARATOR_NAME, compactionPointers, newTables };
  }

  async #beginManifest(edit: VersionEdit): Promise<void> {
    this.#manifest = undefined; // if this fails, the next commit begins another one
    const fileNumber = this.allocateFileNumber();
    const file = await this.#fileSystem.create(pathOf(this.#directory, manifestName(fileNumber)));
    const records = new RecordWriter();
    const snapshot = encodeVersionEdit(this.#snapshot());
    // A limit that follows the size of the snapshot: with a fixed one, a large tree would begin a MANIFEST at each commit.
    const bytesMax = Math.max(this.#manifestBytesMax, 10 * snapshot.length);
    const manifest = { fileNumber, file, records, bytesMax };
    try {
      records.add(snapshot, 0, snapshot.length);
      await this.#append(manifest, [this.#complete(edit)]);
      await this.#fileSystem.syncDirectory(this.#directory);
      await writeCurrent(this.#fileSystem, this.#directory, fileNumber);
    } catch (error) {
      await file.close().catch(() => undefined); // the first error says more
      throw error;
    }
    this.#manifest = manifest;
  }

  /** Takes away a MANIFEST that CURRENT does not name any more. If that fails, the next open does it. */
  async #removeManifest({ fileNumber }: LiveManifest): Promise<void> {
    await this.#fileSystem.remove(pathOf(this.#directory, manifestName(fileNumber))).catch(() => undefined);
  }

  async #append(manifest: LiveManifest, edits: readonly VersionEdit[]): Promise<void> {
    const { file, records } = manifest;
    try {
      for (const edit of edits) {
        const bytes = encodeVersionEdit(edit);
        records.add(bytes, 0, bytes.length);
      }
      await file.append(records.staged());
      records.clear();
      await file.sync();
    } catch (error) {
      if (this.#manifest === manifest) {
        this.#manifest = undefined;
        await file.close().catch(() => undefined);
      }
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#commits;
    await this.#manifest?.file.close();
    this.#manifest = undefined;
  }
}
