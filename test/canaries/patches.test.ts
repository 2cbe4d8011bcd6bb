// Goal: the bugs that `npm run test:canaries` plants can be planted, as the code is now, and are noticed by tests that exist. A patch
// that has been forgotten would plant nothing. Method: what each patch takes away must be there, once.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '../..');
const PLANTED_MIN = 12;

const names = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.patch'));

/** Of each hunk the lines that it finds and those that it leaves behind. */
function hunksOf(patch: string): readonly { readonly file: string; readonly before: string; readonly after: string }[] {
  return patch
    .split(/^diff --git /m)
    .slice(1)
    .flatMap((part) => {
      const file = /^\+\+\+ b\/(.+)$/m.exec(part)?.[1] ?? '';
      return part
        .split(/^@@ .*\n/m)
        .slice(1)
        .map((hunk) => {
          const lines = hunk.split('\n').filter((line) => /^[ +-]/.test(line));
          const without = (mark: string): string =>
            lines
              .filter((line) => !line.startsWith(mark))
              .map((line) => `${line.slice(1)}\n`)
              .join('');
          return { file, before: without('+'), after: without('-') };
        });
    });
}

describe('the planted bugs', () => {
  it('are enough', () => {
    expect(names.length).toBeGreaterThanOrEqual(PLANTED_MIN);
  });

  it.each(names)('%s can be planted, and is looked for by a test that exists', (name) => {
    const patch = readFileSync(join(import.meta.dirname, name), 'utf8');
    const hunks = hunksOf(patch);
    expect(hunks.length).toBeGreaterThan(0);
    for (const { file, before, after } of hunks) {
      expect(before).not.toBe(after);
      const source = readFileSync(join(ROOT, file), 'utf8');
      expect(source.split(before).length - 1, `${file} has\n${before}`).toBe(1);
    }
    const test = /^test: (.+)$/m.exec(patch)?.[1] ?? '';
    const words = /^name: (.+)$/m.exec(patch)?.[1] ?? '';
    expect(words).not.toBe('');
    const tests = readFileSync(join(ROOT, test), 'utf8').replaceAll(/\s+/g, ' ');
    expect(tests.includes(words), `${test} has "${words}"`).toBe(true);
  });
});
