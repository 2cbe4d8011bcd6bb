/** Tables that are only their description, for tests of what decides over tables without opening them. */
import fc from 'fast-check';
import { encodeInternalKey } from '../../src/storage/codec/internal-key.ts';
import type { TableMeta } from '../../src/storage/manifest/table-meta.ts';
import { KIND_SET } from '../../src/storage/read/internal-iterator.ts';
import { bytesOf } from './sorted-model.ts';

export interface TableBounds {
  readonly first: string;
  readonly last: string;
  /** Sequence numbers of the first and the last entry. */
  readonly firstSequence?: number;
  readonly lastSequence?: number;
  readonly fileBytes?: number;
}

export function tableOf(fileNumber: number, bounds: TableBounds): TableMeta {
  const { first, last, firstSequence = 2, lastSequence = 1, fileBytes = 1000 } = bounds;
  return {
    fileNumber,
    fileBytes,
    smallest: encodeInternalKey(bytesOf(first), firstSequence, KIND_SET),
    largest: encodeInternalKey(bytesOf(last), lastSequence, KIND_SET),
  };
}

/** One letter or two, so that ranges meet, touch and contain each other. */
export const shortKey: fc.Arbitrary<string> = fc.string({
  unit: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
  minLength: 1,
  maxLength: 2,
});

export const fileNumbersOf = (tables: readonly TableMeta[]): number[] => tables.map(({ fileNumber }) => fileNumber);
