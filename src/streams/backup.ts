/**
 * Backups of an open store, and their way back.
 *
 *   flush (everything acknowledged before the call is in tables) ──> hold the version ──> link its tables, copy the rest
 *     ──> sync ──> rename ──> let go of the version
 *
 * Writers are not held up: the flush goes through the write pipeline as any other, and what it has made into tables is one
 * moment, whatever is written beside it.
 */
import { AbortedError, ClosedError, InvalidArgumentError } from '../errors.ts';
import type { SequenceNumber } from '../model.ts';
import { NewDirectory } from '../storage/backup/new-directory.ts';
import type { PlaceCounter } from '../storage/backup/place-file.ts';
import { checkWhole, inUse, restoreBackup, stampOf } from '../storage/backup/restore-backup.ts';
import { backupBytes, type BackupMoment, writeBackup } from '../storage/backup/write-backup.ts';
import { flag } from '../storage/check-option.ts';
import type { FileSystem } from '../storage/file-system/file-system.ts';
import { NodeFileSystem } from '../storage/file-system/node-file-system.ts';
import type { LogArchive } from '../storage/history/log-archive.ts';
import type { Tree } from '../storage/tree.ts';
import { verifyDatabase } from '../storage/verify/verify-database.ts';
import { checkSettings } from './check-settings.ts';
import { type Clock, systemClock, yieldTurn } from './clock.ts';
import { type Operation, operationOf } from './operation.ts';

/** How far a backup or a restore has come. */
export interface BackupProgress {
  readonly bytes: number;
  readonly bytesTotal: number;
}

/** How to back up. All are optional. */
export interface BackupOptions {
  /** Whether history goes along, so that cursors and consumers go on in the copy. Default true. */
  readonly history?: boolean | undefined;
  /**
   * Whether files that never change again may be shared with the original, by hard links, where the file system makes
   * them. A shared file that rots is bad in both. Default true; false copies everything.
   */
  readonly hardLinks?: boolean | undefined;
  /** Ends the backup with an `AbortedError`; nothing is left. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: BackupProgress) => void) | undefined;
}

/** What was backed up, or restored. */
export interface BackupReport {
  /** The new directory's absolute name. */
  readonly location: string;
  /** Its moment: it holds every write up to this one, and none behind it. */
  readonly sequence: SequenceNumber;
  /** Files linked and copied, without those that were written anew. */
  readonly files: number;
  readonly linkedBytes: number;
  readonly copiedBytes: number;
}

/** How to restore. All are optional. */
export interface RestoreOptions extends Omit<BackupOptions, 'history'> {
  /** Where the files are. Default: the operating system's. */
  readonly fileSystem?: FileSystem | undefined;
  /** Time and chance, for tests. Default: the system's. */
  readonly clock?: Clock | undefined;
}

/** How far epochs of copies lie apart, at most: chance keeps them different, and 8,000 copies of copies fit. */
const EPOCH_JUMP_MAX = 2 ** 40;

const nextEpochBy =
  (clock: Clock) =>
  (epoch: number): number =>
    Math.min(Number.MAX_SAFE_INTEGER - 1, epoch + 2 + Math.floor(clock.random() * EPOCH_JUMP_MAX));

/** Checked at the call. */
export interface CheckedBackup {
  readonly hasHistory: boolean;
  readonly mayLink: boolean;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: ((progress: BackupProgress) => void) | undefined;
}

/** @throws InvalidArgumentError */
export function checkBackup(directory: unknown, options: BackupOptions): CheckedBackup {
  checkPath('directory', directory);
  checkSettings('options', options);
  const onProgress: unknown = options.onProgress;
  if (onProgress !== undefined && typeof onProgress !== 'function') {
    throw new InvalidArgumentError('onProgress', 'a function', onProgress);
  }
  return {
    hasHistory: flag('history', options.history, true),
    mayLink: flag('hardLinks', options.hardLinks, true),
    signal: options.signal,
    onProgress: options.onProgress,
  };
}

function checkPath(name: string, path: unknown): void {
  if (typeof path !== 'string' || path === '') throw new InvalidArgumentError(name, 'the path of a directory', path);
}

export interface BackupParts {
  readonly tree: Tree;
  readonly archive: LogArchive;
  readonly clock: Clock;
  /** Resolves when everything acknowledged before is in tables. */
  readonly flush: () => Promise<void>;
}

/** The backups of a store that are under way. */
export class Backups {
  readonly #parts: BackupParts;
  readonly #closing = new AbortController();
  readonly #running = new Set<Promise<unknown>>();

  constructor(parts: BackupParts) {
    this.#parts = parts;
  }

