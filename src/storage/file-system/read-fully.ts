/** Reading exactly so many bytes, with the patience that a wobbling disk deserves and no more. */
import { CorruptionError, IoError } from '../../errors.ts';
import type { ReadableFile } from './file-system.ts';

/** Reads that fail with EIO are tried so many times in all: a path to the disk may come back. */
const READ_ATTEMPTS_MAX = 3;
/** A file open for reading, and the name that errors give it. */
export interface NamedFile {
  readonly file: ReadableFile;
  /** Relative to the database directory. */
  readonly name: string;
}

/**
 * Fills `into` from `position` on.
 *
 * @throws CorruptionError when the file ends before; IoError
 */
export async function readFully({ file, name }: NamedFile, into: Uint8Array, position: number): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return requireAll(name, await file.read(into, position), into, position);
    } catch (thrown) {
      if (!isTransient(thrown) || attempt === READ_ATTEMPTS_MAX) throw thrown;
    }
  }
}

/** The same on the calling thread. @throws also IoError (ENOSYS) where the file system cannot do that */
function readFullyNow({ file, name }: NamedFile, into: Uint8Array, position: number): void {
  for (let attempt = 1; ; attempt += 1) {
    try {
      if (file.readNow === undefined) throw new IoError('read', file.path, 'ENOSYS', 'failed');
      return requireAll(name, file.readNow(into, position), into, position);
    } catch (thrown) {
      if (!isTransient(thrown) || attempt === READ_ATTEMPTS_MAX) throw thrown;
    }
  }
}

function requireAll(name: string, count: number, into: Uint8Array, position: number): void {
  if (count === into.length) return;
  const reason = `the file ends here: only ${count} of ${into.length} bytes are there`;
  throw new CorruptionError(name, position + count, reason);
}

const isTransient = (thrown: unknown): boolean => thrown instanceof IoError && thrown.systemCode === 'EIO';

/** Fill `into` from `position` on. */
export interface ReadRequest {
  readonly into: Uint8Array;
  readonly position: number;
}

/** Asks for bytes, and goes on when it has them: written once, and run in both ways of reading. */
export type Reading<T> = Generator<ReadRequest, T, void>;

/** Runs it, reading in the background. @returns rejects as {@link readFully} */
export async function runReading<T>(source: NamedFile, reading: Reading<T>): Promise<T> {
  for (;;) {
    const step = reading.next();
    if (step.done === true) return step.value;
    await readFully(source, step.value.into, step.value.position);
  }
}

/** Runs it on the calling thread. @throws as {@link readFully}; IoError (ENOSYS) */
export function runReadingNow<T>(source: NamedFile, reading: Reading<T>): T {
  for (;;) {
    const step = reading.next();
    if (step.done === true) return step.value;
    readFullyNow(source, step.value.into, step.value.position);
  }
}
