/** Events of change streams as short lines, and readers that take just so many of them. */
import type { ChangeEvent } from '../../src/index.ts';
import { textOf } from './sorted-model.ts';

/** For instance `3 set key=value`, `4 delete key`, `skipped 2 up to 6`. */
export function lineOf(event: ChangeEvent): string {
  if (event.type === 'skipped') return `skipped ${event.count} up to ${event.sequence}`;
  if (event.type === 'snapshotEnd') return `snapshotEnd ${event.sequence}`;
  const value = event.type === 'delete' ? '' : `=${textOf(event.value)}`;
  return `${event.sequence} ${event.type} ${textOf(event.key)}${value}`;
}

export const linesOf = (events: readonly ChangeEvent[]): string[] => events.map(lineOf);

/** The first so many values; closes the stream. */
export async function taken<T>(values: AsyncIterable<T>, count: number): Promise<T[]> {
  const found: T[] = [];
  if (count > 0) {
    for await (const value of values) {
      found.push(value);
      if (found.length >= count) break;
    }
  }
  return found;
}

/** The next so many values of an iterator, which stays open. */
export async function next<T>(values: AsyncIterator<T>, count: number): Promise<T[]> {
  const found: T[] = [];
  while (found.length < count) {
    const { done, value } = (await values.next()) as IteratorResult<T, undefined>;
    if (done === true) throw new Error(`it ended after ${found.length} of ${count} values`);
    found.push(value);
  }
  return found;
}

/** Everything up to the end, and the error that ended it. */
export async function ending<T>(values: AsyncIterable<T>): Promise<{ readonly values: T[]; readonly error: unknown }> {
  const found: T[] = [];
  try {
    for await (const value of values) found.push(value);
    return { values: found, error: undefined };
  } catch (error) {
    return { values: found, error };
  }
}
