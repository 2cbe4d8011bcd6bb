/**
 * CURRENT: the one name that decides which MANIFEST counts, and the four steps that replace it (write aside, sync,
 * rename, sync the directory). Leaving out any of them loses the database in a power cut at the wrong moment.
 */
import { CorruptionError, IoError } from '../../errors.ts';
import { CURRENT, manifestName, parseFileName, pathOf, temporaryName } from '../file-names.ts';
import type { FileSystem } from '../file-system/file-system.ts';
import { readSmallFile } from '../file-system/small-file.ts';

/** A MANIFEST's name is 15 bytes up to file number 999,999, and never over 25. */
const CURRENT_BYTES_MAX = 64;

/** @returns the number of the live MANIFEST, or `undefined` when there is no CURRENT: no database, or not yet one */
export async function readCurrent(fileSystem: FileSystem, directory: string): Promise<number | undefined> {
  let text: string;
  try {
    const bytes = await readSmallFile(fileSystem, pathOf(directory, CURRENT), CURRENT_BYTES_MAX);
    text = new TextDecoder('latin1').decode(bytes);
  } catch (error) {
    if (error instanceof IoError && error.systemCode === 'ENOENT') return undefined;
    throw error;
  }
  // Anything but the exact form is refused: a path in here could point outside of the directory.
  const name = /^(MANIFEST-\d+)\n$/.exec(text)?.[1];
  const parsed = name === undefined ? undefined : parseFileName(name);
  if (parsed === undefined) throw new CorruptionError(CURRENT, 0, 'it does not name a MANIFEST');
  return parsed.fileNumber;
}

/** Makes the MANIFEST of that number the live one, durably. The MANIFEST and its name must be durable already. */
export async function writeCurrent(fileSystem: FileSystem, directory: string, fileNumber: number): Promise<void> {
  const aside = pathOf(directory, temporaryName(fileNumber));
  const file = await fileSystem.create(aside);
  try {
    await file.append(new TextEncoder().encode(`${manifestName(fileNumber)}\n`));
    await file.sync();
  } finally {
    await file.close();
  }
  await fileSystem.rename(aside, pathOf(directory, CURRENT));
  await fileSystem.syncDirectory(directory);
}
