/**
 * What the indexes say of the logs that recovery will read, so that a log that has lost its end, or is another one, is
 * told. Of a log that is gone its index still speaks.
 */
import { IoError } from '../../errors.ts';
import { pathOf } from '../file-names.ts';
import type { FileSystem } from '../file-system/file-system.ts';
import type { LogClaims } from '../wal/log-recovery.ts';
import { databaseIdOf } from './database-id.ts';
import { ARCHIVE_DIRECTORY, archivePath, indexName, parseArchiveName } from './history-names.ts';
import { type IndexClaims, readClaims } from './segment-index.ts';
import { openIfThere } from './times-of-old-logs.ts';

/** What is needed of the MANIFEST. */
export interface ClaimsParts {
  readonly logNumber: number;
  readonly compactionPointers: readonly (Uint8Array | undefined)[];
}

/** @throws IoError */
export async function claimsOfLogs(
  fileSystem: FileSystem,
  directory: string,
  { logNumber, compactionPointers }: ClaimsParts,
): Promise<LogClaims> {
  const databaseId = databaseIdOf(compactionPointers);
  const firsts = new Map<number, number>();
  let claimed = 0;
  let claimedBy = 0;
  let isManifestOurs = false;
  // Without the number of a log, as repair leaves it, none of them is spoken of.
  const path = databaseId === undefined || logNumber === 0 ? undefined : archivePath(directory, databaseId);
  for (const fileNumber of path === undefined ? [] : await indexNumbers(fileSystem, path)) {
    if (path === undefined || fileNumber < logNumber) continue;
    if (fileNumber === logNumber) isManifestOurs = true; // it names the log that its last program began
    const { first, durable } = await claimsOfIndex(fileSystem, path, fileNumber);
    if (first !== undefined) firsts.set(fileNumber, first);
    if (durable > claimed) [claimed, claimedBy] = [durable, fileNumber];
  }
  return { durable: claimed, claimedBy, firsts, isManifestOurs };
}

/** What one index says; nothing, if it is not there. */
export async function claimsOfIndex(fileSystem: FileSystem, path: string, fileNumber: number): Promise<IndexClaims> {
  const name = indexName(fileNumber);
  const file = await openIfThere(fileSystem, pathOf(path, name));
  if (file === undefined) return { first: undefined, durable: 0, sealed: 0 };
  try {
    return await readClaims(file, `${ARCHIVE_DIRECTORY}/${name}`, fileNumber);
  } finally {
    await file.close();
  }
}

async function indexNumbers(fileSystem: FileSystem, path: string): Promise<number[]> {
  const names = await fileSystem.list(path).catch((error: unknown) => {
    if (error instanceof IoError && error.systemCode === 'ENOENT') return [];
    throw error;
  });
  return names.flatMap((name) => {
    const parsed = parseArchiveName(name);
    return parsed?.kind === 'index' ? [parsed.fileNumber] : [];
  });
}
