/** Opens a database, or attaches to the process that has it open. */
import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { AlreadyExistsError, InvalidArgumentError, type OpenOptions, OutOfRangeError } from 'alluvium';
import { argumentCheck } from './argument-check.ts';
import { AttachedStore } from './attached-store.ts';
import type { OperationFace } from './face.ts';
import { Link } from './link.ts';
import { operation } from './operation.ts';

export interface AttachOptions extends OpenOptions {
  /**
   * False: nobody attaches to this process, and it attaches to nobody: where the database is open elsewhere, that is
   * LockedError at once. So it is in any case with `readOnly`, and with a `fileSystem` of one's own. Default true.
   */
  readonly attach?: boolean | undefined;
  /**
   * How long to wait, in milliseconds, for a process that has the database locked to let others attach: it may be starting,
   * or closing. Then LockedError. 0 to 1 hour; default 5,000.
   */
  readonly attachMs?: number | undefined;
  /**
   * How long calls wait, in milliseconds, for the next process that has the database when the one before has gone. Then
   * TakeOverError; the next call tries again. 0 to 1 hour; default 10,000.
   */
  readonly takeOverMs?: number | undefined;
  /**
   * How many calls may wait to be sent to the process that has the store, while the way there is full or nobody has it; more
   * fail with BufferOverflowError. What streams and snapshots ask for once they were let in is not counted. 1 to 16,777,216;
   * default 65,536.
   */
  readonly waitingRequestsMax?: number | undefined;
}

const WAITING_REQUESTS_MAX: number = 2 ** 24;
const WAIT_MS_MAX: number = 60 * 60 * 1000;

/**
 * Opens the database in a directory and lets other processes attach to it, over a socket that only this user may use; or
 * attaches, if another process has it. Either way it is the same store with the same calls. When the owner goes away, however
 * it does, one of those who are attached takes over, and the others attach to that one.
 *
 * Options of the engine are the owner's: whoever attaches takes the store as it is open, and uses its own when it takes over.
 *
 * @throws (at the call) InvalidArgumentError, OutOfRangeError
 * @returns fails as `open`; LockedError where the holder does not let others attach; AttachVersionError
 */
export function openOrAttach(location: string, options: AttachOptions = {}): OperationFace<AttachedStore> {
  if (typeof location !== 'string' || location === '') {
    throw new InvalidArgumentError('location', 'the path of a directory', location);
  }
  const { attach = true, attachMs = 5_000, takeOverMs = 10_000, waitingRequestsMax = 65_536, ...openOptions } = options;
  if (typeof attach !== 'boolean') throw new InvalidArgumentError('attach', 'true or false', attach);
  checkWait('attachMs', attachMs);
  checkWait('takeOverMs', takeOverMs);
  checkCount('waitingRequestsMax', waitingRequestsMax, WAITING_REQUESTS_MAX);
  const absolute = options.fileSystem === undefined ? resolve(location) : location;
  const isServed = attach && options.fileSystem === undefined && options.readOnly !== true;
  return operation((sink) => {
    // Absolute: it is looked for again at a take-over, wherever the process may have gone meanwhile.
    const link = new Link(absolute, { openOptions, attachMs, takeOverMs, isServed }, waitingRequestsMax);
    begin(absolute, link, openOptions).then(
      (store) => sink.succeed(store),
      (error: unknown) => sink.fail(error),
    );
    return undefined;
  });
}

async function begin(location: string, link: Link, options: OpenOptions): Promise<AttachedStore> {
  await link.begin();
  const checker = link.store === undefined ? await argumentCheck() : undefined;
  const directory = link.store?.location ?? (await realpath(location));
  if (link.role === 'attached' && options.errorIfExists === true) {
    await link.close();
    throw new AlreadyExistsError(directory);
  }
  return new AttachedStore(directory, link, checker, options.durability);
}

function checkWait(name: string, ms: unknown): void {
  if (typeof ms !== 'number') throw new InvalidArgumentError(name, 'a number of milliseconds', ms);
  if (!(ms >= 0 && ms <= WAIT_MS_MAX)) throw new OutOfRangeError(name, `0 to ${WAIT_MS_MAX} (an hour)`, ms);
}

function checkCount(name: string, count: unknown, most: number): void {
  if (typeof count !== 'number') throw new InvalidArgumentError(name, 'a number', count);
  if (!(Number.isInteger(count) && count >= 1 && count <= most)) {
    throw new OutOfRangeError(name, `a whole number in [1, ${most}]`, count);
  }
}
