/**
 * The desk of a durable consumer: all that can be done about it without doing its work. Where it is, what is before it, its
 * dead letters; from another place on, paused, deleted. Needs its name and no handler, and whether it runs makes no
 * difference.
 */
import * as E from 'fp-ts/lib/Either.js';
import { ConsumerError, InvalidArgumentError } from '../errors.ts';
import type { Cursor, SequenceNumber } from '../model.ts';
import { checkSettings } from './check-settings.ts';
import type { ConsumerGroup } from './consumer-group.ts';
import { type CheckedSettings, checkFrom } from './consumer-options.ts';
import type { ConsumerRecord } from './consumer-record.ts';
import type { ConsumerFrom, ConsumerStorePort } from './consumer-source.ts';
import {
  type DeadLetter,
  deadLetterOfEntry,
  decodeDeadLetter,
  isDeadLetterId,
  letterKeyOf,
  lettersRange,
} from './dead-letters.ts';
import { mapOperation, mapStream } from './map-stream.ts';
import { type Operation, operationOf } from './operation.ts';
import { Stream } from './stream.ts';

/** How far a consumer is. */
export interface ConsumerPosition {
  /** Everything before it is settled: handled, or a dead letter. */
  readonly cursor: Cursor;
  /** The last change before it. */
  readonly sequence: SequenceNumber;
  /** Changes behind it that are settled, too, while an earlier one is at work. */
  readonly settledBeyond: number;
  readonly isPaused: boolean;
}

/** What a consumer has before it. */
export interface ConsumerLag {
  readonly changes: number;
  /** Of their keys and values. */
  readonly bytes: number;
  /** Since the first of them was committed; 0 if there is none. */
  readonly ageMs: number;
}

export interface Signalled {
  readonly signal?: AbortSignal | undefined;
}

/** What a desk stands on. */
export interface DeskSetup {
  readonly name: string;
  /** `undefined`: nobody said; then they are as they were when the consumer ran last. */
  readonly settings: CheckedSettings | undefined;
  readonly store: ConsumerStorePort;
  readonly groupOf: () => ConsumerGroup;
}

export class ConsumerDesk {
  readonly #setup: DeskSetup;

  /** @internal */
  constructor(setup: DeskSetup) {
    this.#setup = setup;
  }

  get name(): string {
    return this.#setup.name;
  }

  /** Where it is; `undefined`: it never ran. */
  position(): Operation<ConsumerPosition | undefined> {
    return operationOf(async () => {
      const record = await this.#setup.groupOf().position();
      return record === undefined ? undefined : positionOf(record);
    });
  }

  /**
   * What is before it, up to what is durable now; of one that never ran, what would be. A desk by name counts the keys that
   * the consumer wanted when it ran last.
   */
  lag(options: Signalled = {}): Operation<ConsumerLag> {
    checkSettings('options', options);
    const { signal } = options;
    const { settings, store, groupOf } = this.#setup;
    return operationOf(
      async () => {
        const { changes, bytes, oldestTimeMs } = await groupOf().lag(settings, signal);
        const ageMs = oldestTimeMs === undefined ? 0 : store.clock.date().getTime() - oldestTimeMs;
        return { changes, bytes, ageMs: Math.max(0, ageMs) };
      },
      { name: 'the lag', signal },
    );
  }

  /**
   * Goes on from another place, also while it runs: what is at work is ended, and what lies between is left out or
   * delivered again. Stored when the operation completes. Also what mends a record that cannot be read.
   */
  seek(from: ConsumerFrom): Operation<void> {
    const checked = checkFrom(from);
    return operationOf(async () => this.#setup.groupOf().seek(checked));
  }

  /**
   * Delivers nothing more until `resume`, also after a restart. What is at work is brought to its end. At a desk by name,
   * fails with ConsumerError if no consumer of that name ever ran.
   */
  pause(): Operation<void> {
    return operationOf(async () => this.#setup.groupOf().setPaused(true, this.#setup.settings));
  }

  resume(): Operation<void> {
    return operationOf(async () => this.#setup.groupOf().setPaused(false, this.#setup.settings));
  }

  /** Changes that could not be handled, in their order. Ends with ConsumerError at one that cannot be read. */
  deadLetters(options: Signalled = {}): Stream<DeadLetter> {
    checkSettings('options', options);
    const { name, store } = this.#setup;
    const entries = new Stream(() => store.scanReserved(lettersRange(name), options.signal), store.clock);
    return mapStream(entries, (entry) => letterOf(name, deadLetterOfEntry(entry)));
  }

  /** @param id - of a dead letter; `undefined` comes back if there is none of this id */
  deadLetter(id: string): Operation<DeadLetter | undefined> {
    const checked = checkId(id);
    const { name, store } = this.#setup;
    return mapOperation(store.entry(letterKeyOf(name, checked)), (entry) =>
      entry === undefined ? undefined : letterOf(name, decodeDeadLetter(checked, entry.value)),
    );
  }

  /**
   * Has one dead letter, or all of them, handled again: by the workers that run, or by the next that do; in order within
   * each partition. One that succeeds is gone, with its effects, in one commit; one that fails `attemptsMax` times stays.
   *
   * @returns how many it is about; it does not wait for them
   */
  replay(id?: string, options: Signalled = {}): Operation<number> {
    checkSettings('options', options);
    const checked = id === undefined ? undefined : checkId(id);
    const { signal } = options;
    return operationOf(async () => this.#setup.groupOf().replay(checked, signal), { name: 'the replay', signal });
  }

  /** Forgets one dead letter, or all of them. @returns how many there were */
  dropDeadLetter(id?: string, options: Signalled = {}): Operation<number> {
    checkSettings('options', options);
    const checked = id === undefined ? undefined : checkId(id);
    const { signal } = options;
    return operationOf(async () => this.#setup.groupOf().drop(checked, signal), {
      name: 'dropping dead letters',
      signal,
    });
  }

  /** Forgets its position and its dead letters. Fails with ConsumerError while it runs. */
  delete(): Operation<void> {
    return operationOf(async () => this.#setup.groupOf().delete());
  }
}

export function positionOf({ cursor, sequence, settled, isPaused }: ConsumerRecord): ConsumerPosition {
  const settledBeyond = settled.reduce((sum, value, index) => sum + (index % 2) * value, 0);
  return { cursor, sequence, settledBeyond, isPaused };
}

function checkId(id: unknown): string {
  if (isDeadLetterId(id)) return id;
  throw new InvalidArgumentError('id', 'the id of a dead letter', id);
}

function letterOf(consumer: string, letter: E.Either<string, DeadLetter>): DeadLetter {
  if (E.isRight(letter)) return letter.right;
  throw new ConsumerError(
    consumer,
    `a dead letter cannot be read: ${letter.left}. Drop it, or restore it from a backup.`,
  );
}
