/** Open files of the memory file system. Each does its work at once and answers with a settled promise. */
import { NoSpaceError } from '../../errors.ts';
import type { ReadableFile, WritableFile } from './file-system.ts';
import { Fault, type OperationGate } from './memory-faults.ts';
import type { Inode } from './memory-inode.ts';
import { translateError } from './node-errors.ts';

/** What open files need of their file system. */
export interface OpenFileHost {
  readonly gate: OperationGate;
  /** Takes up to `bytes` of the room that is left; returns how much it got. A negative number gives room back. */
  takeRoom(bytes: number): number;
  /** Told after each close; frees the room of a file that has neither names nor open files. */
  closed(inode: Inode): void;
}

abstract class MemoryFile {
  readonly path: string;
  protected readonly inode: Inode;
  protected readonly host: OpenFileHost;
  protected isOpen = true;

  constructor(path: string, inode: Inode, host: OpenFileHost) {
    this.path = path;
    this.inode = inode;
    this.host = host;
    inode.openCount += 1;
  }

  close(): Promise<void> {
    if (!this.isOpen) return Promise.resolve();
    this.isOpen = false; // also when it fails: a descriptor is gone after close, whatever it says
    this.inode.openCount -= 1;
    this.host.closed(this.inode);
    const hasUnsynced = this.inode.writeEnds.length > 0;
    return this.host.gate
      .settle('close', this.path, () => undefined)
      .catch((thrown: unknown) => {
        const cause = thrown instanceof Error ? (thrown.cause ?? thrown) : thrown;
        throw translateError(cause, 'close', this.path, hasUnsynced ? 'unknown' : 'failed');
      });
  }

  protected requireOpen(): void {
    if (!this.isOpen) throw new Fault('EBADF');
  }
}

export class MemoryReadableFile extends MemoryFile implements ReadableFile {
  size(): Promise<number> {
    return this.host.gate.settle('size', this.path, () => this.#size());
  }

  sizeNow(): number {
    return this.host.gate.run('size', this.path, () => this.#size());
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return this.host.gate.settle('read', this.path, () => this.#read(into, position), into.length);
  }

  readNow(into: Uint8Array, position: number): number {
    return this.host.gate.run('read', this.path, () => this.#read(into, position), into.length);
  }

  #size(): number {
    this.requireOpen();
    return this.inode.visibleSize;
  }

  #read(into: Uint8Array, position: number): number {
    this.requireOpen();
    return this.inode.read(into, position);
  }
}

export class MemoryWritableFile extends MemoryFile implements WritableFile {
  append(bytes: Uint8Array): Promise<void> {
    return this.host.gate.settle('append', this.path, (bytesMax) => this.#append(bytes, bytesMax), bytes.length);
  }

  appendNow(bytes: Uint8Array): void {
    this.host.gate.run('append', this.path, (bytesMax) => this.#append(bytes, bytesMax), bytes.length);
  }

  reserveNow(bytes: number): void {
    this.host.gate.run('reserve', this.path, (bytesMax) => this.#reserve(Math.min(bytes, bytesMax), bytes), bytes);
  }

  trim(): Promise<void> {
    if (this.inode.visibleSize === this.inode.size) return Promise.resolve();
    return this.host.gate.settle('trim', this.path, () => {
      this.requireOpen();
      this.host.takeRoom(this.inode.size - this.inode.visibleSize);
      this.inode.trimReserve();
    });
  }

  sync(): Promise<void> {
    return this.host.gate.settle(
      'sync',
      this.path,
      () => {
        this.requireOpen();
        this.inode.sync();
      },
      0,
      () => this.inode.loseUnsynced(),
    );
  }

  override close(): Promise<void> {
    if (this.isOpen) this.inode.trim();
    return super.close();
  }

  #append(bytes: Uint8Array, bytesMax: number): void {
    this.requireOpen();
    const wanted = Math.min(bytes.length, bytesMax);
    const reserved = Math.min(wanted, this.inode.visibleSize - this.inode.size);
    const room = reserved + this.host.takeRoom(wanted - reserved);
    this.inode.append(room < bytes.length ? bytes.subarray(0, room) : bytes);
    if (room < wanted) throw new NoSpaceError('append', this.path);
  }

  #reserve(bytes: number, wanted: number): void {
    this.requireOpen();
    const { size, visibleSize } = this.inode;
    const missing = Math.max(0, size + bytes - visibleSize);
    const room = this.host.takeRoom(missing);
    this.inode.reserve(bytes - missing + room);
    if (room < missing && bytes === wanted) throw new NoSpaceError('reserve', this.path);
  }
}
