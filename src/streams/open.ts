/** The doors: a database in a directory, and one in memory. */
import * as E from 'fp-ts/lib/Either.js';
import { Subject } from 'rxjs';
import { InvalidArgumentError } from '../errors.ts';
import { InlineExecutor, type TableJobExecutor } from '../storage/compaction/executor.ts';
import type { JobRunnerOptions } from '../storage/compaction/job-runner.ts';
import { WorkerExecutor } from '../storage/compaction/worker-executor.ts';
import type { FileSystem } from '../storage/file-system/file-system.ts';
import { MemoryFileSystem } from '../storage/file-system/memory-file-system.ts';
import { NodeFileSystem } from '../storage/file-system/node-file-system.ts';
import { openTree } from '../storage/open-tree.ts';
import { checkOptions, type EngineOptions, type GivenOptions } from '../storage/options.ts';
import { checkSettings } from './check-settings.ts';
import { type Clock, SLICE_MS, systemClock, yieldTurn } from './clock.ts';
import { Engine } from './engine.ts';
import type { EngineEvent } from './engine-events.ts';
import { type Operation, operationOf } from './operation.ts';
import { readOnlyHistory } from './read-only-history.ts';
import { Store } from './store.ts';

export interface OpenOptions extends GivenOptions {
  /** Where the files are. Default: the operating system's. */
  readonly fileSystem?: FileSystem | undefined;
  /** Time and chance. Default: the system's. For tests that are to run the same way each time. */
  readonly clock?: Clock | undefined;
  /** Ends the open with an `AbortedError`; a store that opens all the same is closed again. */
  readonly signal?: AbortSignal | undefined;
  /** Hears of what happens from the very beginning: also of what recovery had to leave out, which is before `store.events`. */
  readonly onEvent?: ((event: EngineEvent) => void) | undefined;
}

/**
 * Opens the database in a directory, and makes it if there is none.
 *
 * The directory is LevelDB's: real LevelDB opens what was written here, and the other way round, one at a time. One
 * store at a time has it open; the kernel frees the lock when the process ends, however it ends.
 *
 * @throws (at the call) InvalidArgumentError, OutOfRangeError for wrong options
 * @returns fails with LockedError (names the holder), CorruptionError (names file and place; nothing is deleted),
 *   NotADatabaseError, AlreadyExistsError, ComparatorMismatchError, IoError, NoSpaceError
 */
export function open(directory: string, options: OpenOptions = {}): Operation<Store> {
  if (typeof directory !== 'string' || directory === '') {
    throw new InvalidArgumentError('directory', 'the path of a directory', directory);
  }
  checkSettings('options', options);
  const onEvent: unknown = options.onEvent;
  if (onEvent !== undefined && typeof onEvent !== 'function') {
    throw new InvalidArgumentError('onEvent', 'a function', onEvent);
  }
  const checked = checkOptions(options);
  return operationOf(
    () =>
      openStore(directory, checked, options.fileSystem ?? new NodeFileSystem(options.clock ?? systemClock), options),
    {
      name: 'the open',
      signal: options.signal,
      // Nobody will ever close a store that nobody has.
      discard: (store) => store.close().subscribe({ error: () => undefined }),
    },
  );
}

/** A database that lives in memory and goes with it, for tests and caches: the same engine on another file system. */
export function openInMemory(options: OpenOptions = {}): Operation<Store> {
  return open('/memory', { ...options, fileSystem: options.fileSystem ?? new MemoryFileSystem() });
}

async function openStore(
  directory: string,
  options: EngineOptions,
  fileSystem: FileSystem,
  { onEvent, clock = systemClock }: OpenOptions,
): Promise<Store> {
  const events$ = new Subject<EngineEvent>();
  if (onEvent !== undefined) events$.subscribe({ next: onEvent, error: () => undefined }); // it never errs
  const turns = { fileSystem, sliceMs: SLICE_MS, now: () => clock.now(), yieldTurn: () => yieldTurn(clock) };
  const executor = executorFor(turns, options, events$);
  try {
    const opened = await openTree(directory, options, {
      fileSystem,
      // What is recovered becomes tables here: whoever opens waits for it, and a thread would have to be started first.
      executor: new InlineExecutor(turns),
      pid: process.pid,
      now: clock.date(),
      newDatabaseId: () => newDatabaseId(clock),
      yieldTurn: () => yieldTurn(clock),
    })();
    if (E.isLeft(opened)) throw opened.left;
    const { recovery, historyLoss } = opened.right;
    const { torn } = recovery;
    if (torn !== undefined) {
      const { file, offset, bytesDropped, reason, corruption } = torn;
      events$.next({ type: 'logTailDropped', file, offset, bytesDropped, reason, error: corruption });
    }
    if (historyLoss !== undefined) events$.next({ type: 'historyLost', ...historyLoss, error: undefined });
    const idOf = (): string => newDatabaseId(clock);
    const openHistory = options.readOnly
      ? () => readOnlyHistory({ directory, options, fileSystem, clock, events: events$, newDatabaseId: idOf })
      : undefined;
    return new Store(new Engine(opened.right, executor, clock, events$, openHistory));
  } catch (error) {
    await executor.close();
    throw error;
  }
}

/** 128 bits of chance, as 32 hexadecimal digits. */
function newDatabaseId(clock: Clock): string {
  const digits = (): string =>
    Math.floor(clock.random() * 2 ** 32)
      .toString(16)
      .padStart(8, '0');
  return digits() + digits() + digits() + digits();
}

function executorFor(turns: JobRunnerOptions, options: EngineOptions, events$: Subject<EngineEvent>): TableJobExecutor {
  if (options.worker === 'off' || !turns.fileSystem.isReachableFromWorkers) return new InlineExecutor(turns);
  return new WorkerExecutor({
    ...turns,
    onFallback: (error) => events$.next({ type: 'workerUnavailable', error }),
  });
}
