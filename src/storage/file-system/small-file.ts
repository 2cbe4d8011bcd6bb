/** Reading a whole small file at once, with a bound that is checked before anything is allocated. */
import { CorruptionError } from '../../errors.ts';
import type { FileSystem } from './file-system.ts';

export async function readSmallFile(fileSystem: FileSystem, path: string, bytesMax: number): Promise<Uint8Array> {
  const file = await fileSystem.openForRead(path);
  try {
    const size = await file.size();
    if (size > bytesMax) {
      throw new CorruptionError(path.slice(path.lastIndexOf('/') + 1), 0, `${size} bytes where ${bytesMax} are enough`);
    }
    const bytes = new Uint8Array(size);
    const length = await file.read(bytes, 0);
    return bytes.subarray(0, length);
  } finally {
    await file.close();
  }
}
