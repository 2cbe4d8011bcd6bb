/**
 * Where the process that has a database listens. Whoever knows the directory knows the place; nothing has to be written down.
 *
 *     <directory>/alluvium.sock                               where a socket's name may be that long
 *     <temporary>/alluvium-<user>/<hash of directory>.sock    else; the folder is the user's alone
 *     \\.\pipe\alluvium-attach-<hash of directory>            on Windows
 */
import { createHash } from 'node:crypto';
import { lstat, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AttachProtocolError } from './attach-error.ts';

/** Bytes of `sun_path` without its end: 108 on Linux, 104 on the BSDs and macOS. */
const PATH_BYTES_MAX: number = process.platform === 'linux' ? 107 : 103;
/** A socket is made in a folder of its own and then renamed: so it is there whole, with its mode, or not at all. */
export const NEW_SUFFIX = '.new';
export const NEW_NAME = 's';

const fits = (path: string): boolean => Buffer.byteLength(`${path}${NEW_SUFFIX}/${NEW_NAME}`) <= PATH_BYTES_MAX;

/** @param directory - the database's, absolute, links resolved */
export async function socketPathOf(directory: string): Promise<string> {
  const hash = createHash('sha256').update(directory).digest('hex').slice(0, 32);
  if (process.platform === 'win32') return `\\\\.\\pipe\\alluvium-attach-${hash}`;
  const beside = join(directory, 'alluvium.sock');
  if (fits(beside)) return beside;
  const folder = join(tmpdir(), `alluvium-${ownId()}`);
  await mkdir(folder, { mode: 0o700 }).catch(() => undefined); // what lies there is looked at in any case
  const found = await lstat(folder);
  const isOwn = found.isDirectory() && found.uid === ownId() && (found.mode & 0o077) === 0;
  if (!isOwn) throw new AttachProtocolError(`${folder} is not a directory that only this user may enter.`);
  return join(folder, `${hash}.sock`);
}

/**
 * Whoever may write the directory may put a socket of his own there, and would be given what is written, and believed in what
 * he answers. So it must be this user's, or that of the directory's owner, who decides what is in it anyway.
 *
 * @param path - as {@link socketPathOf} gives it
 * @throws AttachProtocolError; the system's error if there is none
 */
export async function checkSocketOwner(path: string, directory: string): Promise<void> {
  if (process.platform === 'win32') return;
  const found = await lstat(path);
  const isTrusted = found.uid === ownId() || found.uid === (await lstat(directory)).uid;
  if (!found.isSocket() || !isTrusted) throw new AttachProtocolError(`${path} is not a socket of this user.`);
}

/** Not `userInfo()`: in a container, a user may be a number without a name, of which that one knows nothing. */
const ownId = (): number => process.geteuid?.() ?? 0;
