/**
 * Admission: how long a write group waits for flush and compaction to catch up.
 *
 *   level-0 tables, debt:   trigger ........ slowdown ................ stop
 *   admission:              full speed       falls smoothly            nothing passes
 *
 * In the slowdown the log takes a rate that falls with the square of how far it has come, down to a trickle at the stop:
 * so that writers feel a growing resistance instead of a wall (LevelDB waits 1 ms for each write, and then stops for
 * seconds). A credit in bytes: each group moves the time from which the next may pass. Nothing sleeps; `paceByDebt`
 * holds one group on a timer, the event loop goes on, and everybody behind it waits in the bounded queue.
 *
 * Sources: Luo and Carey, "On Performance Stability in LSM-based Storage Systems" (VLDB 2019); SILK (USENIX ATC 2019).
 */
import { type Observable, Subject } from 'rxjs';
import type { PaceByDebtPort, StallKind } from '../operators/pace-by-debt.ts';
import { compactionDebt, levelBytesMax } from '../storage/compaction/picker.ts';
import type { Tree } from '../storage/tree.ts';
import type { EngineEvent } from './engine-events.ts';
import type { Health } from './health.ts';
import type { Clock } from './clock.ts';

/** Bytes per second at the beginning of the slowdown. About what flush and one compaction do on two cores. */
const RATE_MAX = 48 * 1024 * 1024;
/** ... and at its end: writers still move. */
const RATE_MIN = 256 * 1024;
/** Timers are no finer than this; shorter waits are saved up. */
const DELAY_MS_MIN = 1;
/** Debt, in levels' worth of level 1, at which the slowdown begins; at four times as much it is at its end. */
const DEBT_LEVELS = 8;

interface SizedGroup {
  readonly bytes: number;
}

export class Stall implements PaceByDebtPort<SizedGroup> {
  readonly #tree: Tree;
  readonly #health: Health;
  readonly #events: Subject<EngineEvent>;
  readonly #clock: Clock;
  readonly #changed = new Subject<void>();
  /** From when on the credit allows the next group. */
  #freeAt = 0;
  #stalledSince: number | undefined;
  /** Milliseconds that groups were held, in total. */
  stalledMs = 0;

  constructor(tree: Tree, health: Health, events: Subject<EngineEvent>, clock: Clock) {
    this.#tree = tree;
    this.#health = health;
    this.#events = events;
    this.#clock = clock;
  }

  get changed$(): Observable<unknown> {
    return this.#changed;
  }

  /** To be called after every change of the version or of the store's health. */
  reconsider(): void {
    this.#changed.next();
  }

  isStopped(): boolean {
    const { level0StopTrigger } = this.#tree.options;
    // Behind a failing compaction nobody waits: the pipeline refuses the write, and says why.
    if (this.#health.refusalOfWrite('compaction') !== undefined) return false;
    return this.#tree.versions.current.tables(0).length >= level0StopTrigger;
  }

  /** Whether level 0 is at its limit: what is admitted now could not be merged away. */
  get isFull(): boolean {
    return this.#tree.versions.current.tables(0).length >= this.#tree.options.level0StopTrigger;
  }

  delayMs(): number {
    if (this.#pressure() === 0) return 0;
    const delay = this.#freeAt - this.#clock.now();
    return delay < DELAY_MS_MIN ? 0 : delay;
  }

  /** A group has passed: takes its bytes from the credit. */
  admitted(bytes: number): void {
    const pressure = this.#pressure();
    if (pressure === 0) return;
    const rate = RATE_MIN + (RATE_MAX - RATE_MIN) * (1 - pressure) ** 2;
    this.#freeAt = Math.max(this.#freeAt, this.#clock.now()) + (1000 * bytes) / rate;
  }

  onWait(kind: StallKind): void {
    this.#stalledSince ??= this.#clock.now();
    const level0Tables = this.#tree.versions.current.tables(0).length;
    this.#events.next({ type: 'stallBegin', kind, level0Tables, waitingMemtables: this.#tree.waiting.length });
  }

  onResume(): void {
    if (this.#stalledSince === undefined) return;
    const durationMs = this.#clock.now() - this.#stalledSince;
    this.#stalledSince = undefined;
    this.stalledMs += durationMs;
    this.#events.next({ type: 'stallEnd', durationMs });
  }

  /** 0: no slowdown. 1: its very end. */
  #pressure(): number {
    const { options, versions } = this.#tree;
    const { level0SlowdownTrigger, level0StopTrigger } = options;
    const version = versions.current;
    const tables = version.tables(0).length;
    const span = Math.max(1, level0StopTrigger - level0SlowdownTrigger);
    const byTables = tables < level0SlowdownTrigger ? 0 : (tables - level0SlowdownTrigger + 1) / span;
    const debtLimit = DEBT_LEVELS * levelBytesMax(1, options);
    const byDebt = compactionDebt(version, options) / debtLimit - 1;
    return Math.min(1, Math.max(0, byTables, byDebt / 3));
  }
}
