/** Directories that are gone afterwards, also after an interruption from the keyboard. */
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';

const INTERRUPTED = 130; // what shells expect after SIGINT

/**
 * @template Result
 * @param {string} parent - made if it is not there
 * @param {string} prefix
 * @param {(directory: string) => Promise<Result>} work
 * @returns {Promise<Result>}
 */
export async function withTemporaryDirectory(parent, prefix, work) {
  await mkdir(parent, { recursive: true });
  const directory = await mkdtemp(join(parent, prefix));
  const interrupted = () => {
    rmSync(directory, { recursive: true, force: true });
    process.exit(INTERRUPTED);
  };
  process.prependOnceListener('SIGINT', interrupted);
  try {
    return await work(directory);
  } finally {
    process.removeListener('SIGINT', interrupted);
    await rm(directory, { recursive: true, force: true });
  }
}
