/**
 * The names of a database's files, and which of them are ours. LevelDB ignores every other name in the directory.
 *
 *   CURRENT            the name of the live MANIFEST and a newline
 *   LOCK               empty; what the lock is on
 *   MANIFEST-NNNNNN    version edits
 *   NNNNNN.log         write batches
 *   NNNNNN.ldb, .sst   sorted tables; .sst is the older name, read but never written
 *   NNNNNN.dbtmp       a file on its way to another name
 *
 * Numbers come from one space for all kinds and grow past six digits. Source: LevelDB db/filename.cc.
 */

export const CURRENT = 'CURRENT';
export const LOST_DIRECTORY = 'lost';

const digits = (fileNumber: number): string => String(fileNumber).padStart(6, '0');

export const logName = (fileNumber: number): string => `${digits(fileNumber)}.log`;
export const tableName = (fileNumber: number): string => `${digits(fileNumber)}.ldb`;
export const oldTableName = (fileNumber: number): string => `${digits(fileNumber)}.sst`;
/** The names a table may have, the one we write first. */
export const tableNames = (fileNumber: number): readonly string[] => [tableName(fileNumber), oldTableName(fileNumber)];
export const manifestName = (fileNumber: number): string => `MANIFEST-${digits(fileNumber)}`;
export const temporaryName = (fileNumber: number): string => `${digits(fileNumber)}.dbtmp`;

export type NumberedKind = 'log' | 'table' | 'manifest' | 'temporary';

export interface NumberedName {
  readonly kind: NumberedKind;
  readonly fileNumber: number;
}

const KIND_OF_EXTENSION: Readonly<Record<string, NumberedKind | undefined>> = {
  log: 'log',
  ldb: 'table',
  sst: 'table',
  dbtmp: 'temporary',
};

/**
 * Only names exactly as they are written count: `2024.log` is somebody else's file, and is left alone.
 *
 * What a name in the directory stands for; `undefined` for CURRENT, LOCK and whatever is not LevelDB's.
 */
export function parseFileName(name: string): NumberedName | undefined {
  const manifest = /^MANIFEST-(\d{6}|[1-9]\d{6,14})$/.exec(name)?.[1];
  if (manifest !== undefined) return { kind: 'manifest', fileNumber: Number(manifest) };
  const match = /^(\d{6}|[1-9]\d{6,14})\.(log|ldb|sst|dbtmp)$/.exec(name);
  const kind = KIND_OF_EXTENSION[match?.[2] ?? ''];
  if (match?.[1] === undefined || kind === undefined) return undefined;
  return { kind, fileNumber: Number(match[1]) };
}

/** A path inside the database directory. Names come from the functions above, never out of a file unchecked. */
export const pathOf = (directory: string, name: string): string => `${directory}/${name}`;
