type Row = readonly [string, string];
export function prefixOf(name: string): string;
export function lastKeyOf(name: string): string;
export function endOf(name: string): string;
export class Model {
  constructor(seed: string, name: string);
  rowsAfter(n: number): readonly Row[];
}
export function difference(found: readonly Row[], expected: readonly Row[]): string | undefined;
