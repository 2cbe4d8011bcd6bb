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
      const count = await file.read(into, position);
      if (count === into.length) return;
      throw new CorruptionError(
        name,
        position + count,
        `the file ends here: only ${count} of ${into.length} bytes are there`,
      );
    } catch (thrown) {
      const isTransient = thrown instanceof IoError && thrown.systemCode === 'EIO';
      if (!isTransient || attempt === READ_ATTEMPTS_MAX) throw thrown;
    }
  }
}
