/**
 * The note that a holder leaves, for the error of whoever comes later.
 *
 * ```text
 * note := JSON { "pid": whole number, "since": ISO 8601 date } , at most 1 KiB
 * ```
 *
 * It decides nothing: the locks do. So it is not synced, may be missing, and is believed only if its process lives.
 */
import { unlink } from 'node:fs/promises';
import type { LockHolder } from '../../errors.ts';
import { systemCode } from './node-errors.ts';
import { createNodeFile, openNodeFile } from './node-files.ts';

const NOTE_BYTES_MAX = 1024;

/** @returns whether it was written; a full or strange directory must not keep a store from opening */
export async function writeNote(path: string, holder: LockHolder): Promise<boolean> {
  const note = JSON.stringify({ pid: holder.pid, since: holder.since?.toISOString() });
  try {
    // Removed and made anew, never truncated: the name may be a planted hard link to something of value.
    await removeNote(path);
    const file = await createNodeFile(path);
    try {
      file.appendNow(new TextEncoder().encode(note));
    } finally {
      await file.close();
    }
    return true;
  } catch {
    return false;
  }
}

/** Never rejects: the directory may be gone by now, and an old note is not believed anyway. */
export async function removeNote(path: string): Promise<void> {
  await unlink(path).catch(() => undefined);
}

/** The holder by the note; `undefined` if there is none, it makes no sense, or its process is dead. */
export async function readLiveNote(path: string): Promise<LockHolder | undefined> {
  try {
    const file = await openNodeFile(path);
    try {
      const bytes = new Uint8Array(NOTE_BYTES_MAX); // what is longer is cut, and then no JSON
      const length = await file.read(bytes, 0);
      const holder = parseHolder(new TextDecoder().decode(bytes.subarray(0, length)));
      return holder?.pid !== undefined && isRunning(holder.pid) ? holder : undefined;
    } finally {
      await file.close();
    }
  } catch {
    return undefined;
  }
}

/** @returns the holder that a text names, or `undefined` if it names no process */
export function parseHolder(text: string): LockHolder | undefined {
  const note = parseObject(text);
  if (note === undefined) return undefined;
  const pid: unknown = Reflect.get(note, 'pid');
  if (typeof pid !== 'number' || !Number.isSafeInteger(pid) || pid <= 0) return undefined;
  const iso: unknown = Reflect.get(note, 'since');
  const since = new Date(typeof iso === 'string' ? iso : NaN);
  return { pid, since: Number.isNaN(since.getTime()) ? undefined : since };
}

/** The object that a text holds; `undefined` if it is no JSON, or no object. */
export function parseObject(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a process of this number runs here. Any doubt (not ours to signal) counts as running. */
export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0); // signal 0 only asks
    return true;
  } catch (thrown) {
    return systemCode(thrown) !== 'ESRCH';
  }
}
