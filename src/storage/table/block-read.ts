/**
 * From bytes in a file to the contents of a block: read all, compare the checksum, uncompress.
 *
 * A checksum that does not match is read once more, since a disk, a cable or memory may have erred only this time; then
 * it is reported. Nothing that fails its checksum is ever served.
 */
import { CorruptionError } from '../../errors.ts';
import { crc32c, unmaskCrc } from '../codec/crc32c.ts';
import { readFixed32 } from '../codec/fixed.ts';
import { Malformed } from '../codec/malformed.ts';
import { snappyBlock } from '../codec/snappy-block.ts';
import { type NamedFile, type Reading, runReading, runReadingNow } from '../file-system/read-fully.ts';
import { type BlockHandle, TRAILER_BYTES, TYPE_NONE, TYPE_SNAPPY } from './table-format.ts';

/** Whether the block stored at `bytes[start, start + size + trailer)` carries its own checksum. */
export function isChecksumRight(bytes: Uint8Array, start: number, size: number): boolean {
  const checksumStart = start + size + 1; // behind the contents and the type
  return unmaskCrc(readFixed32(bytes, checksumStart)) === crc32c(bytes, start, checksumStart);
}

/** Whether it is the one block whose checksum is known; `undefined`: nobody knows it. */
export function isExpected(bytes: Uint8Array, start: number, size: number, checksum: number | undefined): boolean {
  return checksum === undefined || readFixed32(bytes, start + size + 1) === checksum;
}

/**
 * The contents of the block stored at `bytes[start, start + size + trailer)`, its checksum known to match: a view if they
 * are stored as they are, else new bytes.
 *
 * @throws CorruptionError when the type is unknown, or the compressed bytes do not follow their format
 */
export function unpackBlock(
  bytes: Uint8Array,
  start: number,
  size: number,
  name: string,
  fileOffset: number,
): Uint8Array {
  const type = bytes[start + size] as number;
  if (type === TYPE_NONE) return bytes.subarray(start, start + size);
  if (type !== TYPE_SNAPPY) {
    throw new CorruptionError(name, fileOffset, `block is of unknown type ${type}; this engine reads 0 and 1 (snappy)`);
  }
  try {
    return snappyBlock(bytes, start, start + size);
  } catch (thrown) {
    throw corruptionFrom(thrown, name, fileOffset);
  }
}

/**
 * Reads one block into `stored`, and gives its contents.
 *
 * @param name - of the file, for errors
 * @param checksum - what must stand behind it, where that is known: another block, from another place, has another one
 * @param stored - of the length of the block and its trailer
 * @throws CorruptionError
 */
export function* blockReading(
  name: string,
  { offset, size }: BlockHandle,
  checksum?: number,
  stored: Uint8Array = new Uint8Array(size + TRAILER_BYTES),
): Reading<Uint8Array> {
  const isRight = (): boolean => isExpected(stored, 0, size, checksum) && isChecksumRight(stored, 0, size);
  yield { into: stored, position: offset };
  if (!isRight()) {
    yield { into: stored, position: offset };
    if (!isRight()) {
      const isOther = isChecksumRight(stored, 0, size);
      const reason = isOther ? 'another block is in the place of this one' : 'checksum of a block does not match';
      throw new CorruptionError(name, offset, `${reason}, also when read again`);
    }
  }
  return unpackBlock(stored, 0, size, name, offset);
}

/** The same, reading in the background. @returns rejects with CorruptionError or IoError */
export function readBlock(source: NamedFile, handle: BlockHandle, checksum?: number): Promise<Uint8Array> {
  return runReading(source, blockReading(source.name, handle, checksum));
}

/** For blocks that are read on this thread: one at a time. A block that is stored compressed leaves nothing in it. */
const stage = new Uint8Array(64 * 1024);

/** The same, read on the calling thread. @throws CorruptionError, IoError */
export function readBlockNow(source: NamedFile, handle: BlockHandle, checksum?: number): Uint8Array {
  const bytes = handle.size + TRAILER_BYTES;
  const stored = bytes <= stage.length ? stage.subarray(0, bytes) : new Uint8Array(bytes);
  const contents = runReadingNow(source, blockReading(source.name, handle, checksum, stored));
  return contents.buffer === stage.buffer ? contents.slice() : contents;
}

/** What a decoder threw, as the error that callers see; anything but `Malformed` stays what it is. */
export function corruptionFrom(thrown: unknown, name: string, fileOffset: number): unknown {
  if (!(thrown instanceof Malformed)) return thrown;
  return new CorruptionError(name, fileOffset, thrown.message, { cause: thrown });
}
