/**
 * A checked copy of a database that is closed: a backup, or any other. Everything in it is read and verified first; then what
 * the MANIFEST names is linked or copied, the MANIFEST itself and the logs always copied, since an open may append to what
 * LevelDB takes for its own.
 *
 * History gets an epoch of its own, as in a backup: one backup can be restored many times, and each copy goes its own way.
 */
import { CorruptionError, IoError, LockedError } from '../../errors.ts';
import { CURRENT, logName, manifestName, parseFileName, pathOf, tableName, tableNames } from '../file-names.ts';
import type { FileStat, FileSystem } from '../file-system/file-system.ts';
import { databaseIdOf } from '../history/database-id.ts';
import { archivePath, parseArchiveName, segmentName } from '../history/history-names.ts';
import { readHistoryState, writeHistoryState } from '../history/history-state.ts';
import { readCurrent, writeCurrent } from '../manifest/current-file.ts';
import { readManifest } from '../manifest/read-manifest.ts';
import type { VerifyReport } from '../verify/verify-report.ts';
import { linkOrCopy, type PlaceCounter } from './place-file.ts';

/** Somebody has it open, and nothing is known of him. */
export const inUse = (location: string, reason: string): LockedError =>
  new LockedError(location, { pid: undefined, since: undefined }, { cause: new Error(reason) });

/** @throws CorruptionError when something is wrong with what is to be restored; LockedError when it changes meanwhile */
export function checkWhole({ isWhole, findings, location }: VerifyReport): void {
  const changed = findings.find(({ code }) => code === 'changed');
  if (isWhole && changed === undefined) return;
  const first = findings.find(({ severity }) => severity === 'error');
  if (first === undefined && changed !== undefined) throw inUse(location, `${changed.file}: ${changed.reason}`);
  throw new CorruptionError(first?.file ?? location, first?.offset ?? 0, first?.reason ?? 'it is not whole');
}

/**
 * What changes in a directory when somebody writes to the database in it.
 *
 * @throws IoError when it cannot be looked at
 */
export async function stampOf(fileSystem: FileSystem, location: string): Promise<string> {
  const names = (await fileSystem.list(location)).filter((name) => parseFileName(name) !== undefined);
  const sizes = names.map(async (name) => {
    const stat = await statIfThere(fileSystem, pathOf(location, name));
    return `${name} ${stat?.size ?? 'gone'}`;
  });
  return (await Promise.all(sizes)).join();
}

/**
 * Copies into an empty directory; all of it is durable on return, but for the directory's own name.
 *
 * @param nextEpoch - an epoch that no other copy has, above the one given
 */
export async function restoreBackup(
  fileSystem: FileSystem,
  from: string,
  to: string,
  options: { readonly mayLink: boolean; readonly lastSequence: number; readonly nextEpoch: (epoch: number) => number },
  counter: PlaceCounter,
): Promise<void> {
  const manifestNumber = await readCurrent(fileSystem, from);
  if (manifestNumber === undefined) throw new CorruptionError(CURRENT, 0, 'it is missing');
  const state = await readManifest(fileSystem, from, manifestNumber);
  const names = new Set(await fileSystem.list(from));
  const place = (name: string, mayLink: boolean, as = name): Promise<void> =>
    linkOrCopy(fileSystem, pathOf(from, name), pathOf(to, as), counter, mayLink);
  for (const { fileNumber } of state.version.levels.flat()) {
    const name = tableNames(fileNumber).find((one) => names.has(one)) ?? tableName(fileNumber);
    await place(name, options.mayLink, tableName(fileNumber));
  }
  for (const name of names) {
    const parsed = parseFileName(name);
    if (parsed?.kind !== 'log') continue;
    const { fileNumber } = parsed;
    if (fileNumber >= state.logNumber || fileNumber === state.previousLogNumber) await place(name, false);
  }
  await place(manifestName(manifestNumber), false);
  const databaseId = databaseIdOf(state.compactionPointers);
  if (databaseId !== undefined)
    await restoreHistory(fileSystem, [from, to], databaseId, state.logNumber, options, counter);
  await fileSystem.syncDirectory(to);
  await writeCurrent(fileSystem, to, manifestNumber);
}

async function restoreHistory(
  fileSystem: FileSystem,
  [from, to]: readonly [string, string],
  databaseId: string,
  logNumber: number,
  options: { readonly mayLink: boolean; readonly lastSequence: number; readonly nextEpoch: (epoch: number) => number },
  counter: PlaceCounter,
): Promise<void> {
  const source = archivePath(from, databaseId);
  const path = archivePath(to, databaseId);
  const state = await readHistoryState(fileSystem, source);
  if (state === undefined) return; // it was verified: there is none
  await fileSystem.makeDirectory(path);
  for (const name of await fileSystem.list(source)) {
    const parsed = parseArchiveName(name);
    if (parsed === undefined || parsed.kind === 'temporary') continue;
    const { kind, fileNumber } = parsed;
    const isSealed = fileNumber < logNumber;
    const log = pathOf(to, logName(fileNumber));
    const isLive = kind === 'segment' && !isSealed && (await isThere(fileSystem, log));
    // A log that is still to be replayed has two names of one file.
    if (isLive) await linkOrCopy(fileSystem, log, pathOf(path, segmentName(fileNumber)), counter, true);
    else
      await linkOrCopy(
        fileSystem,
        pathOf(source, name),
        pathOf(path, name),
        counter,
        options.mayLink && isSealed && kind === 'segment',
      );
  }
  const { epoch } = state;
  await writeHistoryState(fileSystem, path, {
    ...state,
    epoch: options.nextEpoch(epoch),
    epochEnds: [...state.epochEnds, { epoch, lastSequence: options.lastSequence }],
    isClean: false,
  });
}

const isThere = async (fileSystem: FileSystem, path: string): Promise<boolean> =>
  (await statIfThere(fileSystem, path)) !== undefined;

async function statIfThere(fileSystem: FileSystem, path: string): Promise<FileStat | undefined> {
  try {
    return await fileSystem.stat(path);
  } catch (error) {
    if (error instanceof IoError && error.systemCode === 'ENOENT') return undefined;
    throw error;
  }
}
