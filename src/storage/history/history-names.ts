/**
 * Where history lies: in a directory of its own beside LevelDB's files, which LevelDB leaves alone.
 *
 *   archive/<id>/NNNNNN.log     write batches: the log of that number, under a second name. LevelDB's format
 *   archive/<id>/NNNNNN.index   which commit times and which places in that log
 *   archive/<id>/STATE          what history was when the state was written last
 *   archive/<id>/*.tmp          on its way to one of these names
 *
 * `<id>` is the database's identity, 32 hexadecimal digits: a directory that was destroyed and made anew gives out the same
 * numbers again.
 */
import { pathOf } from '../file-names.ts';

export const ARCHIVE_DIRECTORY = 'archive';
export const STATE = 'STATE';

const digits = (fileNumber: number): string => String(fileNumber).padStart(6, '0');

export const segmentName = (fileNumber: number): string => `${digits(fileNumber)}.log`;
export const indexName = (fileNumber: number): string => `${digits(fileNumber)}.index`;
export const temporaryOf = (name: string): string => `${name}.tmp`;

export const archivePath = (directory: string, databaseId: string): string =>
  pathOf(pathOf(directory, ARCHIVE_DIRECTORY), databaseId);

export const isDatabaseId = (text: string): boolean => /^[0-9a-f]{32}$/.test(text);

/** What a name in the archive stands for; `undefined`: nothing of ours. */
export function parseArchiveName(
  name: string,
): { kind: 'segment' | 'index' | 'temporary'; fileNumber: number } | undefined {
  const match = /^(\d{6}|[1-9]\d{6,14})\.(log|index)(\.tmp)?$/.exec(name);
  if (match === null) return undefined;
  const fileNumber = Number(match[1]);
  if (match[3] !== undefined) return { kind: 'temporary', fileNumber };
  return { kind: match[2] === 'log' ? 'segment' : 'index', fileNumber };
}
