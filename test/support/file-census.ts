/** I6: the files in a directory are those that its MANIFEST names, those that history names, and known extras. */
import { logName, manifestName, parseFileName } from '../../src/storage/file-names.ts';
import type { MemoryFileSystem } from '../../src/storage/file-system/memory-file-system.ts';
import { databaseIdOf } from '../../src/storage/history/database-id.ts';
import { archivePath, parseArchiveName, segmentName } from '../../src/storage/history/history-names.ts';
import { readHistoryState } from '../../src/storage/history/history-state.ts';
import { readCurrent } from '../../src/storage/manifest/current-file.ts';
import { readManifest } from '../../src/storage/manifest/read-manifest.ts';

/**
 * What is wrong with the files of a store that has just been opened or closed; `undefined`: nothing. A table younger than the
 * MANIFEST that the open wrote is no stray: a compaction that has begun since is writing it.
 */
export async function strayFiles(fileSystem: MemoryFileSystem, directory: string): Promise<string | undefined> {
  const manifestNumber = await readCurrent(fileSystem, directory);
  if (manifestNumber === undefined) return 'there is no CURRENT';
  const { version, logNumber, compactionPointers } = await readManifest(fileSystem, directory, manifestNumber);
  const named = new Set(version.levels.flat().map(({ fileNumber }) => fileNumber));
  for (const name of await fileSystem.list(directory)) {
    const parsed = parseFileName(name);
    if (parsed === undefined) {
      if (name !== 'CURRENT' && name !== 'LOCK' && name !== 'archive') return `${name} is not a database file`;
      continue;
    }
    const { kind, fileNumber } = parsed;
    const isNamed =
      (kind === 'table' && (named.delete(fileNumber) || fileNumber > manifestNumber)) ||
      (kind === 'log' && fileNumber >= logNumber) ||
      (kind === 'manifest' && fileNumber === manifestNumber);
    if (!isNamed) return `${name} is there, and ${manifestName(manifestNumber)} does not name it (log ${logNumber})`;
  }
  const [missing] = named;
  if (missing !== undefined) return `table ${missing} is missing`;
  const isLogThere = (await fileSystem.list(directory)).includes(logName(logNumber));
  if (!isLogThere) return `${logName(logNumber)} is missing`;
  return strayHistory(fileSystem, archivePath(directory, databaseIdOf(compactionPointers) ?? ''), logNumber);
}

/** In the archive there is what the state names, and logs that are in use. */
async function strayHistory(
  fileSystem: MemoryFileSystem,
  archive: string,
  logNumber: number,
): Promise<string | undefined> {
  const state = await readHistoryState(fileSystem, archive);
  if (state === undefined) return 'history has no state';
  const known = new Set(state.segments.map(({ fileNumber }) => fileNumber));
  const names = await fileSystem.list(archive);
  for (const name of names.filter((one) => one !== 'STATE')) {
    const parsed = parseArchiveName(name);
    if (parsed === undefined || parsed.kind === 'temporary') return `${archive}/${name} is no file of history`;
    if (!known.has(parsed.fileNumber) && parsed.fileNumber < logNumber) return `${archive}/${name} is no segment`;
  }
  const lost = [...known].find((fileNumber) => !names.includes(segmentName(fileNumber)));
  return lost === undefined ? undefined : `${archive}/${segmentName(lost)} is missing`;
}
