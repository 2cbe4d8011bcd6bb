/**
 * A directory that comes into being all at once: it is written under another name, and gets its own when it is complete and
 * on the disk.
 *
 *   <name>.partial/   locked while somebody writes it; what an earlier try has left in it is removed first, and nothing else:
 *                     a directory with anything else in it, or a link of that name, is refused
 *       UNFINISHED    its mark: durable before anything else is in there, and gone when all else is complete. A directory
 *                     without it may be a database of that name, whole, and is refused
 *   <name>/           must not be there, or be empty
 */
import { dirname, join } from 'node:path';
import { AlreadyExistsError, CorruptionError, IoError } from '../../errors.ts';
import { CURRENT, parseFileName, pathOf } from '../file-names.ts';
import type { DirectoryLock, FileSystem } from '../file-system/file-system.ts';
import { isLink, refuseLink } from '../file-system/own-directory.ts';
import { readSmallFile } from '../file-system/small-file.ts';
import type { LockHolder } from '../../errors.ts';

/** Says that what is beside it may be removed. */
const MARK = 'UNFINISHED';
const MARK_BYTES: Uint8Array = new TextEncoder().encode(
  'alluvium: a backup or a restore that is under way, or was cut short. The next one of this name begins anew.\n',
);

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
    await checkUnfinished(fileSystem, path); // before the lock, which would leave a file behind
    const lock = await fileSystem.lock(path, holder);
    const made = new NewDirectory(fileSystem, join(dirname(path), lastOf(name)), path, lock);
    const isMarked = await checkUnfinished(fileSystem, path).catch(async (error: unknown) => {
      await lock.release().catch(() => undefined);
      throw error; // somebody has put something there meanwhile
    });
    try {
      await removeFiles(fileSystem, path);
      if (!isMarked) await mark(fileSystem, path);
      return made;
    } catch (error) {
      await made.abandon();
      throw error;
    }
  }

  /** Everything in it is written and synced, names too: gives it its own name, durably. @returns its absolute name */
  async finish(): Promise<string> {
    const fileSystem = this.#fileSystem;
    await checkFree(fileSystem, this.#target); // it may have been made meanwhile
    await fileSystem.remove(pathOf(this.path, MARK));
    await fileSystem.syncDirectory(this.path);
    await this.#lock.release(); // its notes lie in the directory
    await fileSystem.rename(this.path, this.#target);
    await fileSystem.syncDirectory(dirname(this.#target));
    return this.#target;
  }

  /** Takes away what was written, and the directory, as far as the file system lets us; the next try does the rest. */
  async abandon(): Promise<void> {
    await this.#takeAway().catch(() => undefined);
    await this.#lock.release().catch(() => undefined);
  }

  /** The mark last: as long as there is anything, it is known what it is. All of it while nobody else has the lock. */
  async #takeAway(): Promise<void> {
    const fileSystem = this.#fileSystem;
    await removeFiles(fileSystem, this.path);
    for (const name of await fileSystem.list(this.path)) {
      const path = pathOf(this.path, name);
      if (await isDirectory(fileSystem, path)) await removeTree(fileSystem, path);
    }
    await fileSystem.syncDirectory(this.path);
    // Now the mark, and what is the lock's.
    for (const name of await fileSystem.list(this.path)) await fileSystem.remove(pathOf(this.path, name));
    await fileSystem.removeDirectory(this.path);
  }
}

/**
 * Whether a directory is empty, or holds what an unfinished backup has left.
 *
 * @returns whether it has its mark
 * @throws AlreadyExistsError
 */
async function checkUnfinished(fileSystem: FileSystem, path: string): Promise<boolean> {
  let isEmpty = true;
  for await (const file of filesIn(fileSystem, path)) {
    if (!isOurs(file)) throw new AlreadyExistsError(path, `holds ${file}, which no backup wrote. Remove it first.`);
    isEmpty &&= LOCK.test(file) || file === MARK;
  }
  const isMarked = await hasMark(fileSystem, path);
  if (isEmpty || isMarked) return isMarked;
  throw new AlreadyExistsError(
    path,
    'holds files of a database, and nothing says that a backup was cut short there: it may be whole. Move it away first.',
  );
}

async function hasMark(fileSystem: FileSystem, path: string): Promise<boolean> {
  const name = pathOf(path, MARK);
  if (await isLink(fileSystem, name)) return false;
  try {
    const bytes = await readSmallFile(fileSystem, name, MARK_BYTES.length);
    return Buffer.compare(bytes, MARK_BYTES) === 0;
  } catch (error) {
    if (error instanceof IoError || error instanceof CorruptionError) return false;
    throw error;
  }
}

/** Durable on return, name and all: nothing else is written before. */
async function mark(fileSystem: FileSystem, path: string): Promise<void> {
  const name = pathOf(path, MARK);
  await fileSystem.remove(name).catch(() => undefined); // one that was cut short itself
  const file = await fileSystem.create(name);
  try {
    await file.append(MARK_BYTES);
    await file.sync();
  } finally {
    await file.close();
  }
  await fileSystem.syncDirectory(path);
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

/** Removes all files, but not the mark, and not those of the lock. */
async function removeFiles(fileSystem: FileSystem, root: string): Promise<void> {
  for await (const file of filesIn(fileSystem, root)) {
    if (!LOCK.test(file) && file !== MARK) await fileSystem.remove(pathOf(root, file));
  }
}

/** Directories in which there are none but directories. */
async function removeTree(fileSystem: FileSystem, path: string, depth = 1): Promise<void> {
  for (const name of depth < DEPTH_MAX ? await fileSystem.list(path) : []) {
    await removeTree(fileSystem, pathOf(path, name), depth + 1);
  }
  await fileSystem.removeDirectory(path);
}

const LOCK = /^(LOCK[^/]*|alluvium\.lock)$/;
const ARCHIVED = /^archive\/[0-9a-f]{32}\/((STATE|\d{6,15}\.(log|index))(\.tmp)?)$/;

/** Whether a backup, or a restore, that was cut short may have left it. */
const isOurs = (file: string): boolean =>
  file === CURRENT || file === MARK || parseFileName(file) !== undefined || LOCK.test(file) || ARCHIVED.test(file);

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
