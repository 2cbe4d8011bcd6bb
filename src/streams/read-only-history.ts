/**
 * History for a store that is open for reading only. What history ends with is known after a recovery, which writes: so one
 * is done in earnest, on top of the directory, with all that it writes in memory. Done when somebody asks for history, and
 * once: who only reads values pays nothing.
 *
 * Memory: what the logs hold that are not in tables yet, up to three times; until the store closes.
 */
import * as E from 'fp-ts/lib/Either.js';
import type { Subject } from 'rxjs';
import { InlineExecutor } from '../storage/compaction/executor.ts';
import { AsideFileSystem } from '../storage/file-system/aside-file-system.ts';
import type { FileSystem } from '../storage/file-system/file-system.ts';
import type { LogArchive } from '../storage/history/log-archive.ts';
import { openTree } from '../storage/open-tree.ts';
import type { EngineOptions } from '../storage/options.ts';
import { type Clock, SLICE_MS, yieldTurn } from './clock.ts';
import type { EngineEvent } from './engine-events.ts';

export interface ReadOnlyHistoryParts {
  readonly directory: string;
  readonly options: EngineOptions;
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  /** Hears of changes that history has lost. */
  readonly events: Subject<EngineEvent>;
  readonly newDatabaseId: () => string;
}

/** @returns rejects with CorruptionError, IoError, as an open does that writes */
export async function readOnlyHistory(parts: ReadOnlyHistoryParts): Promise<LogArchive> {
  const { directory, options, clock, events, newDatabaseId } = parts;
  const fileSystem = new AsideFileSystem(parts.fileSystem);
  const turns = { sliceMs: SLICE_MS, now: () => clock.now(), yieldTurn: () => yieldTurn(clock) };
  const executor = new InlineExecutor({ fileSystem, ...turns });
  const writing = { ...options, readOnly: false, createIfMissing: false, errorIfExists: false };
  const opened = await openTree(directory, writing, {
    fileSystem,
    executor,
    pid: process.pid,
    now: clock.date(),
    newDatabaseId,
    yieldTurn: turns.yieldTurn,
  })();
  if (E.isLeft(opened)) throw opened.left;
  const { tree, log, archive, historyLoss } = opened.right;
  // Only history is wanted: the store has a tree of its own.
  await log?.close();
  await tree.close();
  if (archive === undefined) throw new Error('a store that can be written to has history'); // a bug of ours
  if (historyLoss !== undefined) events.next({ type: 'historyLost', ...historyLoss, error: undefined });
  return archive;
}
