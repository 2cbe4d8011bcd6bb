/** What a store should hold: a `Map`, and the list of all operations that were committed. */
import type { ScanOptions, WriteOperation } from '../../src/index.ts';

/** Bytes as a string with one character per byte: strings then sort as the bytes do. */
export const textOf = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString('latin1');
export const bytesOf = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'latin1'));

export type TextEntry = readonly [key: string, value: string];

/** What a change stream should have said of one operation. */
export interface ModelChange {
  readonly type: 'set' | 'delete';
  readonly key: string;
  readonly value: string | undefined;
  readonly sequence: number;
  readonly batchIndex: number;
  readonly batchSize: number;
}

export class SortedModel {
  readonly values: Map<string, string> = new Map();
  readonly changes: ModelChange[] = [];
  sequence = 0;

  write(operations: readonly WriteOperation[]): void {
    operations.forEach((operation, batchIndex) => {
      if (operation.type === 'check') throw new Error('the model knows no conditions');
      const key = textOf(operation.key);
      const value = operation.type === 'set' ? textOf(operation.value) : undefined;
      if (value === undefined) this.values.delete(key);
      else this.values.set(key, value);
      this.sequence += 1;
      const { sequence } = this;
      this.changes.push({ type: operation.type, key, value, sequence, batchIndex, batchSize: operations.length });
    });
  }

  /** The entries as they are now, in key order. */
  entries(): TextEntry[] {
    return [...this.values].sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

/** What a scan with these options gives of the entries. */
export function scanned(entries: readonly TextEntry[], options: ScanOptions): (TextEntry | string)[] {
  const { gt, gte, lt, lte, reverse = false, limit = Infinity, keys = true, values = true } = options;
  const isAbove = ([key]: TextEntry): boolean =>
    gte !== undefined ? key >= textOf(gte) : gt === undefined || key > textOf(gt);
  const isBelow = ([key]: TextEntry): boolean =>
    lte !== undefined ? key <= textOf(lte) : lt === undefined || key < textOf(lt);
  const found = entries.filter((entry) => isAbove(entry) && isBelow(entry));
  if (reverse) found.reverse();
  const taken = found.slice(0, limit);
  if (keys && values) return taken;
  return taken.map(([key, value]) => (keys ? key : value));
}
