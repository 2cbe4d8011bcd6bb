/** What every kind of source is read as. */
import type { Line } from '../batch-writer.ts';
import { Failure } from '../failure.ts';

/** Operations in the order of the source; nothing is read ahead but one chunk. */
export type LineSource = AsyncIterable<Line>;

/** A line that is not what the format says: nothing behind it was read. */
export class ImportError extends Failure {
  constructor(line: number, reason: string, options?: ErrorOptions) {
    super(`line ${line}: ${reason}`, undefined, options);
    this.name = 'ImportError';
  }
}

export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
