/** A file system whose every asynchronous call happens when somebody else says so. */
import type { LockHolder } from '../../src/errors.ts';
import type {
  DirectoryLock,
  FileStat,
  FileSystem,
  ReadableFile,
  WritableFile,
} from '../../src/storage/file-system/file-system.ts';

/** Resolves when the call of that name may happen. */
export type Turn = (call: string) => Promise<unknown> | undefined;

export class DelayedFileSystem implements FileSystem {
  readonly isReachableFromWorkers = false;
  readonly #inner: FileSystem;
  readonly #turn: Turn;
  readonly #answerTurn: Turn | undefined;

  /** @param answerTurn - resolves when a call that has happened may be answered; at once, if it is not given */
  constructor(inner: FileSystem, turn: Turn, answerTurn?: Turn) {
    this.#inner = inner;
    this.#turn = turn;
    this.#answerTurn = answerTurn;
  }

  async #later<T>(call: string, work: () => Promise<T>): Promise<T> {
    await this.#turn(call);
    if (this.#answerTurn === undefined) return work();
    try {
      return await work();
    } finally {
      await this.#answerTurn(`answer ${call}`);
    }
  }

  realPath(path: string): Promise<string> {
    return this.#later('realPath', () => this.#inner.realPath(path));
  }
  makeDirectory(path: string): Promise<void> {
    return this.#later('makeDirectory', () => this.#inner.makeDirectory(path));
  }
  list(directory: string): Promise<string[]> {
    return this.#later('list', () => this.#inner.list(directory));
  }
  stat(path: string): Promise<FileStat> {
    return this.#later('stat', () => this.#inner.stat(path));
  }
  rename(from: string, to: string): Promise<void> {
    return this.#later('rename', () => this.#inner.rename(from, to));
  }
  link(existing: string, added: string): Promise<void> {
    return this.#later('link', () => this.#inner.link(existing, added));
  }
  remove(path: string): Promise<void> {
    return this.#later(`remove ${path}`, () => this.#inner.remove(path));
  }
  removeDirectory(path: string): Promise<void> {
    return this.#later(`removeDirectory ${path}`, () => this.#inner.removeDirectory(path));
  }
  syncDirectory(directory: string): Promise<void> {
    return this.#later('syncDirectory', () => this.#inner.syncDirectory(directory));
  }
  freeBytes(path: string): Promise<number> {
    return this.#later('freeBytes', () => this.#inner.freeBytes(path));
  }

  async openForRead(path: string): Promise<ReadableFile> {
    const file = await this.#later(`open ${path}`, () => this.#inner.openForRead(path));
    return {
      path: file.path,
      size: () => this.#later(`size ${path}`, () => file.size()),
      read: (into, position) => this.#later(`read ${path}`, () => file.read(into, position)),
      close: () => this.#later(`close ${path}`, () => file.close()),
    };
  }

  async create(path: string): Promise<WritableFile> {
    const file = await this.#later(`create ${path}`, () => this.#inner.create(path));
    return {
      path: file.path,
      append: (bytes) => this.#later(`append ${path}`, () => file.append(bytes)),
      appendNow: (bytes) => file.appendNow(bytes),
      reserveNow: (bytes) => file.reserveNow(bytes),
      trim: () => this.#later(`trim ${path}`, () => file.trim()),
      sync: () => this.#later(`sync ${path}`, () => file.sync()),
      close: () => this.#later(`close ${path}`, () => file.close()),
    };
  }

  async lock(directory: string, holder: LockHolder): Promise<DirectoryLock> {
    const lock = await this.#later('lock', () => this.#inner.lock(directory, holder));
    return { release: () => this.#later('unlock', () => lock.release()) };
  }
}
