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

/** What the engine takes (docs/guarantees.md): said here with the line, and before anything behind it is written. */
const KEY_BYTES_MAX = 64 * 1024;
const DELETED_KEY_BYTES_MAX = 16 * 1024 * 1024;
const OWN_PREFIX = '!_alluvium!';

/** @returns why the store would refuse the line, if it would */
export function refusalOf({ type, key }: Pick<Line, 'type' | 'key'>): string | undefined {
  const bytesMax = type === 'delete' ? DELETED_KEY_BYTES_MAX : KEY_BYTES_MAX;
  if (key.length > bytesMax) {
    return `its key is ${key.length} bytes long, and no more than ${bytesMax} can be ${type === 'delete' ? 'deleted' : 'set'}.`;
  }
  const beginning = typeof key === 'string' ? key : Buffer.from(key.subarray(0, OWN_PREFIX.length)).toString('latin1');
  return beginning.startsWith(OWN_PREFIX)
    ? `its key begins with "${OWN_PREFIX}", which is the store's own.`
    : undefined;
}

/** @throws ImportError */
export function requireStorable(line: Pick<Line, 'type' | 'key'>, number: number): void {
  const refusal = refusalOf(line);
  if (refusal !== undefined) throw new ImportError(number, refusal);
}

export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
