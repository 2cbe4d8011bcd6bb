/**
 * How much history is kept: up to `historyBytesMax`, and as long as `historyAgeMsMax`; longer, while a durable consumer has
 * not settled it; and never more than `historyHardBytesMax`, whoever needs it. Nothing goes without a word: a `historyHeld`
 * event warns while there is time, a `historyDropped` names the consumers that have lost their place.
 */
import type { Subject } from 'rxjs';
import type { SequenceNumber } from '../model.ts';
import type { LogArchive } from '../storage/history/log-archive.ts';
import type { EngineOptions } from '../storage/options.ts';
import type { Clock } from './clock.ts';
import type { EngineEvent } from './engine-events.ts';

/** Part of the hard limit from which on a consumer that holds history is warned of. */
const WARNING_PART = 0.8;
/** How often age is looked at, when nothing is written. */
const LOOK_MS = 60_000;

export interface RetentionParts {
  readonly archive: LogArchive;
  readonly options: EngineOptions;
  readonly events: Subject<EngineEvent>;
  readonly clock: Clock;
  /** The consumers that the store knows of, and what each has settled. Asked once, before anything goes. */
  readonly loadConsumers: () => Promise<ReadonlyMap<string, SequenceNumber>>;
}

export class Retention {
  readonly #parts: RetentionParts;
  /** Everything up to here is settled, by consumer. */
  readonly #settled = new Map<string, SequenceNumber>();
  #loaded: Promise<void> | undefined;
  #running: Promise<void> = Promise.resolve();
  #isDue = false;
  #isStopped = false;
  /** The consumer that was warned of, until it has moved on. */
  #warnedOf: string | undefined;
  #cancelTimer: (() => void) | undefined;

  constructor(parts: RetentionParts) {
    this.#parts = parts;
    this.#lookLater();
  }

  /** A consumer has settled everything up to `sequence`; `undefined`: it is no more. */
  retain(consumer: string, sequence: SequenceNumber | undefined): void {
    if (sequence === undefined) this.#settled.delete(consumer);
    else this.#settled.set(consumer, sequence);
    if (this.#warnedOf === consumer) this.run();
  }

  /** Removes what may go, in the background. */
  run(): void {
    if (this.#isDue || this.#isStopped) return;
    this.#isDue = true;
    this.#running = this.#running.then(() => this.#prune()).catch(() => undefined); // the next run tries again
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer?.();
    await this.#running;
  }

  async #prune(): Promise<void> {
    this.#isDue = false;
    this.#loaded ??= this.#load();
    await this.#loaded.catch((error: unknown) => {
      this.#loaded = undefined; // the next run asks again: without an answer nothing goes
      throw error;
    });
    if (this.#isStopped) return;
    const { archive, options, clock } = this.#parts;
    const { historyBytesMax: bytesMax, historyAgeMsMax, historyHardBytesMax: hardBytesMax } = options;
    const slowest = this.#slowest();
    const neededFrom = slowest === undefined ? Infinity : slowest.sequence + 1;
    const limits = { bytesMax, timeMin: clock.date().getTime() - historyAgeMsMax, neededFrom };
    await archive.prune({ ...limits, hardBytesMax: Infinity });
    this.#warn(slowest?.consumer); // before the hard limit acts, however fast that comes
    await archive.prune({ ...limits, hardBytesMax });
    if (archive.start > neededFrom) this.#tellOfDrop();
  }

  /** What is over the limit now is held by `consumer`, the slowest; `undefined`: there is none. */
  #warn(consumer: string | undefined): void {
    const { archive, options, events } = this.#parts;
    const { historyBytesMax: bytesMax, historyHardBytesMax: hardBytesMax } = options;
    const isHeld = consumer !== undefined && archive.sealedBytes > bytesMax;
    if (!isHeld || archive.sealedBytes < WARNING_PART * hardBytesMax) {
      this.#warnedOf = undefined;
    } else if (this.#warnedOf !== consumer) {
      this.#warnedOf = consumer;
      events.next({ type: 'historyHeld', consumer, bytes: archive.sealedBytes, bytesMax: hardBytesMax });
    }
  }

  #slowest(): { readonly consumer: string; readonly sequence: SequenceNumber } | undefined {
    const { archive } = this.#parts;
    let slowest: { readonly consumer: string; readonly sequence: SequenceNumber } | undefined;
    for (const [consumer, sequence] of this.#settled) {
      if (sequence + 1 < archive.start) continue; // it has lost its place already
      if (slowest === undefined || sequence < slowest.sequence) slowest = { consumer, sequence };
    }
    return slowest;
  }

  #tellOfDrop(): void {
    const { archive, events } = this.#parts;
    const consumers = [...this.#settled].filter(([, sequence]) => sequence + 1 < archive.start).map(([name]) => name);
    for (const consumer of consumers) this.#settled.delete(consumer); // told of once
    events.next({ type: 'historyDropped', consumers, oldest: archive.start });
  }

  async #load(): Promise<void> {
    for (const [consumer, sequence] of await this.#parts.loadConsumers()) {
      if (!this.#settled.has(consumer)) this.#settled.set(consumer, sequence);
    }
  }

  #lookLater(): void {
    const { clock, options } = this.#parts;
    if (options.historyAgeMsMax === Infinity) return;
    this.#cancelTimer = clock.setTimer(
      () => {
        this.run();
        if (!this.#isStopped) this.#lookLater();
      },
      Math.min(LOOK_MS, options.historyAgeMsMax / 4),
    );
  }
}
