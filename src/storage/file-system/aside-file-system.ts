/**
 * A file system on top of another one, which is only read: what is written stays in memory, and goes with it.
 *
 *     create, rename, link, remove ──> names ──> memory
 *     open, list, stat             ──> names, and else ──> below
 *
 * It lets a step that writes be taken where nothing may be written: a recovery, in a directory that is open for reading
 * only. Memory: what is written, until the whole is let go of. A name below must not be renamed by others meanwhile.
 */
import { IoError } from '../../errors.ts';
import type { DirectoryLock, FileStat, FileSystem, ReadableFile, WritableFile } from './file-system.ts';
import { MemoryFileSystem } from './memory-file-system.ts';

/** What a name stands for here; one that is not known stands for what is below. */
type Entry = { readonly kind: 'memory' | 'below'; readonly path: string } | { readonly kind: 'removed' };

const REMOVED: Entry = { kind: 'removed' };
const DIRECTORY: FileStat = { kind: 'directory', size: 0, mode: 0o700 };

export class AsideFileSystem implements FileSystem {
  readonly isReachableFromWorkers: boolean = false;
  readonly #below: FileSystem;
  readonly #memory = new MemoryFileSystem();
  readonly #entries = new Map<string, Entry>();
  /** Directories that were made, and are not below. */
  readonly #made = new Set<string>();
  #files = 0;

  constructor(below: FileSystem) {
    this.#below = below;
  }

  realPath(path: string): Promise<string> {
    return this.#made.has(path) ? Promise.resolve(path) : this.#below.realPath(path);
  }

  async makeDirectory(path: string): Promise<void> {
    const isThere = await this.#isThere(path);
    if (isThere) return;
    const parent = directoryOf(path);
    if (parent !== path && parent !== '') await this.makeDirectory(parent);
    this.#made.add(path);
  }

  async list(directory: string): Promise<string[]> {
    const isMade = this.#made.has(directory);
    const names = new Set(isMade ? [] : await this.#below.list(directory));
    for (const made of this.#made) if (directoryOf(made) === directory) names.add(nameOf(made));
    for (const [path, { kind }] of this.#entries) {
      if (directoryOf(path) !== directory) continue;
      if (kind === 'removed') names.delete(nameOf(path));
      else names.add(nameOf(path));
    }
    return [...names].sort();
  }

  async stat(path: string): Promise<FileStat> {
    if (this.#made.has(path)) return DIRECTORY;
    const entry = this.#entryOf('stat', path);
    return entry.kind === 'memory' ? this.#memory.stat(entry.path) : this.#below.stat(entry.path);
  }

  async openForRead(path: string): Promise<ReadableFile> {
    const entry = this.#entryOf('open', path);
    return entry.kind === 'memory' ? this.#memory.openForRead(entry.path) : this.#below.openForRead(entry.path);
  }

  async create(path: string): Promise<WritableFile> {
    await this.#checkFree('create', path);
    this.#files += 1;
    const file = `/${this.#files}`;
    const created = await this.#memory.create(file);
    this.#entries.set(path, { kind: 'memory', path: file });
    return created;
  }

  async rename(from: string, to: string): Promise<void> {
    const entry = await this.#existing('rename', from);
    await this.#checkParent('rename', to);
    const present = this.#entries.get(to) ?? { kind: 'below', path: to };
    const isSame = entry.kind !== 'removed' && entry.kind === present.kind && entry.path === present.path;
    if (isSame) return; // two names of one file: POSIX does nothing then
    this.#entries.set(to, entry);
    this.#entries.set(from, REMOVED);
  }

  async link(existing: string, added: string): Promise<void> {
    const entry = await this.#existing('link', existing);
    await this.#checkFree('link', added);
    this.#entries.set(added, entry);
  }

  async remove(path: string): Promise<void> {
    await this.#existing('remove', path);
    this.#entries.set(path, REMOVED);
  }

  async removeDirectory(path: string): Promise<void> {
    if ((await this.stat(path)).kind !== 'directory') throw new IoError('removeDirectory', path, 'ENOTDIR', 'failed');
    if ((await this.list(path)).length > 0) throw new IoError('removeDirectory', path, 'ENOTEMPTY', 'failed');
    // One that was below cannot be made again: nobody asks for that.
    if (!this.#made.delete(path)) this.#entries.set(path, REMOVED);
  }

  /** Nothing of it is to survive. */
  syncDirectory(): Promise<void> {
    return Promise.resolve();
  }

  freeBytes(): Promise<number> {
    return Promise.resolve(Number.MAX_SAFE_INTEGER);
  }

  /** Nobody else comes here. */
  lock(): Promise<DirectoryLock> {
    return Promise.resolve({ release: () => Promise.resolve() });
  }

  #entryOf(operation: string, path: string): Exclude<Entry, { readonly kind: 'removed' }> {
    const entry = this.#entries.get(path) ?? { kind: 'below', path };
    if (entry.kind === 'removed') throw new IoError(operation, path, 'ENOENT', 'failed');
    return entry;
  }

  /** @throws IoError (ENOENT) */
  async #existing(operation: string, path: string): Promise<Entry> {
    const entry = this.#entryOf(operation, path);
    if (entry.kind === 'below') await this.#below.stat(entry.path);
    return entry;
  }

  async #isThere(path: string): Promise<boolean> {
    try {
      await this.stat(path);
      return true;
    } catch (error) {
      if (error instanceof IoError && error.systemCode === 'ENOENT') return false;
      throw error;
    }
  }

  async #checkParent(operation: string, path: string): Promise<void> {
    if (!(await this.#isThere(directoryOf(path)))) throw new IoError(operation, path, 'ENOENT', 'failed');
  }

  async #checkFree(operation: string, path: string): Promise<void> {
    await this.#checkParent(operation, path);
    if (await this.#isThere(path)) throw new IoError(operation, path, 'EEXIST', 'failed');
  }
}

const directoryOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf('/')));
const nameOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
