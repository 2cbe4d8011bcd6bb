// Checking, mending and copying a whole database, from the command line.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { open } from '../../src/index.ts';
import { alluvium } from '../support/command-line.ts';
import { temporaryDirectories } from '../support/temporary.ts';

const directory = temporaryDirectories();

async function storeOf(keys: number): Promise<string> {
  const folder = join(directory(), 'store');
  const store = await open(folder, { blockBytesMax: 256 });
  for (let key = 0; key < keys; key += 1) await store.set(`key:${key}`, `value ${key}`, { durability: 'buffered' });
  await store.close();
  return folder;
}

/** Changes one byte of the first block of a table. */
function damage(folder: string): string {
  const table = readdirSync(folder).find((name) => name.endsWith('.ldb')) ?? '';
  const bytes = readFileSync(join(folder, table));
  bytes[10] = (bytes[10] ?? 0) ^ 1;
  writeFileSync(join(folder, table), bytes);
  return table;
}

const filesOf = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => !name.includes('LOCK'))
    .sort();

describe('verify', () => {
  it('says that all is whole, or which byte of which file is not, with exit code 5', async () => {
    const folder = await storeOf(100);
    const whole = await alluvium(['verify', folder]);
    expect(whole).toMatchObject({ code: 0, stderr: '' });
    expect(whole.stdout).toMatch(/^whole: \d+ files, .*0 errors, 0 warnings\n$/m);
    const table = damage(folder);
    const before = filesOf(folder);
    const damaged = await alluvium(['verify', folder]);
    expect(damaged.code).toBe(5);
    expect(damaged.stdout).toMatch(new RegExp(`^error {2}${table}, byte \\d+: `));
    expect(damaged.stdout).toContain('\nDAMAGED: ');
    const lines = (await alluvium(['verify', folder, '--json'])).stdout.trimEnd().split('\n');
    const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(parsed[0]).toMatchObject({ type: 'finding', severity: 'error', file: table });
    expect(parsed.at(-1)).toMatchObject({ type: 'report', isWhole: false });
    expect(filesOf(folder)).toEqual(before);
    expect(await alluvium(['verify', directory()])).toMatchObject({ code: 1 });
  });
});

describe('repair', () => {
  it('looks first, then mends, deletes nothing, and then all is whole', async () => {
    const folder = await storeOf(100);
    const table = damage(folder);
    const damaged = readFileSync(join(folder, table));
    const before = filesOf(folder);
    expect(await alluvium(['repair', folder, '--dry-run'])).toMatchObject({ code: 0 });
    expect(filesOf(folder)).toEqual(before);
    expect(await alluvium(['repair', folder])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('--yes') as string,
    });
    expect(filesOf(folder)).toEqual(before);
    const mended = await alluvium(['repair', folder, '--yes', '--json']);
    expect(mended.code).toBe(0);
    const { lostDirectory } = JSON.parse(mended.stdout) as { readonly lostDirectory: string };
    expect(Buffer.compare(readFileSync(join(folder, lostDirectory, table)), damaged)).toBe(0);
    expect(await alluvium(['verify', folder])).toMatchObject({ code: 0 });
    expect(Number((await alluvium(['scan', folder, '--count'])).stdout)).toBeGreaterThan(50);
  });
});

describe('backup and restore', () => {
  it('make a copy, and a database of it, and go over nothing that is there', async () => {
    const folder = await storeOf(100);
    const copy = join(directory(), 'backup');
    expect(await alluvium(['backup', folder, copy])).toMatchObject({ code: 0 });
    const back = join(directory(), 'back');
    expect(await alluvium(['restore', copy, back])).toMatchObject({ code: 0 });
    const [mine, restored] = await Promise.all([folder, back].map((place) => alluvium(['scan', place])));
    expect(restored?.stdout).toBe(mine?.stdout);
    expect(await alluvium(['backup', folder, copy])).toMatchObject({ code: 1 });
    expect(await alluvium(['restore', copy, folder])).toMatchObject({ code: 1 });
    expect(existsSync(join(folder, 'CURRENT'))).toBe(true);
  });
});
