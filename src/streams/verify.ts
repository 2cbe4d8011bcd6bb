/** Checks a database's files from the first byte to the last, without opening it, and without changing anything. */
import { InvalidArgumentError } from '../errors.ts';
import { whole } from '../storage/check-option.ts';
import type { FileSystem } from '../storage/file-system/file-system.ts';
import { NodeFileSystem } from '../storage/file-system/node-file-system.ts';
import { verifyDatabase } from '../storage/verify/verify-database.ts';
import type { VerifyProgress, VerifyReport } from '../storage/verify/verify-report.ts';
import { checkSettings } from './check-settings.ts';
import { type Clock, systemClock, yieldTurn } from './clock.ts';
import { type Operation, operationOf } from './operation.ts';

export type {
  VerifyCode,
  VerifyFinding,
  VerifyProgress,
  VerifyReport,
  VerifySeverity,
} from '../storage/verify/verify-report.ts';

/** How to check a database. All are optional. */
export interface VerifyOptions {
  /** Where the files are. Default: the operating system's. */
  readonly fileSystem?: FileSystem | undefined;
  /** Turns of the event loop, for tests. Default: the system's. */
  readonly clock?: Clock | undefined;
  /** Ends the check with an `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
  /** Told now and then how far the check has come. */
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
  /** Findings that are listed at most; the others are counted. 1 to 1,000,000; default 1,000. */
  readonly findingsMax?: number | undefined;
}

const FINDINGS_MAX = 1_000_000;

/**
 * Reads every file of the database in a directory, and tells all that does not fit: CURRENT, every edit of the MANIFEST,
 * every block of every table (checksum, order, bounds, filter, and bytes that belong to nothing), the levels, every record
 * of the logs, and history. Then it looks up every key that a scan of the tables gives, and compares.
 *
 * It changes nothing and takes no lock. Run it while the database is closed: beside a store that writes, it reports what
 * only that store's work makes look wrong, with a finding `changed`.
 *
 * What it cannot find: whole records that are missing from the end of the last log (they look as if they had never been
 * written), and whatever a matching checksum was made for.
 *
 * @throws (at the call) InvalidArgumentError, OutOfRangeError
 * @returns fails with NotADatabaseError, ComparatorMismatchError, AbortedError, IoError where the directory itself cannot
 *   be read; damage is no failure, but a finding
 */
export function verify(location: string, options: VerifyOptions = {}): Operation<VerifyReport> {
  if (typeof location !== 'string' || location === '') {
    throw new InvalidArgumentError('location', 'the path of a directory', location);
  }
  checkSettings('options', options);
  const { fileSystem = new NodeFileSystem(), clock = systemClock, signal, onProgress } = options;
  checkCallback('onProgress', onProgress);
  const findingsMax = whole('findingsMax', options.findingsMax, 1, FINDINGS_MAX, 1000);
  return operationOf(
    () => verifyDatabase(location, { fileSystem, yieldTurn: () => yieldTurn(clock), onProgress, signal, findingsMax }),
    { name: 'the check', signal },
  );
}

/** A plain-JavaScript caller may give anything. */
function checkCallback(name: string, callback: unknown): void {
  if (callback !== undefined && typeof callback !== 'function') {
    throw new InvalidArgumentError(name, 'a function', callback);
  }
}
