// Goal: the public types stay as promised.
// Method: the assertions in test/types/*.test-d.ts hold exactly when the compiler accepts them.
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');

const compile = (...given: readonly string[]): Promise<string> =>
  new Promise((resolve) => {
    execFile(process.execPath, ['node_modules/typescript/bin/tsc', ...given], { cwd: root }, (_, stdout) =>
      resolve(stdout),
    );
  });

it('the compiler accepts every assertion about the public types', { timeout: 120_000 }, async () => {
  expect(await readdir(join(root, 'test/types'))).toContainEqual(expect.stringMatching(/\.test-d\.ts$/));

  expect(await compile('-p', 'test/types/tsconfig.json')).toBe('');
});

it('the declarations compile as they are shipped, for users who check them too', { timeout: 120_000 }, async () => {
  const doors = ['dist/index.d.ts', 'dist/operators/index.d.ts'];
  const options = ['--ignoreConfig', '--noEmit', '--skipLibCheck', 'false', '--strict', '--exactOptionalPropertyTypes'];

  expect(await compile(...options, '--module', 'nodenext', '--target', 'es2023', '--types', 'node', ...doors)).toBe('');
});
