/** How a consumer is told what to do: its options, what its handler is given, and the checks at the call. */
import type { ObservableInput } from 'rxjs';
import { InvalidArgumentError, OutOfRangeError } from '../errors.ts';
import type { Bytes, Change, Durability, KeyRange, WriteOperation } from '../model.ts';
import { checkSettings } from './check-settings.ts';
import type { ConsumerFrom } from './consumer-source.ts';
import type { Operation } from './operation.ts';
import { boundsOf } from './scan-options.ts';

/** What the handler writes; it commits in the same batch as the consumer's position, or not at all. */
export interface Transaction {
  /** @throws ConsumerError when the delivery is over; otherwise as `store.set` */
  set(key: Bytes, value: Bytes): void;
  /** @throws as {@link Transaction.set} */
  delete(key: Bytes): void;
  /** Several lines, checks among them. @throws as `store.write` */
  write(operations: readonly WriteOperation[]): void;
  /**
   * The value of the key, this transaction's own writes included. What it read is checked when the delivery commits: if
   * somebody else wrote the key meanwhile, nothing is written, and the handler is run again at once.
   *
   * @returns fails with ConsumerError when the delivery is over
   */
  get(key: Bytes): Operation<Uint8Array | undefined>;
}

/** One attempt to have the handler do its work. What comes after it is over is ignored, but for the transaction's throws. */
export interface Delivery {
  /** 1 for the first. */
  readonly attempt: number;
  /** What is delivered, as it is stored. One, but for batches. */
  readonly changes: readonly Change[];
  /** Aborted when the delivery is over, in whatever way. */
  readonly signal: AbortSignal;
  /** Done: the effects may be committed. Ends the handler's subscription. */
  ack(): void;
  /** This attempt failed; the next one comes after `delayMs` (default: the back-off). */
  nack(options?: { readonly delayMs?: number | undefined }): void;
  /** Never try again: it becomes a dead letter now. */
  term(reason?: string): void;
  /** Still at it: `ackWaitMs` begins anew. */
  working(): void;
}

/** What consumers of single changes and of batches have in common. */
export interface ConsumerSettings<C> extends KeyRange {
  /** Where a consumer of this name begins the very first time. Default `'start'`: the oldest change that is kept. */
  readonly from?: ConsumerFrom | undefined;
  /** Deliveries that each worker has at work at once. 1 to 4,096; default 64. One, if there is `batch`. */
  readonly inFlightMax?: number | undefined;
  /**
   * Changes that are read and not settled: what a slow one may be overtaken by. At least `inFlightMax` and
   * `batch.changesMax`, at most 65,536; default 1,024, or those if they are more.
   */
  readonly aheadMax?: number | undefined;
  /** Changes that give the same are handled one after the other, in order. Default: the key. Not with `batch`. */
  readonly partitionBy?: ((change: C) => string | number) | undefined;
  /** Default `'onCompletion'`: a delivery is done when what the handler gave completes. `'manual'`: when it is told so. */
  readonly ack?: 'onCompletion' | 'manual' | undefined;
  /** A delivery that takes longer has failed, unless it says `working()`. 1 to 86,400,000 milliseconds; default 30,000. */
  readonly ackWaitMs?: number | undefined;
  /** Failed attempts after which a change becomes a dead letter. 1 to 1,000, or Infinity; default 5. */
  readonly attemptsMax?: number | undefined;
  /** The pause after the first failed attempt, and the longest; it doubles each time, with jitter. Default 100 and 30,000. */
  readonly backOff?: { readonly firstMs?: number | undefined; readonly longestMs?: number | undefined } | undefined;
  /** Of the consumer's commits. Default: the store's. */
  readonly durability?: Durability | undefined;
}

