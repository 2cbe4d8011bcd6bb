/**
 * Whether a damaged table is the one that the MANIFEST names. Another one in its place may be whole, and then nothing in it
 * tells that what should be there is lost.
 */
import { compareBytes } from '../codec/compare.ts';
import { type TableMeta, userKeyOf } from '../manifest/table-meta.ts';
import type { RepairLoss } from './repair-report.ts';
import type { SalvagedTable } from './salvage-table.ts';

export const OTHER_TABLE: string =
  'it is not the table that the MANIFEST names, or an end of it is missing: what that held is lost, unless another file has it';

/** @param lost - pieces of this table that are told as lost; they may have had its first or its last key */
export function isThatTable(
  { smallest, largest, hasIndex }: SalvagedTable,
  fileBytes: number,
  known: TableMeta,
  lost: readonly RepairLoss[],
): boolean {
  // An index lies at the end of its table: one that can be read is of a table of just this size.
  if (hasIndex && fileBytes !== known.fileBytes) return false;
  const last = userKeyOf(known.largest);
  const isStartLost = lost.some(({ firstKey }) => firstKey === undefined);
  const isEndLost = lost.some(({ lastKey }) => lastKey === undefined || compare(lastKey, last) >= 0);
  if (smallest === undefined || largest === undefined) return isStartLost && isEndLost;
  return (isStartLost || isSame(smallest, known.smallest)) && (isEndLost || isSame(largest, known.largest));
}

const compare = (a: Uint8Array, b: Uint8Array): number => compareBytes(a, 0, a.length, b, 0, b.length);
const isSame = (a: Uint8Array, b: Uint8Array): boolean => compare(a, b) === 0;
