/**
 * The real file system. Only files named `node-*` in this folder import `node:fs`.
 *
 * Files are made with mode 0600 and directories with 0700; symbolic links are never followed at a file's name; every
 * descriptor is closed on every path.
 */
import { constants } from 'node:fs';
import { link, lstat, mkdir, readdir, realpath, rename, rmdir, stat, statfs, unlink } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { type LockHolder, IoError } from '../../errors.ts';
import type { DirectoryLock, FileStat, FileSystem, ReadableFile, WritableFile } from './file-system.ts';
import { Descriptor } from './node-descriptor.ts';
import { type FileOperationName, systemCode, translateError } from './node-errors.ts';
import { type ReadClock, ReadPace } from './node-read-pace.ts';
import { createNodeFile, openNodeFile, openNodeFileNow } from './node-files.ts';
import { lockDirectory } from './node-lock.ts';

const DIRECTORY_MODE = 0o700;
const PERMISSION_BITS = 0o777;

/**
 * The file system of the machine, as Node reaches it.
 *
 * After a failed `sync` a file refuses every further append and sync: the kernel may have dropped the pages and would call
 * the next sync a success.
 */
export class NodeFileSystem implements FileSystem {
  readonly isReachableFromWorkers: boolean = true;
  readonly #pace: ReadPace | undefined;

  /**
   * @param clock - with it, small reads are done on the calling thread for as long as that is quick, that is, for as long as
   *   they find what they want in the system's page cache; without, all but the `Now` ones in the background
   */
  constructor(clock?: ReadClock) {
    this.#pace = clock === undefined ? undefined : new ReadPace(clock);
  }

  realPath(path: string): Promise<string> {
    return translated('realPath', path, () => realpath(path));
  }

  /**
   * The directories made are durable on return: each is synced into its parent, or removed again when that fails, so that
   * a second try begins from the same place.
   */
  async makeDirectory(path: string): Promise<void> {
    const missing = await translated('makeDirectory', path, () => missingDirectories(path));
    for (const directory of missing) {
      const isMade = await translated('makeDirectory', directory, () => makeOne(directory));
      if (!isMade) continue;
      try {
        await this.syncDirectory(dirname(directory));
      } catch (thrown) {
        await rmdir(directory).catch(() => undefined); // best effort; the error below is the news
        throw thrown;
      }
    }
  }

  list(directory: string): Promise<string[]> {
    return translated('list', directory, async () => (await readdir(directory)).sort());
  }

  stat(path: string): Promise<FileStat> {
    return translated('stat', path, async () => {
      const stats = await stat(path);
      const kind = stats.isFile() ? 'file' : stats.isDirectory() ? 'directory' : 'other';
      return { kind, size: stats.size, mode: stats.mode & PERMISSION_BITS, version: stats.mtimeMs };
    });
  }

  openForRead(path: string): Promise<ReadableFile> {
    return openNodeFile(path, this.#pace);
  }

  openForReadNow(path: string): ReadableFile {
    return openNodeFileNow(path, this.#pace);
  }

  create(path: string): Promise<WritableFile> {
    return createNodeFile(path);
  }

  rename(from: string, to: string): Promise<void> {
    return translated('rename', to, () => rename(from, to));
  }

  link(existing: string, added: string): Promise<void> {
    return translated('link', added, () => link(existing, added));
  }

  remove(path: string): Promise<void> {
    return translated('remove', path, () => unlink(path));
  }

  removeDirectory(path: string): Promise<void> {
    return translated('removeDirectory', path, () => rmdir(path));
  }

  /**
   * Does nothing on Windows: FlushFileBuffers refuses directory handles there, and NTFS writes names through its own
   * journal, in order.
   */
  async syncDirectory(directory: string): Promise<void> {
    if (process.platform === 'win32') return;
    const descriptor = await Descriptor.open(directory, constants.O_RDONLY | constants.O_DIRECTORY, 0, 'syncDirectory');
    try {
      await descriptor.syncAll();
    } finally {
      await descriptor.close().catch(() => undefined); // nothing was written through it
    }
  }

  freeBytes(path: string): Promise<number> {
    return translated('freeBytes', path, async () => {
      const stats = await statfs(path);
      return stats.bavail * stats.bsize; // bavail, not bfree: the reserve of the administrator is not ours
    });
  }

  lock(directory: string, holder: LockHolder): Promise<DirectoryLock> {
    return lockDirectory(directory, holder);
  }
}

/** Runs one call and says its failure in the engine's terms. */
async function translated<A>(operation: FileOperationName, path: string, call: () => Promise<A>): Promise<A> {
  try {
    return await call();
  } catch (thrown) {
    throw translateError(thrown, operation, path);
  }
}

/** The directories to make for `path` to exist, outermost first. Ends at the root, whose parent is itself. */
async function missingDirectories(path: string): Promise<string[]> {
  const missing: string[] = [];
  let directory = resolve(path);
  for (;;) {
    try {
      const stats = await stat(directory);
      if (!stats.isDirectory()) throw new IoError('makeDirectory', directory, 'ENOTDIR', 'failed');
      return missing.reverse();
    } catch (thrown) {
      if (systemCode(thrown) !== 'ENOENT' || dirname(directory) === directory) throw thrown;
      missing.push(directory);
      directory = dirname(directory);
    }
  }
}

/** @returns whether it was made here; false if somebody else was faster */
async function makeOne(directory: string): Promise<boolean> {
  try {
    await mkdir(directory, DIRECTORY_MODE);
    return true;
  } catch (thrown) {
    if (systemCode(thrown) !== 'EEXIST') throw thrown;
    const stats = await lstat(directory);
    if (!stats.isDirectory()) throw thrown; // a file, or a link to nowhere
    return false;
  }
}
