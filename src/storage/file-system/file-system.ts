/**
 * The port through which every byte passes. Nothing else in `src` may reach `node:fs`; a lint rule says so.
 *
 * Every call rejects (or throws) with an {@link EngineError}: {@link IoError} with the system's code, {@link NoSpaceError}
 * for ENOSPC and EDQUOT, {@link LockedError} from `lock`. Paths are absolute or relative to the process; nothing here joins
 * a name that came out of a file.
 */
import type { LockHolder } from '../../errors.ts';

/** What `stat` tells. */
export interface FileStat {
  readonly kind: 'file' | 'directory' | 'other';
  /** Bytes. */
  readonly size: number;
  /** Permission bits, for instance 0o600. */
  readonly mode: number;
  /** Of a file: another number when its content may be another, also at the same size. Absent: nobody knows. */
  readonly version?: number | undefined;
}

/** A file open for reading at any place. */
export interface ReadableFile {
  readonly path: string;
  /** Bytes in the file at this moment. */
  size(): Promise<number>;
  /**
   * Fills `into` from `position` on. Loops over short reads; gives fewer bytes than asked only at the end of the file.
   *
   * @returns the bytes read
   */
  read(into: Uint8Array, position: number): Promise<number>;
  /**
   * Whether a read of so many bytes is likely to be quick on the calling thread, by {@link ReadableFile.readNow}. A promise:
   * ask again when it resolves, because others shall have their turn first. Absent: no.
   */
  isQuick?(bytes: number): boolean | Promise<void>;
  /** The same on the calling thread, for `getSync` and for what is quick; absent where that cannot be done. */
  readNow?(into: Uint8Array, position: number): number;
  /** As {@link ReadableFile.size}, on the calling thread. */
  sizeNow?(): number;
  /** Idempotent. */
  close(): Promise<void>;
}

/** A new file, open for appending. */
export interface WritableFile {
  readonly path: string;
  /**
   * Appends all of `bytes` or rejects, having perhaps written a part. Loops over short writes. One call at a time; `bytes`
   * must not change until it settles.
   */
  append(bytes: Uint8Array): Promise<void>;
  /** The same, on the calling thread: for small pieces, where a round trip through the thread pool would cost more. */
  appendNow(bytes: Uint8Array): void;
  /**
   * Writes `bytes` zeros behind the end, on the calling thread; appends take their place. Readers see them until then, and
   * after a crash. The sync of an append into room that an earlier sync has covered has content to write and nothing else:
   * where the file grows, a journaling file system has to write down its new size and its new blocks as well.
   *
   * May fail without harm: nothing that was appended is touched.
   */
  reserveNow(bytes: number): void;
  /** Cuts off what was reserved and not used. */
  trim(): Promise<void>;
  /**
   * Makes content and size durable (fdatasync), not the name: that is `syncDirectory`'s. After a failure nothing about the
   * unsynced bytes is known, and no later success proves anything about them: write them into a new file.
   */
  sync(): Promise<void>;
  /** Idempotent. Does not sync. */
  close(): Promise<void>;
}

/** A lock on a database directory; the kernel lets go of it when the process dies. */
export interface DirectoryLock {
  /** Idempotent. */
  release(): Promise<void>;
}

/** The file system as the engine sees it. */
export interface FileSystem {
  /** Whether a worker thread that makes its own `NodeFileSystem` sees the same files. */
  readonly isReachableFromWorkers: boolean;
  /** The one absolute name of an existing path, symbolic links resolved. */
  realPath(path: string): Promise<string>;
  /**
   * Makes the directory and its missing parents with mode 0700; no error if it is there already. Those that it made are
   * durable on return.
   */
  makeDirectory(path: string): Promise<void>;
  /** Names in a directory, sorted by code unit; no `.` and `..`. */
  list(directory: string): Promise<string[]>;
  stat(path: string): Promise<FileStat>;
  openForRead(path: string): Promise<ReadableFile>;
  /** The same on the calling thread, for `getSync`; absent where that cannot be done. */
  openForReadNow?(path: string): ReadableFile;
  /** Makes a new file with mode 0600; EEXIST if the name is taken, also by a dangling link. */
  create(path: string): Promise<WritableFile>;
  /** Atomically, over an existing file too. Durable only after `syncDirectory`. */
  rename(from: string, to: string): Promise<void>;
  link(existing: string, added: string): Promise<void>;
  remove(path: string): Promise<void>;
  /** Removes an empty directory; rejects with ENOTEMPTY (some systems say EEXIST) if it is not. */
  removeDirectory(path: string): Promise<void>;
  /** Makes creations, renames and removals in the directory durable. */
  syncDirectory(directory: string): Promise<void>;
  /** Bytes that this process may still write on the file system that holds `path`. */
  freeBytes(path: string): Promise<number>;
  /**
   * Takes the lock of a database directory, at once or not at all: rejects with {@link LockedError}, which names the holder.
   * Excludes other stores in this process, other processes, and real LevelDB where the platform lets us.
   *
   * @param holder - who we are, for the error of whoever comes later
   */
  lock(directory: string, holder: LockHolder): Promise<DirectoryLock>;
}
