/**
 * The kernel's lock on a file, through the optional package fs-native-extensions: F_OFD_SETLK on Linux, which excludes the
 * fcntl locks of real LevelDB both ways, flock on macOS, LockFileEx on Windows. Dropped when its descriptor is closed, so
 * also when the process dies.
 */
import { constants } from 'node:fs';
import { createRequire } from 'node:module';
import { IoError } from '../../errors.ts';
import { Descriptor } from './node-descriptor.ts';
import { systemCode, translateError } from './node-errors.ts';

type TryLock = (descriptor: number) => boolean;

/** Loaded at the first lock; `null` once it is known not to be there (a platform without it, or not installed). */
let tryLock: TryLock | null | undefined;

/**
 * Locks the file, which is made if it is missing.
 *
 * @returns what gives the lock back; `'held'` by somebody else; `'unavailable'` without the package
 */
export async function takeNativeLock(path: string): Promise<(() => Promise<void>) | 'held' | 'unavailable'> {
  if (tryLock === undefined) tryLock = loadTryLock();
  if (tryLock === null) return 'unavailable';
  const { O_RDWR, O_CREAT } = constants;
  const flags: Partial<Record<string, number>> = constants; // Windows has neither of the two below
  const safe = (flags['O_NOFOLLOW'] ?? 0) | (flags['O_NONBLOCK'] ?? 0);
  const descriptor = await openUnlessBusy(path, O_RDWR | O_CREAT | safe);
  if (descriptor === undefined) return 'held';
  let isLocked = false;
  try {
    const stats = await descriptor.stat('lock');
    if (!stats.isFile()) throw new IoError('lock', path, 'EINVAL', 'failed');
    isLocked = isFree(tryLock, descriptor);
  } finally {
    if (!isLocked) await descriptor.close().catch(() => undefined); // nothing was written through it
  }
  return isLocked ? () => descriptor.close() : 'held';
}

/** Real LevelDB on Windows shares LOCK with nobody: there the open itself says that it is held. */
async function openUnlessBusy(path: string, flags: number): Promise<Descriptor | undefined> {
  try {
    return await Descriptor.open(path, flags, 0o600, 'lock');
  } catch (thrown) {
    if (thrown instanceof IoError && thrown.systemCode === 'EBUSY') return undefined;
    throw thrown;
  }
}

/** Codes by which the platforms say that somebody else has it. */
const HELD_CODES: ReadonlySet<string | undefined> = new Set(['EAGAIN', 'EWOULDBLOCK', 'EACCES', 'EBUSY']);

function isFree(lock: TryLock, descriptor: Descriptor): boolean {
  try {
    return lock(descriptor.number);
  } catch (thrown) {
    if (HELD_CODES.has(systemCode(thrown))) return false;
    throw translateError(thrown, 'lock', descriptor.path);
  }
}

function loadTryLock(): TryLock | null {
  try {
    const loaded: unknown = createRequire(import.meta.url)('fs-native-extensions');
    if (typeof loaded !== 'object' || loaded === null || !('tryLock' in loaded)) return null;
    const { tryLock: candidate } = loaded;
    if (typeof candidate !== 'function') return null;
    return (descriptor) => Reflect.apply(candidate, loaded, [descriptor]) === true;
  } catch {
    return null; // no build for this platform is no error: the lock in pure Node holds without it
  }
}
