/**
 * Files that are replaced by a repair: each gets a second name in `lost/<date and time>/` before anything takes its place, and
 * loses the first one afterwards; so none is ever without a name.
 */
import { linkOrCopy } from '../backup/place-file.ts';
import { CURRENT, pathOf } from '../file-names.ts';
import type { FileSystem } from '../file-system/file-system.ts';
import { ARCHIVE_DIRECTORY } from '../history/history-names.ts';

/** All files of history, of whichever database; names relative to the directory. */
export async function historyFiles(fileSystem: FileSystem, location: string): Promise<readonly string[]> {
  const files: string[] = [];
  const archive = pathOf(location, ARCHIVE_DIRECTORY);
  for (const id of await fileSystem.list(archive).catch(() => [])) {
    for (const name of await fileSystem.list(pathOf(archive, id)).catch(() => [])) {
      files.push(pathOf(pathOf(ARCHIVE_DIRECTORY, id), name));
    }
  }
  return files;
}

/** The highest number that a file of history has; 0: there is none. */
export async function newestInHistory(fileSystem: FileSystem, location: string): Promise<number> {
  const files = await historyFiles(fileSystem, location);
  return files.reduce((most, name) => Math.max(most, Number(/(\d+)\.(log|index)$/.exec(name)?.[1] ?? 0)), 0);
}

/** Gives each file its second name, durably. */
export async function setAside(
  fileSystem: FileSystem,
  location: string,
  lost: string,
  names: readonly string[],
  turn: () => Promise<void>,
): Promise<void> {
  const counter = { files: 0, linkedBytes: 0, copiedBytes: 0, onBytes: () => undefined };
  const directories = new Set<string>();
  for (const name of names) {
    const to = pathOf(pathOf(location, lost), name);
    const directory = to.slice(0, to.lastIndexOf('/'));
    if (!directories.has(directory)) await fileSystem.makeDirectory(directory);
    directories.add(directory);
    await linkOrCopy(fileSystem, pathOf(location, name), to, counter, true);
    await turn();
  }
  for (const directory of directories) await fileSystem.syncDirectory(directory);
}

/** Takes the first names away: they are in the way, or the next open would delete what has no other name. */
export async function removeFirstNames(
  fileSystem: FileSystem,
  location: string,
  names: readonly string[],
): Promise<void> {
  for (const name of names) {
    if (name === CURRENT) continue; // it is the new one by now
    await fileSystem.remove(pathOf(location, name));
  }
  await fileSystem.syncDirectory(location);
}

/** A name for a directory: `2026-01-31T12-30-00-000Z`. */
export const dateName = (date: Date): string => date.toISOString().replace(/[:.]/g, '-');
