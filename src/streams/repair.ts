/** Repairs the files of a database that nobody has open. */
import { AbortedError, InvalidArgumentError } from '../errors.ts';
import { flag } from '../storage/check-option.ts';
import type { FileSystem } from '../storage/file-system/file-system.ts';
import { NodeFileSystem } from '../storage/file-system/node-file-system.ts';
import { repairDatabase } from '../storage/repair/repair-database.ts';
import type { RepairReport } from '../storage/repair/repair-report.ts';
import type { VerifyProgress } from '../storage/verify/verify-report.ts';
import { checkSettings } from './check-settings.ts';
import { type Clock, systemClock, yieldTurn } from './clock.ts';
import { type Operation, operationOf } from './operation.ts';

export type { RepairLoss, RepairReport } from '../storage/repair/repair-report.ts';

/** How to repair. All are optional. */
export interface RepairOptions {
  /** Whether only to tell what would be done: the same report, and nothing is written. Default false. */
  readonly dryRun?: boolean | undefined;
  /** Where the files are. Default: the operating system's. */
  readonly fileSystem?: FileSystem | undefined;
  /** The date in the name of the directory for what is set aside. Default: the system's. */
  readonly clock?: Clock | undefined;
  /** Ends the repair with an `AbortedError`: the database is then as it was, or repaired. */
  readonly signal?: AbortSignal | undefined;
  /** Told how far the examination has come, which is most of the work. */
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

/**
 * Brings back all that can be read of a damaged database, and tells what could not be: file, bytes, and between which keys.
 *
 * Nothing is deleted: what is replaced is moved into `lost/<date and time>/`. Make a dry run first; it gives the same report.
 * Tables that are whole stay as they are, if the MANIFEST is; logs that are whole, too. Afterwards `verify` finds the
 * database whole, and real LevelDB opens it.
 *
 * Change streams: history stays if nothing of MANIFEST, logs and history itself was damaged. Else it begins anew, and the
 * database is another one for cursors: better a cursor that is refused than changes that never were.
 *
 * @throws (at the call) InvalidArgumentError
 * @returns fails with NotADatabaseError, LockedError (it is open; a dry run does not ask), ComparatorMismatchError, IoError,
 *   NoSpaceError (what is rewritten needs room), AbortedError
 */
export function repair(location: string, options: RepairOptions = {}): Operation<RepairReport> {
  if (typeof location !== 'string' || location === '') {
    throw new InvalidArgumentError('location', 'the path of a directory', location);
  }
  checkSettings('options', options);
  const { fileSystem = new NodeFileSystem(), clock = systemClock, signal, onProgress } = options;
  const isDryRun = flag('dryRun', options.dryRun, false);
  const callback: unknown = onProgress;
  if (callback !== undefined && typeof callback !== 'function') {
    throw new InvalidArgumentError('onProgress', 'a function', callback);
  }
  // The signal ends the work, and with it the operation: whoever hears of it may begin again at once, and finds no lock.
  return operationOf(
    () => {
      if (signal?.aborted === true) return Promise.reject(new AbortedError('the repair', { cause: signal.reason }));
      const now = clock.date();
      const holder = { pid: process.pid, since: now };
      return repairDatabase(location, {
        fileSystem,
        yieldTurn: () => yieldTurn(clock),
        onProgress,
        signal,
        isDryRun,
        holder,
        now,
      });
    },
    { name: 'the repair' },
  );
}
