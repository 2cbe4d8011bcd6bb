/** Directories on the disk, gone after the tests of the file. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';

/** Thousands of databases, on a busy disk. */
const LONGEST_REMOVAL_MS = 120_000;

/** @returns what makes a new, empty directory */
export function temporaryDirectories(): () => string {
  const made: string[] = [];
  afterAll(() => {
    for (const directory of made) rmSync(directory, { recursive: true, force: true });
  }, LONGEST_REMOVAL_MS);
  return () => {
    const directory = mkdtempSync(join(tmpdir(), 'alluvium-test-'));
    made.push(directory);
    return directory;
  };
}
