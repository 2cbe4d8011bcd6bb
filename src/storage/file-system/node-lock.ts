/**
 * The lock of a database directory on a real disk. Node has none of its own, so three are taken, in this order:
 *
 * 1. a map in this thread, of real paths: no second store here, and it knows its holder;
 * 2. one in pure Node that the system drops when the process dies: see `node-lock-socket.ts` (Linux and Windows) and
 *    `node-lock-generations.ts` (elsewhere); it keeps out every other process with this engine, and other threads;
 * 3. if the optional package fs-native-extensions is there, a kernel lock on the file LOCK, which keeps out real LevelDB,
 *    and on Linux also processes in other containers that see the same directory.
 *
 * All three are free at once when the holder is killed. Any one of them that is held by somebody else refuses; any other
 * failure is an error: nobody goes on half locked. The note `alluvium.lock` only tells the refused one whom to ask.
 *
 * A process that uses real LevelDB on the same directory would lose its own fcntl lock when we close LOCK after a refusal.
 * That is how POSIX defines these locks; do not open one directory with both in one process.
 */
import { createHash } from 'node:crypto';
import { realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { LockedError, type LockHolder } from '../../errors.ts';
import type { DirectoryLock } from './file-system.ts';
import { translateError } from './node-errors.ts';
import { takeGeneration } from './node-lock-generations.ts';
import { takeNativeLock } from './node-lock-native.ts';
import { readLiveNote, removeNote, writeNote } from './node-lock-note.ts';
import { takeSocket } from './node-lock-socket.ts';

/** Gives one part of the lock back. */
export type Release = () => Promise<void>;

const NOBODY_KNOWN: LockHolder = { pid: undefined, since: undefined };

/** What this thread holds. */
const held = new Map<string, LockHolder>();

/** Takes the lock of an existing directory; see {@link DirectoryLock}. */
export async function lockDirectory(directory: string, holder: LockHolder): Promise<DirectoryLock> {
  const identity = await identityOf(directory);
  const other = held.get(identity);
  if (other !== undefined) throw new LockedError(directory, other);
  held.set(identity, holder); // no await since the look: two calls cannot both get here

  const releases: Release[] = [
    () => {
      held.delete(identity);
      return Promise.resolve();
    },
  ];
  try {
    const hasSockets = process.platform === 'linux' || process.platform === 'win32';
    if (hasSockets) await takeNamed(directory, identity, releases);
    const isNative = await takeNative(directory, releases);
    if (!hasSockets) await takeFiles(directory, holder.since, isNative, releases);
  } catch (thrown) {
    await releaseAll(releases).catch(() => undefined); // the first error is the one to tell
    throw translateError(thrown, 'lock', directory);
  }
  const note = join(directory, 'alluvium.lock');
  if (await writeNote(note, holder)) releases.push(() => removeNote(note));

  let released: Promise<void> | undefined;
  return {
    release: () => {
      released ??= releaseAll(releases).catch((thrown: unknown) => {
        throw translateError(thrown, 'unlock', directory);
      });
      return released;
    },
  };
}

async function takeNamed(directory: string, identity: string, releases: Release[]): Promise<void> {
  const release = await takeSocket(identity);
  // Held by this engine elsewhere; its note may not be written yet, or be the last one's.
  if (release === undefined) {
    throw new LockedError(directory, (await readLiveNote(join(directory, 'alluvium.lock'))) ?? NOBODY_KNOWN);
  }
  releases.push(release);
}

/** @returns whether a native lock is held; false if the package is not there */
async function takeNative(directory: string, releases: Release[]): Promise<boolean> {
  const release = await takeNativeLock(join(directory, 'LOCK'));
  if (release === 'unavailable') return false;
  // Where the socket was free, it is real LevelDB, or somebody in another container: a note would be an old one's.
  if (release === 'held') throw new LockedError(directory, NOBODY_KNOWN);
  releases.push(release);
  return true;
}

async function takeFiles(
  directory: string,
  since: Date | undefined,
  isNative: boolean,
  releases: Release[],
): Promise<void> {
  const taken = await takeGeneration(directory, since, isNative);
  if (taken.kind === 'held') throw new LockedError(directory, taken.holder);
  releases.push(taken.release);
}

/** Gives all parts back, the last one taken first; goes on after a failure, and tells the first one at the end. */
async function releaseAll(releases: readonly Release[]): Promise<void> {
  const failures: unknown[] = [];
  for (const release of releases.toReversed()) await release().catch((thrown: unknown) => failures.push(thrown));
  if (failures.length > 0) throw failures[0];
}

/** One name for one directory, however it is reached: the hash hides the path and fits into the name of a socket. */
async function identityOf(directory: string): Promise<string> {
  try {
    const real = await realpath(directory);
    const { dev, ino } = await stat(real, { bigint: true });
    return createHash('sha256').update(`${real}\0${dev}:${ino}`).digest('hex');
  } catch (thrown) {
    throw translateError(thrown, 'lock', directory);
  }
}
