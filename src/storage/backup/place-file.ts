/** A file under a second name: by a hard link, which costs nothing, or as a copy, synced. */
import { IoError } from '../../errors.ts';
import type { FileSystem, ReadableFile } from '../file-system/file-system.ts';
import { NO_LINKS } from '../file-system/no-links.ts';

const CHUNK_BYTES = 1024 * 1024;

/** Counts what was placed, tells of it, and says when to end. */
export interface PlaceCounter {
  linkedBytes: number;
  copiedBytes: number;
  files: number;
  /** @throws AbortedError */
  onBytes(bytes: number): void;
}

/**
 * Links `from` to `to`, or copies it where that cannot be.
 *
 * @throws IoError: ENOENT when `from` is not there; NoSpaceError
 */
export async function linkOrCopy(
  fileSystem: FileSystem,
  from: string,
  to: string,
  counter: PlaceCounter,
  mayLink: boolean,
): Promise<void> {
  if (mayLink) {
    try {
      await fileSystem.link(from, to);
      const { size } = await fileSystem.stat(to);
      counter.files += 1;
      counter.linkedBytes += size;
      counter.onBytes(size);
      return;
    } catch (error) {
      if (!(error instanceof IoError) || !NO_LINKS.has(error.systemCode)) throw error;
    }
  }
  const file = await fileSystem.openForRead(from);
  try {
    await copyTo(fileSystem, file, to, Infinity, counter);
  } finally {
    await file.close();
  }
}

/** Copies up to so many bytes of an open file into a new one, synced. */
export async function copyTo(
  fileSystem: FileSystem,
  from: ReadableFile,
  to: string,
  bytesMax: number,
  counter: PlaceCounter,
): Promise<void> {
  const size = Math.min(await from.size(), bytesMax);
  const into = await fileSystem.create(to);
  try {
    const chunk = new Uint8Array(Math.min(size, CHUNK_BYTES));
    for (let position = 0; position < size;) {
      const part = chunk.subarray(0, Math.min(chunk.length, size - position));
      const count = await from.read(part, position);
      if (count === 0) throw new IoError('read', from.path, 'EIO', 'failed'); // it has become shorter under us
      await into.append(part.subarray(0, count));
      position += count;
      counter.copiedBytes += count;
      counter.onBytes(count);
    }
    await into.sync();
    counter.files += 1;
  } finally {
    await into.close();
  }
}
