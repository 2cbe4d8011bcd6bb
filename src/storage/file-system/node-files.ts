/** Files of the real file system: a thin layer of rules over {@link Descriptor}. */
import fs from 'node:fs';
import { IoError } from '../../errors.ts';
import type { ReadableFile, WritableFile } from './file-system.ts';
import { Descriptor } from './node-descriptor.ts';
import { systemCode, translateError } from './node-errors.ts';
import type { ReadPace } from './node-read-pace.ts';

/** Nobody but the owner reads or writes what we make. */
const FILE_MODE = 0o600;

/**
 * Opens an existing regular file. A symbolic link is refused (ELOOP), so that one planted in the directory leads nowhere;
 * so is anything else that is not a file: EISDIR for a directory, EINVAL for a device, a pipe or a socket.
 */
export async function openNodeFile(path: string, pace?: ReadPace): Promise<ReadableFile> {
  const descriptor = await Descriptor.open(path, readFlags(), 0, 'open');
  try {
    requireFile(await descriptor.stat('open'), path);
  } catch (thrown) {
    await descriptor.close().catch(() => undefined); // the first error is the one to tell
    throw thrown;
  }
  return new NodeReadableFile(descriptor, pace);
}

/** The same on the calling thread. */
export function openNodeFileNow(path: string, pace?: ReadPace): ReadableFile {
  const descriptor = Descriptor.openNow(path, readFlags(), 0, 'open');
  try {
    requireFile(descriptor.statNow('open'), path);
  } catch (thrown) {
    descriptor.close().catch(() => undefined);
    throw thrown;
  }
  return new NodeReadableFile(descriptor, pace);
}

/** O_NONBLOCK: without it, opening a planted pipe would hold a thread of the pool until somebody writes into it. */
const readFlags = (): number => fs.constants.O_RDONLY | optionalFlag('O_NOFOLLOW') | optionalFlag('O_NONBLOCK');

function requireFile(stats: fs.Stats, path: string): void {
  if (!stats.isFile()) throw new IoError('open', path, stats.isDirectory() ? 'EISDIR' : 'EINVAL', 'failed');
}

/** Makes a new file; EEXIST if the name is taken in any way, O_EXCL follows no link. */
export async function createNodeFile(path: string): Promise<WritableFile> {
  const { O_WRONLY, O_CREAT, O_EXCL } = fs.constants;
  const flags = O_WRONLY | O_CREAT | O_EXCL | optionalFlag('O_NOFOLLOW');
  return new NodeWritableFile(await Descriptor.open(path, flags, FILE_MODE, 'create'));
}

/** Flags that Windows does not have are `undefined` there, whatever the types say. */
function optionalFlag(name: 'O_NOFOLLOW' | 'O_NONBLOCK'): number {
  const flags: Partial<Record<string, number>> = fs.constants;
  return flags[name] ?? 0;
}

class NodeReadableFile implements ReadableFile {
  readonly path: string;
  readonly #descriptor: Descriptor;
  readonly #pace: ReadPace | undefined;

  constructor(descriptor: Descriptor, pace: ReadPace | undefined) {
    this.path = descriptor.path;
    this.#descriptor = descriptor;
    this.#pace = pace;
  }

  async size(): Promise<number> {
    const stats = await this.#descriptor.stat('size');
    return stats.size;
  }

  read(into: Uint8Array, position: number): Promise<number> {
    return this.#descriptor.read(into, position);
  }

  isQuick(bytes: number): boolean | Promise<void> {
    return this.#pace?.isQuick(bytes) ?? false;
  }

  sizeNow(): number {
    return this.#descriptor.statNow('size').size;
  }

  readNow(into: Uint8Array, position: number): number {
    const start = this.#pace?.start();
    const count = this.#descriptor.readNow(into, position);
    if (start !== undefined) this.#pace?.took(start, into.length);
    return count;
  }

  close(): Promise<void> {
    return this.#descriptor.close();
  }
}

/** What is written to reserve room, piece by piece. */
const ZEROS = new Uint8Array(64 * 1024);

class NodeWritableFile implements WritableFile {
  readonly path: string;
  readonly #descriptor: Descriptor;
  /** Bytes that were appended; behind them is what is reserved. */
  #end = 0;
  #reservedEnd = 0;
  /** Whether bytes were handed over that no sync has confirmed; a failed close may then have lost them. */
  #isDirty = false;
  /**
   * The first failed sync. The kernel drops the pages it could not write and calls the next sync a success, so nothing
   * that came before, or comes after, could be trusted: this file takes no more.
   */
  #syncFailure: Error | undefined;
  #closing: Promise<void> | undefined;

  constructor(descriptor: Descriptor) {
    this.path = descriptor.path;
    this.#descriptor = descriptor;
  }

  append(bytes: Uint8Array): Promise<void> {
    if (this.#syncFailure !== undefined) return Promise.reject(this.#refusal('append', this.#syncFailure));
    this.#isDirty = true;
    return this.#descriptor.write(bytes).then(() => {
      this.#end += bytes.length;
    });
  }

  appendNow(bytes: Uint8Array): void {
    if (this.#syncFailure !== undefined) throw this.#refusal('append', this.#syncFailure);
    this.#isDirty = true;
    this.#descriptor.writeNow(bytes);
    this.#end += bytes.length;
  }

  reserveNow(bytes: number): void {
    if (this.#syncFailure !== undefined) throw this.#refusal('reserve', this.#syncFailure);
    const reservedEnd = this.#end + bytes;
    for (let at = this.#end; at < reservedEnd; at += ZEROS.length) {
      this.#descriptor.writeAtNow(ZEROS.subarray(0, reservedEnd - at), at);
      this.#reservedEnd = Math.max(this.#reservedEnd, Math.min(reservedEnd, at + ZEROS.length));
    }
  }

  async trim(): Promise<void> {
    if (this.#reservedEnd <= this.#end) return;
    if (this.#syncFailure !== undefined) throw this.#refusal('trim', this.#syncFailure);
    await this.#descriptor.truncate(this.#end);
    this.#reservedEnd = 0;
  }

  async sync(): Promise<void> {
    if (this.#syncFailure !== undefined) throw this.#refusal('sync', this.#syncFailure);
    const wasDirty = this.#isDirty;
    this.#isDirty = false; // before the call: an append during it is not covered by it
    try {
      await this.#descriptor.syncData();
    } catch (thrown) {
      this.#isDirty ||= wasDirty;
      // A sync of a closed file never began and says nothing about the disk.
      const hasBegun = !(thrown instanceof IoError && thrown.outcome === 'failed');
      if (hasBegun) this.#syncFailure = thrown instanceof Error ? thrown : new Error(String(thrown));
      throw thrown;
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#descriptor.close().catch((thrown: unknown) => {
      const cause = thrown instanceof IoError ? thrown.cause : thrown;
      throw translateError(cause, 'close', this.path, this.#isDirty ? 'unknown' : 'failed');
    });
    return this.#closing;
  }

  /** An append is refused before it begins, so it `'failed'`; what a refused sync should have saved stays unknown. */
  #refusal(operation: 'append' | 'reserve' | 'sync' | 'trim', cause: Error): IoError {
    const code = cause instanceof IoError ? cause.systemCode : (systemCode(cause.cause) ?? 'EIO');
    return new IoError(operation, this.path, code, operation === 'sync' ? 'unknown' : 'failed', { cause });
  }
}
