/** I6: the files in a directory are those that its MANIFEST names, and known extras. */
import { logName, manifestName, parseFileName } from '../../src/storage/file-names.ts';
import type { MemoryFileSystem } from '../../src/storage/file-system/memory-file-system.ts';
import { readCurrent } from '../../src/storage/manifest/current-file.ts';
import { readManifest } from '../../src/storage/manifest/read-manifest.ts';

/** What is wrong with the files of a store that has just been opened or closed; `undefined`: nothing. */
export async function strayFiles(fileSystem: MemoryFileSystem, directory: string): Promise<string | undefined> {
  const manifestNumber = await readCurrent(fileSystem, directory);
  if (manifestNumber === undefined) return 'there is no CURRENT';
  const { version, logNumber } = await readManifest(fileSystem, directory, manifestNumber);
  const named = new Set(version.levels.flat().map(({ fileNumber }) => fileNumber));
  for (const name of await fileSystem.list(directory)) {
    const parsed = parseFileName(name);
    if (parsed === undefined) {
      if (name !== 'CURRENT' && name !== 'LOCK') return `${name} is not a database file`;
      continue;
    }
    const { kind, fileNumber } = parsed;
    const isNamed =
      (kind === 'table' && named.delete(fileNumber)) ||
      (kind === 'log' && fileNumber >= logNumber) ||
      (kind === 'manifest' && fileNumber === manifestNumber);
    if (!isNamed) return `${name} is there, and ${manifestName(manifestNumber)} does not name it (log ${logNumber})`;
  }
  const [missing] = named;
  if (missing !== undefined) return `table ${missing} is missing`;
  const isLogThere = (await fileSystem.list(directory)).includes(logName(logNumber));
  return isLogThere ? undefined : `${logName(logNumber)} is missing`;
}
