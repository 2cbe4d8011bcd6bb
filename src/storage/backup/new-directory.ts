/**
 * A directory that comes into being all at once: it is written under another name, and gets its own when it is complete and
 * on the disk.
 *
 *   <name>.partial/   locked while somebody writes it; what an earlier try has left in it is removed first, and nothing else:
 *                     a directory with anything else in it, or a link of that name, is refused
 *   <name>/           must not be there, or be empty
 */
import { dirname, join } from 'node:path';
import { AlreadyExistsError, IoError } from '../../errors.ts';
import { CURRENT, parseFileName, pathOf } from '../file-names.ts';
import type { DirectoryLock, FileSystem } from '../file-system/file-system.ts';
import { isLink, refuseLink } from '../file-system/own-directory.ts';
import type { LockHolder } from '../../errors.ts';

/** Nothing that we write lies deeper: `archive/<id>/name`. */
const DEPTH_MAX = 3;

export class NewDirectory {
  readonly #fileSystem: FileSystem;
  readonly #target: string;
  /** Where to write. */
  readonly path: string;
  readonly #lock: DirectoryLock;

  private constructor(fileSystem: FileSystem, target: string, path: string, lock: DirectoryLock) {
    this.#fileSystem = fileSystem;
    this.#target = target;
    this.path = path;
    this.#lock = lock;
  }

  /** What {@link begin} asks first. @throws AlreadyExistsError, IoError */
  static async checkFree(fileSystem: FileSystem, target: string): Promise<void> {
    await checkFree(fileSystem, withoutSlashes(target));
  }

  /** @throws AlreadyExistsError, LockedError (somebody else is writing the same one), IoError, NoSpaceError */
  static async begin(fileSystem: FileSystem, target: string, holder: LockHolder): Promise<NewDirectory> {
    const name = withoutSlashes(target);
    await checkFree(fileSystem, name);
    const partial = `${name}.partial`;
    await fileSystem.makeDirectory(partial);
    const path = join(await fileSystem.realPath(dirname(partial)), lastOf(partial));
    await refuseLink(fileSystem, path);
    for await (const file of filesIn(fileSystem, path)) {
      if (!isOurs(file))
        throw new AlreadyExistsError(partial, `holds ${file}, which no backup wrote. Remove it first.`);
    }
    const lock = await fileSystem.lock(path, holder);
    try {
      await removeFiles(fileSystem, path);
      return new NewDirectory(fileSystem, join(dirname(path), lastOf(name)), path, lock);
    } catch (error) {
      await lock.release().catch(() => undefined);
      throw error;
    }
  }

  /** Everything in it is written and synced, names too: gives it its own name, durably. @returns its absolute name */
  async finish(): Promise<string> {
    const fileSystem = this.#fileSystem;
    await checkFree(fileSystem, this.#target); // it may have been made meanwhile
    await this.#lock.release(); // its notes lie in the directory
    await fileSystem.rename(this.path, this.#target);
    await fileSystem.syncDirectory(dirname(this.#target));
    return this.#target;
  }

  /** Takes away what was written, as far as the file system lets us. Empty directories stay, for the next try. */
  async abandon(): Promise<void> {
    await removeFiles(this.#fileSystem, this.path).catch(() => undefined);
    await this.#lock.release().catch(() => undefined);
  }
}

const lastOf = (path: string): string => path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);

async function checkFree(fileSystem: FileSystem, path: string): Promise<void> {
  try {
    const { kind } = await fileSystem.stat(path);
    if (kind === 'directory' && (await fileSystem.list(path)).length === 0) return;
  } catch (error) {
    if (error instanceof IoError && error.systemCode === 'ENOENT') return;
    throw error;
  }
  throw new AlreadyExistsError(path, 'is there already, and is not empty. Choose another directory.');
}

/** Removes all files, but not those of the lock. */
async function removeFiles(fileSystem: FileSystem, root: string): Promise<void> {
  for await (const file of filesIn(fileSystem, root)) {
    if (!LOCK.test(file)) await fileSystem.remove(pathOf(root, file));
  }
}

const LOCK = /^(LOCK[^/]*|alluvium\.lock)$/;
const ARCHIVED = /^archive\/[0-9a-f]{32}\/((STATE|\d{6,15}\.(log|index))(\.tmp)?)$/;

/** Whether a backup, or a restore, that was cut short may have left it. */
const isOurs = (file: string): boolean =>
  file === CURRENT || parseFileName(file) !== undefined || LOCK.test(file) || ARCHIVED.test(file);

/** Everything in it that is no directory, by its path below it. Links are not followed: a link is a file here. */
async function* filesIn(fileSystem: FileSystem, root: string): AsyncGenerator<string> {
  const left: (readonly [directory: string, depth: number])[] = [['', 1]];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const [directory, depth] = next;
    for (const name of await fileSystem.list(pathOf(root, directory))) {
      const file = directory === '' ? name : pathOf(directory, name);
      if (depth < DEPTH_MAX && (await isDirectory(fileSystem, pathOf(root, file)))) left.push([file, depth + 1]);
      else yield file;
    }
  }
}

async function isDirectory(fileSystem: FileSystem, path: string): Promise<boolean> {
  if (await isLink(fileSystem, path)) return false;
  try {
    return (await fileSystem.stat(path)).kind === 'directory';
  } catch (error) {
    if (error instanceof IoError && error.systemCode === 'ENOENT') return false; // a link to nothing
    throw error;
  }
}

/** Not by a regular expression, which would take time in the square of the slashes. */
function withoutSlashes(path: string): string {
  let end = path.length;
  while (end > 0 && (path[end - 1] === '/' || path[end - 1] === '\\')) end -= 1;
  return path.slice(0, end);
}
