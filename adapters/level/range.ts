/** Ranges as abstract-level hands them over, and where a seek leads within one. */
import type { Bytes, KeyRange } from 'alluvium';
import { bytesOf, type Formatted, pinned } from './format.ts';

/** `limit` is -1 where there is none. */
export interface PrivateRange {
  readonly gt?: Formatted | undefined;
  readonly gte?: Formatted | undefined;
  readonly lt?: Formatted | undefined;
  readonly lte?: Formatted | undefined;
  readonly reverse: boolean;
  readonly limit: number;
}

/** One bound a side, so that a seek has to look at no more: `gte` wins over `gt`, and `lte` over `lt`, as in the store. */
export function storeRange({ gt, gte, lt, lte }: Partial<PrivateRange>): KeyRange {
  return {
    ...(gte !== undefined ? { gte: pinned(gte) } : gt !== undefined ? { gt: pinned(gt) } : {}),
    ...(lte !== undefined ? { lte: pinned(lte) } : lt !== undefined ? { lt: pinned(lt) } : {}),
  };
}

export const storeLimit = (limit: number): number => (limit < 0 ? Infinity : limit);

/** The part of the range from `target` on, in the direction of the walk; `undefined` if it leads out of the range. */
export function rangeFrom(range: KeyRange, target: Bytes, isReverse: boolean): KeyRange | undefined {
  if (!isWithin(range, target)) return undefined;
  if (isReverse) return { gt: range.gt, gte: range.gte, lte: target };
  return { gte: target, lt: range.lt, lte: range.lte };
}

function isWithin({ gt, gte, lt, lte }: KeyRange, target: Bytes): boolean {
  const key = bytesOf(target);
  const order = (bound: Bytes): number => Buffer.compare(key, bytesOf(bound));
  return (
    (gt === undefined || order(gt) > 0) &&
    (gte === undefined || order(gte) >= 0) &&
    (lt === undefined || order(lt) < 0) &&
    (lte === undefined || order(lte) <= 0)
  );
}
