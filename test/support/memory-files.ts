/** Files that are arrays in memory, for tests of whatever only reads. */
import { IoError } from '../../src/errors.ts';
import type { FileSystem, ReadableFile } from '../../src/storage/file-system/file-system.ts';

/** A file whose bytes, reads and failures the test decides. */
export class MemoryReadableFile implements ReadableFile {
  readonly path: string;
  bytes: Uint8Array;
  reads = 0;
  isClosed = false;
  /** Called before each read; may throw, change `bytes`, or wait. */
  beforeRead: (position: number, length: number) => Promise<void> | undefined = () => undefined;

  constructor(bytes: Uint8Array, path = 'memory') {
    this.bytes = bytes;
    this.path = path;
  }

  size(): Promise<number> {
    return Promise.resolve(this.bytes.length);
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    if (this.isClosed) throw new IoError('read', this.path, 'EBADF', 'failed');
    this.reads += 1;
    await this.beforeRead(position, into.length);
    const part = this.bytes.subarray(position, position + into.length);
    into.set(part);
    return part.length;
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}

/** A directory of such files. It opens; anything else rejects. */
export class MemoryReadOnlyFileSystem implements FileSystem {
  readonly isReachableFromWorkers = false;
  readonly files: Map<string, Uint8Array>;
  /** Files open now, in the order of their opening. */
  readonly open: Set<MemoryReadableFile> = new Set();
  /** Most files that were ever open at once. */
  openMax = 0;
  opened = 0;
  /** Opening more files than this fails with EMFILE. */
  descriptorsMax: number = Infinity;

  constructor(files: Iterable<readonly [path: string, bytes: Uint8Array]>) {
    this.files = new Map(files);
  }

  async openForRead(path: string): Promise<ReadableFile> {
    await Promise.resolve();
    const bytes = this.files.get(path);
    if (bytes === undefined) throw new IoError('open', path, 'ENOENT', 'failed');
    if (this.open.size >= this.descriptorsMax) throw new IoError('open', path, 'EMFILE', 'failed');
    const file = new MemoryReadableFile(bytes, path);
    const close = file.close.bind(file);
    file.close = async () => {
      await close();
      this.open.delete(file);
    };
    this.open.add(file);
    this.opened += 1;
    this.openMax = Math.max(this.openMax, this.open.size);
    return file;
  }

  realPath: () => Promise<never> = refused;
  makeDirectory: () => Promise<never> = refused;
  list: () => Promise<never> = refused;
  stat: () => Promise<never> = refused;
  create: () => Promise<never> = refused;
  rename: () => Promise<never> = refused;
  link: () => Promise<never> = refused;
  remove: () => Promise<never> = refused;
  removeDirectory: () => Promise<never> = refused;
  syncDirectory: () => Promise<never> = refused;
  freeBytes: () => Promise<never> = refused;
  lock: () => Promise<never> = refused;
}

function refused(): Promise<never> {
  return Promise.reject(new IoError('write', 'memory', 'EROFS', 'failed'));
}
