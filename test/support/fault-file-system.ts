/**
 * A memory file system with a fault plan, which also counts what stays open and tells the calls that come too late.
 *
 * It stands in front of the real one and not in its hook, so that it sees handles as their owner does.
 */
import type { LockHolder } from '../../src/errors.ts';
import { Fault, type FileOperation } from '../../src/storage/file-system/memory-faults.ts';
import { MemoryFileSystem } from '../../src/index.ts';
import type {
  DirectoryLock,
  FileStat,
  FileSystem,
  ReadableFile,
  WritableFile,
} from '../../src/storage/file-system/file-system.ts';

/** How much of an append or a read happens before its failure: a part of its bytes, from 0 to 1, or so many. */
export type Arriving = number | 'one byte' | 'all but one byte';

/** Fails the calls that `isHit` picks. */
export interface FaultPlan {
  /** The system's code; `'short'`: a read gives too few bytes, and says nothing. It concerns reads only. */
  readonly code: string;
  /** Of an append, or a short read. */
  readonly arrives: Arriving;
  isHit(operation: FileOperation): boolean;
}

function arrivingOf(bytes: number, arrives: Arriving): number {
  if (typeof arrives === 'number') return Math.floor(bytes * arrives);
  return arrives === 'one byte' ? Math.min(1, bytes) : Math.max(0, bytes - 1);
}

export class FaultFileSystem implements FileSystem {
  readonly isReachableFromWorkers = false;
  readonly memory: MemoryFileSystem;
  /** Paths of the files that are open, each as often as it is. */
  readonly openPaths: string[] = [];
  /** While it is set, every call to it is noted: nobody should make one. */
  isFinished = false;
  readonly lateCalls: string[] = [];
  plan: FaultPlan | undefined;
  faults = 0;
  calls = 0;
  locks = 0;
  /** Bytes that the read under way may give. */
  #readMax = Infinity;

  constructor(memory?: MemoryFileSystem) {
    const onOperation = (operation: FileOperation): Error | undefined => this.#onOperation(operation);
    this.memory = memory?.crashImage('all', () => 0, { onOperation }) ?? new MemoryFileSystem({ onOperation });
  }

  #onOperation(operation: FileOperation): Error | undefined {
    this.calls += 1;
    if (this.isFinished) this.lateCalls.push(`${operation.name} ${operation.path}`);
    const { plan } = this;
    if (plan?.isHit(operation) !== true) return undefined;
    const arriving = arrivingOf(operation.bytes, plan.arrives);
    if (plan.code === 'short') {
      if (operation.name !== 'read') return undefined;
      this.#readMax = arriving;
    }
    this.faults += 1;
    if (plan.code === 'short') return undefined;
    return new Fault(plan.code, operation.name === 'append' ? arriving : 0);
  }

  realPath(path: string): Promise<string> {
    return this.memory.realPath(path);
  }
  makeDirectory(path: string): Promise<void> {
    return this.memory.makeDirectory(path);
  }
  list(directory: string): Promise<string[]> {
    return this.memory.list(directory);
  }
  stat(path: string): Promise<FileStat> {
    return this.memory.stat(path);
  }
  rename(from: string, to: string): Promise<void> {
    return this.memory.rename(from, to);
  }
  link(existing: string, added: string): Promise<void> {
    return this.memory.link(existing, added);
  }
  remove(path: string): Promise<void> {
    return this.memory.remove(path);
  }
  removeDirectory(path: string): Promise<void> {
    return this.memory.removeDirectory(path);
  }
  syncDirectory(directory: string): Promise<void> {
    return this.memory.syncDirectory(directory);
  }
  freeBytes(path: string): Promise<number> {
    return this.memory.freeBytes(path);
  }

  async openForRead(path: string): Promise<ReadableFile> {
    return this.#readable(path, await this.memory.openForRead(path));
  }
  openForReadNow(path: string): ReadableFile {
    return this.#readable(path, this.memory.openForReadNow(path));
  }

  #readable(path: string, file: ReadableFile): ReadableFile {
    return {
      path: file.path,
      size: () => file.size(),
      read: (into, position) => {
        this.#readMax = Infinity;
        const reading = file.read(into, position);
        const max = this.#readMax;
        return reading.then((count) => Math.min(count, max));
      },
      // The memory file system has both.
      sizeNow: () => file.sizeNow?.() ?? 0,
      readNow: (into, position) => {
        this.#readMax = Infinity;
        const count = file.readNow?.(into, position) ?? 0;
        return Math.min(count, this.#readMax);
      },
      close: this.#closer(path, () => file.close()),
    };
  }

  async create(path: string): Promise<WritableFile> {
    const file = await this.memory.create(path);
    const { path: name } = file;
    return {
      path: name,
      append: (bytes) => file.append(bytes),
      appendNow: (bytes) => file.appendNow(bytes),
      reserveNow: (bytes) => file.reserveNow(bytes),
      trim: () => file.trim(),
      sync: () => file.sync(),
      close: this.#closer(path, () => file.close()),
    };
  }

  async lock(directory: string, holder: LockHolder): Promise<DirectoryLock> {
    const lock = await this.memory.lock(directory, holder);
    this.locks += 1;
    let isHeld = true;
    const release = (): Promise<void> => {
      if (isHeld) this.locks -= 1;
      isHeld = false;
      return lock.release();
    };
    return { release };
  }

  /** A descriptor is gone after its close, also when that fails. */
  #closer(path: string, close: () => Promise<void>): () => Promise<void> {
    this.openPaths.push(path);
    let isOpen = true;
    return () => {
      if (isOpen) this.openPaths.splice(this.openPaths.indexOf(path), 1);
      isOpen = false;
      return close();
    };
  }
}
