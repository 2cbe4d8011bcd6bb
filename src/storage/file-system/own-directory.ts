/**
 * A directory of the database's own must lie where its name says. Through a link that was planted in its place files would be
 * made, and removed, somewhere else: the flag that refuses a link at a file's name does not look at the names before it.
 *
 * This looks once, before anything is written. Whoever may write the directory while it is open can still change it behind the
 * look: against them only the directory's mode helps.
 */
import { normalize } from 'node:path';
import { IoError } from '../../errors.ts';
import type { FileSystem } from './file-system.ts';

/**
 * @param path - below a path that has no links in it
 * @throws IoError (ELOOP) if it is a link to something; nothing at all may be there
 */
export async function refuseLink(fileSystem: FileSystem, path: string): Promise<void> {
  if (await isLink(fileSystem, path)) throw new IoError('open', path, 'ELOOP', 'failed');
}

/** @returns whether it is a link to something that is there; one to nothing cannot lead anywhere */
export async function isLink(fileSystem: FileSystem, path: string): Promise<boolean> {
  try {
    return normalize(await fileSystem.realPath(path)) !== normalize(path);
  } catch (error) {
    if (error instanceof IoError && (error.systemCode === 'ENOENT' || error.systemCode === 'ENOTDIR')) return false;
    throw error;
  }
}
