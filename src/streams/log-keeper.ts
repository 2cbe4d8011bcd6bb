/**
 * Everything about the log that is not appending to it: the switch to the next file, the sync of buffered writes within
 * their time, and what happens after it has failed.
 *
 * After a failed write or sync, nobody knows what is in the file (rule R3: the kernel may have dropped the pages, and will
 * say nothing the next time). So nothing more is written to it, and nothing is acknowledged on top of it:
 *
 *   log fails ──> writes are refused ──> a fresh log ──> memtables become tables, durable ──> old logs go ──> writes go on
 *                        ^                    |                      |
 *                        └──── back-off ──────┴──────── fails ───────┘
 *
 * What was acknowledged is in the memtables, so it is in the tables afterwards. What failed is in neither.
 */
import type { Subject } from 'rxjs';
import { NoSpaceError } from '../errors.ts';
import type { Tree } from '../storage/tree.ts';
import type { WriteAheadLog } from '../storage/wal/write-ahead-log.ts';
import { backOffMs, type Clock, Pause } from './clock.ts';
import type { EngineEvent } from './engine-events.ts';
import type { FlushStream } from './flush-stream.ts';
import type { Health } from './health.ts';
import type { Stall } from './stall.ts';

/** Room that must be there before the log is tried again on a full disk, besides what the memtables need: a manifest, and air. */
const RESERVE_BYTES = 1024 * 1024;

export interface LogKeeperParts {
  readonly tree: Tree;
  readonly log: WriteAheadLog;
  readonly health: Health;
  readonly stall: Stall;
  readonly flushes: FlushStream;
  readonly events: Subject<EngineEvent>;
  /** Sends a barrier through the write pipeline: the only place where the memtable may be changed for another one. */
  readonly barrier: () => Promise<void>;
  readonly closing: AbortSignal;
  readonly clock: Clock;
}

export class LogKeeper {
  readonly #parts: LogKeeperParts;
  #cancelSync: (() => void) | undefined;
  #mending: Promise<void> | undefined;

  constructor(parts: LogKeeperParts) {
    this.#parts = parts;
  }

  /** A new log and a new memtable; the full one goes to the flush. Waits while too many wait there already. */
  async rotate(capacityBytes: number): Promise<void> {
    const { tree, log, flushes, stall, closing } = this.#parts;
    if (tree.waiting.length >= tree.options.waitingMemtablesMax) {
      stall.onWait('stop');
      await flushes.hasRoom().finally(() => stall.onResume());
    }
    let logNumber: number;
    if (log.failure === undefined) {
      await log.prepareNext();
      logNumber = log.rotate();
    } else {
      logNumber = await log.replace();
    }
    flushes.add(tree.rotate(logNumber, capacityBytes));
    if (!closing.aborted) this.prepareNext();
  }

  /** The file for the next rotation. If it cannot be made now, the rotation tries again, and tells its writers. */
  prepareNext(): void {
    this.#parts.log.prepareNext().catch(() => undefined);
  }

  /** Makes what is buffered durable within the interval. */
  syncSoon(): void {
    const { log, tree, health, clock } = this.#parts;
    if (this.#cancelSync !== undefined || health.isLogBroken) return;
    this.#cancelSync = clock.setTimer(() => {
      this.#cancelSync = undefined;
      log.sync().then(
        () => {
          if (log.isDirty) this.syncSoon();
        },
        (error: unknown) => this.logFailed(error),
      );
    }, tree.options.syncIntervalMs);
  }

  logFailed(error: unknown): void {
    const { health, events } = this.#parts;
    if (health.isLogBroken) return;
    health.logFailed(error);
    events.next({ type: 'writesRefused', error });
    this.#mending = this.#mend(error);
  }

  async close(): Promise<void> {
    this.#cancelSync?.();
    await this.#mending;
  }

  async #mend(cause: unknown): Promise<void> {
    const { health, events, stall, closing, clock } = this.#parts;
    let error = cause;
    for (let attempt = 0; ; attempt += 1) {
      const retryInMs = backOffMs(clock, attempt);
      events.next({ type: 'backgroundError', during: 'log', error, retryInMs });
      await new Pause(clock, retryInMs, closing).over;
      if (closing.aborted) return;
      try {
        await this.#tryToMend(error);
        break;
      } catch (thrown) {
        error = thrown;
      }
    }
    health.logMended();
    events.next({ type: 'writesResumed' });
    stall.reconsider();
    this.prepareNext();
  }

  async #tryToMend(error: unknown): Promise<void> {
    const { tree, log, flushes, barrier } = this.#parts;
    if (error instanceof NoSpaceError) {
      const free = await tree.fileSystem.freeBytes(tree.directory);
      if (free < RESERVE_BYTES + tree.memtableBytes) throw error;
    }
    await barrier();
    await flushes.idle();
    await log.removeBelow(log.activeNumber);
    log.mend(tree.visibleSequence);
  }
}
