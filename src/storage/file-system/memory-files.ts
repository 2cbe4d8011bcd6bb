/** Open files of the memory file system. Each does its work at once and answers with a settled promise. */
import { NoSpaceError } from '../../errors.ts';
import type { ReadableFile, WritableFile } from './file-system.ts';
import { Fault, type OperationGate } from './memory-faults.ts';
import type { Inode } from './memory-inode.ts';
import { translateError } from './node-errors.ts';

/** What open files need of their file system. */
export interface OpenFileHost {
  readonly gate: OperationGate;
  /** Takes up to `bytes` of the room that is left; returns how much it got. */
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
    return this.inode.size;
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
    const room = this.host.takeRoom(wanted);
    this.inode.append(room < bytes.length ? bytes.subarray(0, room) : bytes);
    if (room < wanted) throw new NoSpaceError('append', this.path);
  }
}
