/** The many ways to say a range, as one query; wrong ones throw at the call. */
import { InvalidArgumentError, OutOfRangeError } from '../errors.ts';
import type { Bytes, Entry, KeyRange, SequenceNumber } from '../model.ts';
import { copyOut } from '../storage/read/copy-out.ts';
import type { VisibleIterator } from '../storage/read/visible-iterator.ts';
import { toBytes } from './key-buffer.ts';
import type { ScanBound, ScanQuery } from './scan-source.ts';
import { checkKey } from './write.ts';

export interface ScanOptions extends KeyRange {
  /** From the last key to the first. Default false. */
  readonly reverse?: boolean | undefined;
  /** Most entries to give. Default: all. */
  readonly limit?: number | undefined;
  /** False: give values only. Default true. */
  readonly keys?: boolean | undefined;
  /** False: give keys only. Default true. */
  readonly values?: boolean | undefined;
  /** Ends the scan with an `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

const copyKey = ({ keyBytes, keyStart, keyEnd }: VisibleIterator): Uint8Array => copyOut(keyBytes, keyStart, keyEnd);
const copyValue = ({ valueBytes, valueStart, valueEnd }: VisibleIterator): Uint8Array =>
  copyOut(valueBytes, valueStart, valueEnd);

export const selectEntry = (at: VisibleIterator): Entry => ({ key: copyKey(at), value: copyValue(at) });
export const selectPart = (part: 'key' | 'value'): ((at: VisibleIterator) => Uint8Array) =>
  part === 'key' ? copyKey : copyValue;

/** Which part of an entry the options ask for. */
export function partOf({ keys = true, values = true }: ScanOptions): 'entry' | 'key' | 'value' {
  if (keys && values) return 'entry';
  if (!keys && !values) throw new InvalidArgumentError('keys or values', 'true', false);
  return keys ? 'key' : 'value';
}

export function boundsOf({ gt, gte, lt, lte }: KeyRange): Pick<ScanQuery<unknown>, 'lower' | 'upper'> {
  return { lower: boundOf(gt, gte, 'gt', 'gte'), upper: boundOf(lt, lte, 'lt', 'lte') };
}

function boundOf(exclusive: unknown, inclusive: unknown, outer: string, inner: string): ScanBound | undefined {
  if (inclusive !== undefined) return { key: checkedKey(inclusive, inner), isInclusive: true };
  if (exclusive !== undefined) return { key: checkedKey(exclusive, outer), isInclusive: false };
  return undefined;
}

export function checkedKey(key: unknown, name: string): Uint8Array {
  checkKey(key, name);
  // A copy: the bound is looked at for as long as the scan lasts.
  return typeof key === 'string' ? toBytes(key) : Uint8Array.from(key as Uint8Array);
}

/** @param sequence - of the snapshot that the scan is called on, if it is */
export function queryOf<T>(
  options: ScanOptions,
  sequence: SequenceNumber | undefined,
  select: (at: VisibleIterator) => T,
): ScanQuery<T> {
  const { reverse = false, limit = Infinity, signal } = options;
  if (typeof reverse !== 'boolean') throw new InvalidArgumentError('reverse', 'true or false', reverse);
  if (typeof limit !== 'number') throw new InvalidArgumentError('limit', 'a number', limit);
  if (limit !== Infinity && (!Number.isSafeInteger(limit) || limit < 0)) {
    throw new OutOfRangeError('limit', 'a whole number from 0, or Infinity', limit);
  }
  return { ...boundsOf(options), isReverse: reverse, limit, sequence, signal, select };
}

/** `scan(start, end)` is `scan({ gte: start, lt: end })`. */
export function scanOptionsOf<Options extends ScanOptions>(
  startOrOptions: Bytes | Options | undefined,
  end: Bytes | undefined,
): Options | ScanOptions {
  if (startOrOptions === undefined || typeof startOrOptions === 'string' || startOrOptions instanceof Uint8Array) {
    return { gte: startOrOptions, lt: end };
  }
  const given: unknown = startOrOptions;
  if (typeof given !== 'object' || given === null)
    throw new InvalidArgumentError('scan', 'a key or options', startOrOptions);
  return startOrOptions;
}