/** A consumer whose handler takes change by change. */
export interface ConsumerOptions<C = Change> extends ConsumerSettings<C> {
  readonly batch?: undefined;
  /** Does the work. Done when what it gives completes; a throw, a rejection or an error is a failed attempt. */
  // eslint-disable-next-line @typescript-eslint/no-invalid-void-type -- a handler may give nothing, and then it is done
  readonly handle: (change: C, transaction: Transaction, delivery: Delivery) => ObservableInput<unknown> | void;
}

/** When a batch is delivered: as soon as it is full, or when nothing more came for `idleMs`. */
export interface BatchSettings {
  /** 1 to 10,000. */
  readonly changesMax: number;
  /** 0 to 60,000 milliseconds; default 0: what is there. */
  readonly idleMs?: number | undefined;
}

/**
 * A consumer whose handler takes batches, one at a time. The last attempt of a batch that keeps failing is made change by
 * change, so that one bad change takes no others into the dead letters.
 */
export interface BatchConsumerOptions<C = Change> extends ConsumerSettings<C> {
  readonly batch: BatchSettings;
  readonly partitionBy?: undefined;
  /** As {@link ConsumerOptions.handle}; at least one change. */
  readonly handle: (
    changes: readonly C[],
    transaction: Transaction,
    delivery: Delivery,
    // eslint-disable-next-line @typescript-eslint/no-invalid-void-type -- a handler may give nothing, and then it is done
  ) => ObservableInput<unknown> | void;
}

/** The options with nothing left open, and without the functions: what all workers of one name must agree on. */
export interface CheckedSettings {
  readonly from: ConsumerFrom;
  readonly range: KeyRange;
  readonly batch: { readonly changesMax: number; readonly idleMs: number } | undefined;
  readonly inFlightMax: number;
  readonly aheadMax: number;
  readonly hasPartitions: boolean;
  readonly isManual: boolean;
  readonly ackWaitMs: number;
  readonly attemptsMax: number;
  readonly backOffFirstMs: number;
  readonly backOffLongestMs: number;
  readonly durability: Durability | undefined;
}

const NAME_FORM = /^[A-Za-z0-9._-]{1,128}$/;

/** @throws InvalidArgumentError */
export function checkConsumerName(name: unknown): string {
  if (typeof name === 'string' && NAME_FORM.test(name)) return name;
  throw new InvalidArgumentError('name', '1 to 128 characters of A-Z, a-z, 0-9, dot, underscore and hyphen', name);
}

/** @throws InvalidArgumentError, OutOfRangeError */
export function checkConsumerOptions<C>(options: ConsumerOptions<C> | BatchConsumerOptions<C>): CheckedSettings {
  const given: unknown = options;
  if (given === undefined) throw new InvalidArgumentError('options', 'an object', given);
  checkSettings('options', given);
  const { gt, gte, lt, lte, partitionBy, durability } = options;
  const handle: unknown = options.handle;
  if (typeof handle !== 'function') throw new InvalidArgumentError('handle', 'a function', handle);
  if (partitionBy !== undefined && typeof (partitionBy as unknown) !== 'function') {
    throw new InvalidArgumentError('partitionBy', 'a function', partitionBy);
  }
  boundsOf(options);
  const batch = checkBatchSettings(options.batch);
  if (batch !== undefined && partitionBy !== undefined) {
    throw new InvalidArgumentError('partitionBy', 'absent beside batch, whose changes are all in order', partitionBy);
  }
  if (durability !== undefined) oneOf('durability', durability, ['synced', 'buffered']);
  const ack: unknown = options.ack ?? 'onCompletion';
  oneOf('ack', ack, ['onCompletion', 'manual']);
  const inFlightMax = batch === undefined ? wholeIn('inFlightMax', options.inFlightMax ?? 64, 1, 4_096) : 1;
  const aheadMin = Math.max(inFlightMax, batch?.changesMax ?? 1);
  const backOff = checkBackOff(options.backOff === undefined ? {} : options.backOff);
  return {
    from: checkFrom(options.from ?? 'start'),
    range: { gt: copyOf(gt), gte: copyOf(gte), lt: copyOf(lt), lte: copyOf(lte) },
    batch,
    inFlightMax,
    aheadMax: wholeIn('aheadMax', options.aheadMax ?? Math.max(1_024, aheadMin), aheadMin, 65_536),
    hasPartitions: partitionBy !== undefined,
    isManual: ack === 'manual',
    ackWaitMs: wholeIn('ackWaitMs', options.ackWaitMs ?? 30_000, 1, DAY_MS),
    attemptsMax:
      options.attemptsMax === Infinity ? Infinity : wholeIn('attemptsMax', options.attemptsMax ?? 5, 1, 1_000),
    backOffFirstMs: backOff.firstMs,
    backOffLongestMs: backOff.longestMs,
    durability,
  };
}