  run(directory: string, options: CheckedBackup): Promise<BackupReport> {
    const done = this.#backUp(directory, options);
    const ended = done.then(
      () => undefined,
      () => undefined, // the caller hears of it
    );
    this.#running.add(ended);
    void ended.then(() => this.#running.delete(ended));
    return done;
  }

  /** Those under way end with ClosedError, and take away what they wrote. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#running);
  }

  async #backUp(directory: string, options: CheckedBackup): Promise<BackupReport> {
    const { tree, flush, clock } = this.#parts;
    const { fileSystem } = tree;
    const target = await NewDirectory.begin(fileSystem, directory, { pid: process.pid, since: clock.date() });
    try {
      await flush();
      this.#throwIfOver(options.signal);
      const moment = this.#hold(options);
      const counter = counterOf(backupBytes(moment), options, () => this.#throwIfOver(options.signal));
      try {
        await writeBackup(moment, target.path, counter);
      } finally {
        tree.versions.release(moment.version);
        if (moment.version.holders === 0) tree.sweep();
      }
      this.#throwIfOver(options.signal);
      return reportOf(await target.finish(), moment.sequence, counter);
    } catch (error) {
      await target.abandon();
      throw error;
    }
  }

  /** All of it in one synchronous step, so that it is one moment. */
  #hold({ hasHistory, mayLink }: CheckedBackup): BackupMoment {
    const { tree, archive, clock } = this.#parts;
    const { versions, fileSystem, directory } = tree;
    const moment = archive.moment(versions.logNumber);
    return {
      fileSystem,
      directory,
      version: versions.hold(versions.current),
      sequence: versions.tableSequence,
      compactionPointers: [...versions.compactionPointers],
      history: hasHistory ? { archive, moment } : undefined,
      epoch: nextEpochBy(clock)(archive.epoch),
      mayLink,
    };
  }

  #throwIfOver(signal: AbortSignal | undefined): void {
    if (this.#closing.signal.aborted) throw new ClosedError('store');
    throwIfAborted(signal, 'the backup');
  }
}

/**
 * Makes a database out of a backup, or of any other that is closed: checks every byte of it, then copies it (by hard links
 * where it can) to a new place. The backup stays as it is, and can be restored again.
 *
 * @param from - a directory that nobody has open
 * @param to - a directory that is not there yet, or is empty
 * @throws (at the call) InvalidArgumentError
 * @returns fails with AlreadyExistsError, NotADatabaseError, CorruptionError (the first thing that was found; nothing is
 *   restored), LockedError (somebody wrote to it meanwhile, or restores to the same place), IoError, NoSpaceError, AbortedError
 */
export function restore(from: string, to: string, options: RestoreOptions = {}): Operation<BackupReport> {
  checkPath('from', from);
  const checked = checkBackup(to, options);
  const { fileSystem = new NodeFileSystem(), clock = systemClock, signal } = options;
  return operationOf(() => restoreTo(fileSystem, clock, from, to, checked), { name: 'the restore', signal });
}

async function restoreTo(
  fileSystem: FileSystem,
  clock: Clock,
  from: string,
  to: string,
  options: CheckedBackup,
): Promise<BackupReport> {
  const { signal, mayLink } = options;
  await NewDirectory.checkFree(fileSystem, to);
  const ports = { fileSystem, yieldTurn: () => yieldTurn(clock), onProgress: undefined, signal, findingsMax: 1000 };
  // The check tells more of what is wrong there than this would.
  const stamp = await stampOf(fileSystem, from).catch((error: unknown) => ({ error }));
  const report = await verifyDatabase(from, ports);
  checkWhole(report);
  if (typeof stamp !== 'string') throw stamp.error; // it was for a moment
  const { lastSequence, location, bytes } = report;
  const target = await NewDirectory.begin(fileSystem, to, { pid: process.pid, since: clock.date() });
  try {
    const counter = counterOf(bytes, options, () => throwIfAborted(signal, 'the restore'));
    const settings = { mayLink, lastSequence, nextEpoch: nextEpochBy(clock) };
    await restoreBackup(fileSystem, location, target.path, settings, counter);
    if ((await stampOf(fileSystem, location)) !== stamp) {
      throw inUse(location, 'it was written to while it was copied');
    }
    throwIfAborted(signal, 'the restore');
    return reportOf(await target.finish(), lastSequence, counter);
  } catch (error) {
    await target.abandon();
    throw error;
  }
}

function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted === true) throw new AbortedError(what, { cause: signal.reason });
}

function counterOf(bytesTotal: number, { onProgress }: CheckedBackup, check: () => void): PlaceCounter {
  let done = 0;
  return {
    files: 0,
    linkedBytes: 0,
    copiedBytes: 0,
    onBytes(bytes) {
      check();
      done += bytes;
      onProgress?.({ bytes: Math.min(done, bytesTotal), bytesTotal });
    },
  };
}

const reportOf = (location: string, sequence: number, counter: PlaceCounter): BackupReport => {
  const { files, linkedBytes, copiedBytes } = counter;
  return { location, sequence, files, linkedBytes, copiedBytes };
};
