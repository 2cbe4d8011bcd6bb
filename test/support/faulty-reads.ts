/**
 * Files that do not give what is in them: a flipped bit, too few bytes, an error, the bytes of another place of the file, or
 * of another file. The first so many reads, by the numbers that are drawn; sizes and names are right.
 */
import { IoError } from '../../src/index.ts';
import type { ReadableFile } from '../../src/storage/file-system/file-system.ts';
import { kindOf } from './damages.ts';
import { FaultFileSystem } from './fault-file-system.ts';

export type ReadFault = 'flip' | 'short' | 'EIO' | 'elsewhere' | 'otherFile';
export const READ_FAULTS: readonly ReadFault[] = ['flip', 'short', 'EIO', 'elsewhere', 'otherFile'];

export interface ReadPlan {
  readonly fault: ReadFault;
  /** Reads are counted from 0: this one is the first that goes wrong. */
  readonly at: number;
  /** So many of that file go wrong, one after the other: a repeated read may be right, or not. */
  readonly times: number;
  readonly random: () => number;
}

export class FaultyReads extends FaultFileSystem {
  reads = 0;
  /** What went wrong, in words; none: the read at which something should have was never made. */
  readonly done: string[] = [];
  readPlan: ReadPlan | undefined;
  #path: string | undefined;
  #asks = 0;

  override async openForRead(path: string): Promise<ReadableFile> {
    return this.#faulty(path, await super.openForRead(path));
  }

  override openForReadNow(path: string): ReadableFile {
    return this.#faulty(path, super.openForReadNow(path));
  }

  #faulty(path: string, file: ReadableFile): ReadableFile {
    const readNow = (into: Uint8Array, position: number): number => {
      const count = file.readNow?.(into, position) ?? 0;
      return this.#spoil(path, into, position, count);
    };
    return {
      path: file.path,
      size: () => file.size(),
      sizeNow: () => file.sizeNow?.() ?? 0,
      readNow,
      // In turn at once, in the background, and at once in the next turn.
      isQuick: () => [true, false, Promise.resolve()][this.#asks++ % 3] ?? true,
      // The memory file system does its work at once in either way.
      read: (into, position) => Promise.resolve().then(() => readNow(into, position)),
      close: () => file.close(),
    };
  }

  #spoil(path: string, into: Uint8Array, position: number, count: number): number {
    const index = this.reads;
    this.reads += 1;
    const plan = this.readPlan;
    if (plan === undefined || index < plan.at || this.done.length >= plan.times) return count;
    if (this.#path !== undefined && this.#path !== path) return count;
    const before = into.slice(0, count);
    const given = this.#spoiled(plan, path, into, position, count);
    if (given === count && Buffer.compare(before, into.subarray(0, count)) === 0) return count;
    this.#path = path;
    this.done.push(`${plan.fault}: read ${index}, ${count} bytes at ${position} of ${path}`);
    return given;
  }

  #spoiled({ fault, random }: ReadPlan, path: string, into: Uint8Array, position: number, count: number): number {
    if (fault === 'EIO') {
      this.#path = path;
      this.done.push(`EIO: read of ${count} bytes at ${position} of ${path}`);
      throw new IoError('read', path, 'EIO', 'failed');
    }
    if (fault === 'short') return Math.floor(random() * count);
    if (fault === 'flip') {
      const bit = Math.floor(random() * 8 * count);
      into[bit >>> 3] = (into[bit >>> 3] ?? 0) ^ (1 << (bit & 7));
      return count;
    }
    const others = this.memory.paths().filter((other) => other !== path && kindOf(other) === kindOf(path));
    const other = fault === 'otherFile' ? others[Math.floor(random() * others.length)] : path;
    if (other === undefined) return count;
    const bytes = this.memory.readFileNow(other);
    // Half of them where another block or record may begin; the rest anywhere. Another file: at the same place, or not.
    const anywhere = Math.floor(random() * Math.max(1, bytes.length - count));
    const from = fault === 'otherFile' && random() < 0.7 ? position : anywhere;
    if (from + count > bytes.length) return count;
    into.set(bytes.subarray(from, from + count));
    return count;
  }
}
