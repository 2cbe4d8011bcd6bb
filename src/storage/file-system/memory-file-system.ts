/**
 * A file system in memory that forgets what a power cut would make a disk forget.
 *
 * It serves stores in memory, and tests: of this engine and of its users. See `memory-inode.ts` for bytes,
 * `memory-directory.ts` for names, `memory-crash.ts` for crashes and `memory-faults.ts` for failures.
 */
import { posix, sep } from 'node:path';
import { LockedError, type LockHolder } from '../../errors.ts';
import type { DirectoryLock, FileStat, FileSystem, ReadableFile, WritableFile } from './file-system.ts';
import { type CrashMode, crashTree, type FileTree, type RandomSource } from './memory-crash.ts';
import { Directory, type FileNode, PendingChanges } from './memory-directory.ts';
import { Fault, type FileOperationHook, OperationGate } from './memory-faults.ts';
import { MemoryReadableFile, MemoryWritableFile, type OpenFileHost } from './memory-files.ts';
import { Inode } from './memory-inode.ts';
import type { FileOperationName } from './node-errors.ts';

/** How large a memory file system may get if nothing else is said: 1 TiB, more than any process has. */
const CAPACITY_BYTES_DEFAULT = 2 ** 40;
const FILE_MODE = 0o600;
const DIRECTORY_MODE = 0o700;

export interface MemoryFileSystemOptions {
  /** Bytes that all files may hold together; beyond it, writes fail with NoSpaceError. Default 2^40. */
  readonly capacityBytes?: number;
  /**
   * Of removed files, the bytes that are kept, the oldest going first: a crash image of mode `'stale'` has them in the place of what was
   * not synced. In bytes; default 0. For tests.
   */
  readonly removedBytesKeptMax?: number;
  /** Called before every call; may make it fail. For tests. */
  readonly onOperation?: FileOperationHook;
}

/**
 * Files in memory, with the rules of POSIX and the durability of a disk.
 *
 * A file's bytes are durable after its `sync`, its name after `syncDirectory` of the directory. Until then both are
 * visible, but may be missing in a {@link MemoryFileSystem.crashImage}. Paths use `/`, are case sensitive, and relative ones begin at the
 * root; parents must exist (`makeDirectory` makes them). Memory grows with what is written, up to twice the bytes of files
 * that are still being written.
 */
export class MemoryFileSystem implements FileSystem {
  readonly isReachableFromWorkers: boolean = false;
  readonly #gate: OperationGate;
  readonly #host: OpenFileHost;
  readonly #capacityBytes: number;
  readonly #locks = new Map<Directory, LockHolder>();
  readonly #removedBytesKeptMax: number;
  #removed: Uint8Array[] = [];
  #removedBytes = 0;
  #root = new Directory();
  #pending = new PendingChanges();
  #usedBytes = 0;