const DAY_MS = 86_400_000;

/** Of all that workers of one name share; equal where they may work together. */
export function fingerprintOf({ range, ...settings }: CheckedSettings): string {
  const { gt, gte, lt, lte } = range;
  const others = { ...settings, from: undefined }; // where the very first one began is history
  const bounds = [gt, gte, lt, lte].map((key) => (key === undefined ? null : Buffer.from(key).toString('base64')));
  return JSON.stringify([bounds, others, others.attemptsMax === Infinity]);
}

/** @throws InvalidArgumentError, OutOfRangeError; what a cursor means is known only to the source */
export function checkFrom(from: unknown, name = 'from'): ConsumerFrom {
  if (typeof from === 'number') return wholeIn(name, from, 0, Number.MAX_SAFE_INTEGER);
  if (from instanceof Date && !Number.isNaN(from.getTime())) return new Date(from);
  if (from === 'now' || from === 'start') return from;
  if (typeof from === 'string' && isCursor(from)) return from;
  throw new InvalidArgumentError(name, "'now', 'start', a cursor, a sequence number or a valid Date", from);
}

const isCursor = (text: string): text is `al1.${string}` => text.startsWith('al1.');

/** A bound is looked at for as long as the consumer lives. */
const copyOf = (key: Bytes | undefined): Bytes | undefined => (key instanceof Uint8Array ? Uint8Array.from(key) : key);

function checkBatchSettings(batch: unknown): CheckedSettings['batch'] {
  if (batch === undefined) return undefined;
  if (typeof batch !== 'object' || batch === null) throw new InvalidArgumentError('batch', 'an object', batch);
  const { changesMax, idleMs = 0 } = batch as { readonly changesMax?: unknown; readonly idleMs?: unknown };
  return {
    changesMax: wholeIn('batch.changesMax', changesMax, 1, 10_000),
    idleMs: wholeIn('batch.idleMs', idleMs, 0, 60_000),
  };
}

function checkBackOff(backOff: unknown): { readonly firstMs: number; readonly longestMs: number } {
  if (typeof backOff !== 'object' || backOff === null) throw new InvalidArgumentError('backOff', 'an object', backOff);
  const { firstMs = 100, longestMs } = backOff as { readonly firstMs?: unknown; readonly longestMs?: unknown };
  const first = wholeIn('backOff.firstMs', firstMs, 0, DAY_MS);
  return {
    firstMs: first,
    longestMs: wholeIn('backOff.longestMs', longestMs ?? Math.max(first, 30_000), first, DAY_MS),
  };
}

/** @throws InvalidArgumentError, OutOfRangeError */
export function wholeIn(name: string, value: unknown, min: number, max: number): number {
  if (typeof value !== 'number') throw new InvalidArgumentError(name, 'a number', value);
  if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
  throw new OutOfRangeError(name, `a whole number from ${min} to ${max}`, value);
}

function oneOf(name: string, value: unknown, allowed: readonly string[]): void {
  if (typeof value === 'string' && allowed.includes(value)) return;
  throw new InvalidArgumentError(name, allowed.map((choice) => `'${choice}'`).join(' or '), value);
}
