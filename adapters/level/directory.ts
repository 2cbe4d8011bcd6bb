/**
 * `destroy` and `repair`: what is done to a database that nobody has open.
 *
 * Only names that a database gives to its files are removed, exactly as it writes them: what somebody else has put into the
 * directory stays, and then so does the directory. CURRENT goes first: whatever a crash leaves of the rest is no database.
 */
import { lstat, rm, rmdir } from 'node:fs/promises';
import { type FileSystem, IoError, NodeFileSystem, repair as repairDatabase } from 'alluvium';
import { throwLevelError } from './level-error.ts';

const NUMBERED = /^(MANIFEST-(\d{6}|[1-9]\d{6,14})|(\d{6}|[1-9]\d{6,14})\.(log|ldb|sst|dbtmp))$/;
const SINGLE: ReadonlySet<string> = new Set(['CURRENT', 'LOG', 'LOG.old']);
/** These go last, when the lock is not needed any more. `LOCK.<n>` is the lock where neither sockets nor the kernel help. */
const LOCK = /^(LOCK(\.\d{1,15}(\..+\.tmp)?)?|alluvium\.(lock|sock(\.new)?))$/;
/** A folder in which a socket was being made when its process ended. */
const UNFINISHED_SOCKET = 'alluvium.sock.new';
/** Of `archive/`: a directory per database that ever lived here, and its segments, their indexes and its state. */
const ARCHIVE = /^[0-9a-f]{32}$/;
const ARCHIVED = /^(STATE|(\d{6}|[1-9]\d{6,14})\.(log|index))(\.tmp)?$/;
/** Of `lost/`: a directory for each repair, with the files that it has set aside, and those of history in its `archive/`. */
const REPAIR = /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d-\d{3}Z$/;
/** And those that were set aside while a database was opened: they keep their names, perhaps with a number behind. */
const LOST = /^(CURRENT|MANIFEST-\d{6,15}|\d{6,15}\.(log|ldb|sst|dbtmp))(\.\d+)?$/;

export async function destroy(location: string): Promise<void> {
  checkLocation(location);
  const files = new NodeFileSystem();
  try {
    const names = await namesIn(files, location);
    if (names === undefined) return;
    if (names.some(isOwn)) await destroyFiles(files, location);
    await removeIfEmpty(location);
  } catch (error) {
    throwLevelError(error);
  }
}

export async function repair(location: string): Promise<void> {
  checkLocation(location);
  try {
    await repairDatabase(location);
  } catch (error) {
    throwLevelError(error);
  }
}

function checkLocation(location: unknown): void {
  if (typeof location === 'string' && location !== '') return;
  throw new TypeError("The first argument 'location' must be a non-empty string");
}

const isOwn = (name: string): boolean =>
  SINGLE.has(name) || NUMBERED.test(name) || LOCK.test(name) || name === 'archive' || name === 'lost';

async function destroyFiles(files: FileSystem, location: string): Promise<void> {
  const lock = await files.lock(location, { pid: process.pid, since: new Date() });
  try {
    const names = await files.list(location);
    if (names.includes('CURRENT')) {
      await files.remove(`${location}/CURRENT`);
      await files.syncDirectory(location);
    }
    const others = names.filter((name) => name !== 'CURRENT' && (SINGLE.has(name) || NUMBERED.test(name)));
    for (const name of others) await files.remove(`${location}/${name}`);
    if (names.includes('archive')) await destroyArchives(files, `${location}/archive`);
    if (names.includes('lost')) await destroyLost(files, `${location}/lost`);
  } finally {
    await lock.release();
  }
  for (const name of (await namesIn(files, location)) ?? []) {
    if (name === UNFINISHED_SOCKET) await rm(`${location}/${name}`, { recursive: true, force: true });
    else if (LOCK.test(name)) await files.remove(`${location}/${name}`);
  }
}

async function destroyArchives(files: FileSystem, archive: string): Promise<void> {
  for (const id of await ownNamesIn(files, archive)) {
    if (ARCHIVE.test(id)) await removeFiles(files, `${archive}/${id}`, ARCHIVED);
  }
  await removeIfEmpty(archive);
}

async function destroyLost(files: FileSystem, lost: string): Promise<void> {
  for (const name of await ownNamesIn(files, lost)) {
    if (!REPAIR.test(name)) continue;
    const names = await ownNamesIn(files, `${lost}/${name}`);
    if (names.includes('archive')) await destroyArchives(files, `${lost}/${name}/archive`);
    await removeFiles(files, `${lost}/${name}`, LOST);
  }
  await removeFiles(files, lost, LOST);
}

async function removeFiles(files: FileSystem, directory: string, ours: RegExp): Promise<void> {
  for (const name of await ownNamesIn(files, directory)) {
    if (ours.test(name)) await files.remove(`${directory}/${name}`);
  }
  await removeIfEmpty(directory);
}

/** Without what lies behind a link, which is none of the database's own. */
async function ownNamesIn(files: FileSystem, directory: string): Promise<string[]> {
  const isDirectory = await lstat(directory).then((found) => found.isDirectory());
  return isDirectory ? ((await namesIn(files, directory)) ?? []) : [];
}

/** `undefined` where there is no such directory. */
async function namesIn(files: FileSystem, directory: string): Promise<string[] | undefined> {
  try {
    return await files.list(directory);
  } catch (error) {
    if (error instanceof IoError && (error.systemCode === 'ENOENT' || error.systemCode === 'ENOTDIR')) return undefined;
    throw error;
  }
}

async function removeIfEmpty(directory: string): Promise<void> {
  // What is left in it, or that it is a link, is somebody else's business.
  await rmdir(directory).catch(() => undefined);
}