  constructor(options: MemoryFileSystemOptions = {}) {
    this.#capacityBytes = options.capacityBytes ?? CAPACITY_BYTES_DEFAULT;
    this.#removedBytesKeptMax = options.removedBytesKeptMax ?? 0;
    this.#gate = new OperationGate(options.onOperation);
    this.#host = {
      gate: this.#gate,
      takeRoom: (bytes) => {
        const room = Math.min(bytes, Math.max(0, this.#capacityBytes - this.#usedBytes));
        this.#usedBytes += room;
        return room;
      },
      closed: (inode) => this.#freeIfUnused(inode),
    };
  }

  realPath(path: string): Promise<string> {
    return this.#settle('realPath', path, (absolute) => {
      this.#find(absolute);
      return absolute;
    });
  }

  /** Each directory made is synced into its parent, as the real file system does it: calls of their own for the hook. */
  async makeDirectory(path: string): Promise<void> {
    const missing = await this.#settle('makeDirectory', path, (absolute) => this.#missingDirectories(absolute));
    for (const directory of missing) {
      const parent = posix.dirname(directory);
      const made = new Directory();
      await this.#settle('makeDirectory', directory, () => {
        if (!this.#isDirectory(directory)) this.#addName(directory, made); // it may be there by now
      });
      try {
        await this.syncDirectory(parent);
      } catch (thrown) {
        // Taken back, so that a second try begins from the same place.
        const container = this.#directory(parent);
        const name = posix.basename(directory);
        if (container.live.get(name) === made && made.live.size === 0) {
          this.#pending.add([{ directory: container, name, node: undefined }]);
        }
        throw thrown;
      }
    }
  }

  list(directory: string): Promise<string[]> {
    return this.#settle('list', directory, (absolute) => [...this.#directory(absolute).live.keys()].sort());
  }

  stat(path: string): Promise<FileStat> {
    return this.#settle('stat', path, (absolute) => {
      const node = this.#find(absolute);
      if (node.kind === 'directory') return { kind: 'directory', size: 0, mode: DIRECTORY_MODE };
      return { kind: 'file', size: node.visibleSize, mode: FILE_MODE, version: node.version };
    });
  }

  openForRead(path: string): Promise<ReadableFile> {
    return this.#settle('open', path, (absolute) => {
      return new MemoryReadableFile(path, this.#file(absolute), this.#host);
    });
  }

  openForReadNow(path: string): ReadableFile {
    return this.#gate.run('open', path, () => new MemoryReadableFile(path, this.#file(normalise(path)), this.#host));
  }

  create(path: string): Promise<WritableFile> {
    return this.#settle('create', path, (absolute) => {
      const inode = new Inode();
      this.#addName(absolute, inode);
      inode.linkCount = 1;
      return new MemoryWritableFile(path, inode, this.#host);
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.#settle('rename', to, (target) => this.#rename(normalise(from), target));
  }

  link(existing: string, added: string): Promise<void> {
    return this.#settle('link', added, (absolute) => {
      const node = this.#find(normalise(existing));
      if (node.kind === 'directory') throw new Fault('EPERM');
      this.#addName(absolute, node);
      node.linkCount += 1;
    });
  }

  remove(path: string): Promise<void> {
    return this.#settle('remove', path, (absolute) => {
      const inode = this.#file(absolute);
      const directory = this.#directory(posix.dirname(absolute));
      this.#pending.add([{ directory, name: posix.basename(absolute), node: undefined }]);
      this.#unlinked(inode);
    });
  }

  removeDirectory(path: string): Promise<void> {
    return this.#settle('removeDirectory', path, (absolute) => {
      if (this.#directory(absolute).live.size > 0) throw new Fault('ENOTEMPTY');
      if (absolute === '/') throw new Fault('EBUSY');
      const directory = this.#directory(posix.dirname(absolute));
      this.#pending.add([{ directory, name: posix.basename(absolute), node: undefined }]);
    });
  }

  syncDirectory(directory: string): Promise<void> {
    return this.#settle('syncDirectory', directory, (absolute) => this.#pending.sync(this.#directory(absolute)));
  }

  freeBytes(path: string): Promise<number> {
    return this.#settle('freeBytes', path, (absolute) => {
      this.#find(absolute);
      return Math.max(0, this.#capacityBytes - this.#usedBytes);
    });
  }

  /** Exclusive within this file system; a crash image starts without locks. */
  lock(directory: string, holder: LockHolder): Promise<DirectoryLock> {
    return this.#settle('lock', directory, (absolute) => {
      const node = this.#directory(absolute);
      const other = this.#locks.get(node);
      if (other !== undefined) throw new LockedError(directory, other);
      this.#locks.set(node, holder);
      let isHeld = true;
      const release = (): Promise<void> => {
        if (!isHeld) return Promise.resolve();
        isHeld = false;
        this.#locks.delete(node);
        return this.#settle('unlock', directory, () => undefined);
      };
      return { release };
    });
  }

  /**
   * Makes the file system that a crash at this moment could leave. This one is not changed; buffers are shared until
   * written to, so that thousands of images per second can be made of small states.
   *
   * @param random - numbers in [0, 1); the same numbers give the same image
   * @param options - of the new file system
   */
  crashImage(mode: CrashMode, random: RandomSource, options: MemoryFileSystemOptions = {}): MemoryFileSystem {
    const capacityBytes = this.#capacityBytes;
    const removedBytesKeptMax = this.#removedBytesKeptMax;
    const image = new MemoryFileSystem({ capacityBytes, removedBytesKeptMax, ...options });
    image.#adopt(crashTree({ root: this.#root, units: this.#pending.units }, mode, random, this.#removed));
    for (const bytes of this.#removed) image.#keepRemoved(bytes);
    return image;
  }

  /** The bytes of a file as programs see them. Passes no hook. For tests. */
  readFileNow(path: string): Uint8Array {
    return this.#file(normalise(path)).content();
  }

  /** Gives a file another content, or makes it; durable at once, with its name. Passes no hook. For tests. */
  writeFileNow(path: string, bytes: Uint8Array): void {
    const absolute = normalise(path);
    let inode: Inode;
    if (this.#lookUp(absolute) === undefined) {
      inode = new Inode();
      this.#addName(absolute, inode);
      inode.linkCount = 1;
      this.#pending.sync(this.#directory(posix.dirname(absolute)));
    } else inode = this.#file(absolute);
    this.#usedBytes += bytes.length - inode.visibleSize;
    inode.replace(new Uint8Array(bytes)); // a copy, which `slice` of a Buffer is not
  }

  /** Absolute paths of all files, sorted. For tests. */
  paths(): string[] {
    const found: string[] = [];
    const open: [prefix: string, directory: Directory][] = [['', this.#root]];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      for (const [name, node] of next[1].live) {
        const path = `${next[0]}/${name}`;
        if (node.kind === 'file') found.push(path);
        else open.push([path, node]);
      }
    }
    return found.sort();
  }

  #settle<A>(name: FileOperationName, path: string, effect: (absolute: string) => A): Promise<A> {
    const absolute = normalise(path);
    return this.#gate.settle(name, absolute, () => effect(absolute));
  }

  #lookUp(absolute: string): FileNode | undefined {
    let node: FileNode = this.#root;
    if (absolute === '/') return node;
    for (const part of absolute.slice(1).split('/')) {
      if (node.kind === 'file') throw new Fault('ENOTDIR');
      const child = node.live.get(part);
      if (child === undefined) return undefined;
      node = child;
    }
    return node;
  }

  #find(absolute: string): FileNode {
    const node = this.#lookUp(absolute);
    if (node === undefined) throw new Fault('ENOENT');
    return node;
  }

  #directory(absolute: string): Directory {
    const node = this.#find(absolute);
    if (node.kind === 'file') throw new Fault('ENOTDIR');
    return node;
  }

  #file(absolute: string): Inode {
    const node = this.#find(absolute);
    if (node.kind === 'directory') throw new Fault('EISDIR');
    return node;
  }

  #isDirectory(absolute: string): boolean {
    return this.#lookUp(absolute)?.kind === 'directory';
  }

  /** The directories to make for `absolute` to exist, outermost first. */
  #missingDirectories(absolute: string): string[] {
    const missing: string[] = [];
    let directory = absolute;
    while (this.#lookUp(directory) === undefined) {
      missing.push(directory);
      directory = posix.dirname(directory); // ends at the root, which is always there
    }
    this.#directory(directory);
    return missing.reverse();
  }

  #addName(absolute: string, node: FileNode): void {
    const directory = this.#directory(posix.dirname(absolute));
    const name = posix.basename(absolute);
    if (name === '' || directory.live.has(name)) throw new Fault('EEXIST');
    this.#pending.add([{ directory, name, node }]);
  }

  #rename(from: string, to: string): void {
    const node = this.#find(from);
    const replaced = this.#lookUp(to);
    const target = this.#directory(posix.dirname(to));
    if (node === replaced) return; // POSIX: two names of one file both stay
    if (node.kind === 'directory' && `${to}/`.startsWith(`${from}/`)) throw new Fault('EINVAL');
    if (replaced?.kind === 'directory') {
      if (node.kind === 'file') throw new Fault('EISDIR');
      if (replaced.live.size > 0) throw new Fault('ENOTEMPTY');
    } else if (replaced !== undefined && node.kind === 'directory') throw new Fault('ENOTDIR');
    this.#pending.add([
      { directory: this.#directory(posix.dirname(from)), name: posix.basename(from), node: undefined },
      { directory: target, name: posix.basename(to), node },
    ]);
    if (replaced?.kind === 'file') this.#unlinked(replaced);
  }

  #unlinked(inode: Inode): void {
    inode.linkCount -= 1;
    this.#freeIfUnused(inode);
  }

  #freeIfUnused(inode: Inode): void {
    if (inode.linkCount > 0 || inode.openCount > 0) return;
    this.#usedBytes -= inode.visibleSize;
    this.#keepRemoved(inode.view());
  }

  #keepRemoved(bytes: Uint8Array): void {
    if (bytes.length === 0 || bytes.length > this.#removedBytesKeptMax) return;
    this.#removed.push(bytes);
    this.#removedBytes += bytes.length;
    while (this.#removedBytes > this.#removedBytesKeptMax) this.#removedBytes -= this.#removed.shift()?.length ?? 0;
  }

  /** Takes a tree over, and counts its names and bytes. */
  #adopt(tree: FileTree): void {
    this.#root = tree.root;
    for (const unit of tree.units) this.#pending.restore(unit);
    for (const path of this.paths()) {
      const inode = this.#file(path);
      if (inode.linkCount === 0) this.#usedBytes += inode.visibleSize;
      inode.linkCount += 1;
    }
  }
}

/** Absolute, with `/`, without `.`, `..` and double slashes. */
function normalise(path: string): string {
  return posix.resolve('/', sep === '/' ? path : path.replaceAll(sep, '/'));
}
