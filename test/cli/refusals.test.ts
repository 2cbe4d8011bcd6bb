// What an outsider found: entries that the store refuses, directories that are none of ours, a copy of what is being written to,
// and data of others in messages.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { describe, expect, it } from 'vitest';
import { open } from '../../src/index.ts';
import { alluvium } from '../support/command-line.ts';
import { temporaryDirectories } from '../support/temporary.ts';

const directory = temporaryDirectories();
const LONG = 'K'.repeat(70_000);

/** Names and contents of the files, but for locks. */
const contentOf = (folder: string): Record<string, string> =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, encoding: 'utf8', withFileTypes: true })
      .filter((entry) => entry.isFile() && !/lock/i.test(entry.name))
      .map(({ parentPath, name }) => [join(parentPath, name), readFileSync(join(parentPath, name), 'base64')]),
  );

describe('import', () => {
  const lines = (...keys: string[]): string => keys.map((key) => `${JSON.stringify({ key, value: 'v' })}\n`).join('');

  it.each([
    ['a key that is too long', LONG, 'its key is 70000 bytes long, and no more than 65536 can be set.'],
    ["a key of the store's own", '!_alluvium!x', `its key begins with "!_alluvium!", which is the store's own.`],
  ])(
    'names the line of %s, before it writes it and in a dry run, and keeps what stood before',
    async (_what, key, why) => {
      const folder = join(directory(), 'store');
      const source = join(directory(), 'source.ndjson');
      writeFileSync(source, lines('a', 'b', key, 'c'));
      const stderr = expect.stringContaining(`line 3: ${why}`) as string;
      expect(await alluvium(['import', folder, source, '--dry-run'])).toMatchObject({ code: 1, stderr });
      expect(await alluvium(['import', folder, source, '--create'])).toMatchObject({ code: 1, stderr });
      expect((await alluvium(['scan', folder, '--count'])).stdout).toBe('2\n');
      const csv = join(directory(), 'source.csv');
      writeFileSync(csv, `key,value\na,1\n${key},2\n`);
      const inCsv = expect.stringContaining(`line 3: ${why}`) as string;
      expect(await alluvium(['import', folder, csv, '--dry-run'])).toMatchObject({ code: 1, stderr: inCsv });
    },
  );

  it('names an entry of LevelDB that cannot be taken; so does an export to a directory', async () => {
    const level = join(directory(), 'level');
    const database = new ClassicLevel(level);
    await database.batch([
      { type: 'put', key: 'a', value: '1' },
      { type: 'put', key: LONG, value: '2' },
    ]);
    await database.close();
    const stderr = expect.stringContaining(`${LONG.slice(0, 40)}...: its key is 70000 bytes long`) as string;
    const [one, two] = [join(directory(), 'one'), join(directory(), 'two')];
    expect(await alluvium(['import', one, level, '--create'])).toMatchObject({ code: 1, stderr });
    expect(await alluvium(['import', one, level, '--dry-run'])).toMatchObject({ code: 1, stderr });
    expect(await alluvium(['export', level, two, '--format', 'level'])).toMatchObject({ code: 1, stderr });
  });

  it('refuses columns of one name: one of them would be lost', async () => {
    const csv = join(directory(), 'source.csv');
    writeFileSync(csv, 'id,name,name\n1,Ada,Lovelace\n');
    const answer = await alluvium(['import', join(directory(), 'store'), csv, '--create', '--key-column', 'id']);
    expect(answer).toMatchObject({ code: 1, stderr: expect.stringContaining('two columns "name"') as string });
  });

  it('makes no database of a source that is wrong from its first line on', async () => {
    const [folder, source] = [join(directory(), 'store'), join(directory(), 'source.ndjson')];
    writeFileSync(source, 'none\n');
    expect(await alluvium(['import', folder, source, '--create'])).toMatchObject({ code: 1 });
    expect(existsSync(folder)).toBe(false);
    writeFileSync(source, lines('a', 'b'));
    expect(await alluvium(['import', folder, source, '--create'])).toMatchObject({ code: 0 });
    expect((await alluvium(['scan', folder, '--count'])).stdout).toBe('2\n');
  });

  it('obeys nothing that is in a file, not even its colours', async () => {
    const [json, csv] = [join(directory(), 'a.ndjson'), join(directory(), 'a.csv')];
    writeFileSync(json, '\u001b[31mgarb\n');
    writeFileSync(csv, 'a\u001b[31m,b\n1,2\n');
    for (const source of [json, csv]) {
      const { code, stderr } = await alluvium(['import', join(directory(), 'store'), source, '--create']);
      expect(code).toBe(1);
      expect(stderr).toContain('\\x1b[31m');
      expect(stderr).not.toContain('\u001b[31mgarb');
      expect(stderr).not.toContain('a\u001b');
    }
  });
});

describe('a directory', () => {
  it('that is no database is left alone by repair', async () => {
    const folder = join(directory(), 'pictures');
    mkdirSync(folder);
    writeFileSync(join(folder, 'a.jpg'), 'x');
    expect(await alluvium(['repair', folder, '--yes'])).toMatchObject({ code: 1 });
    expect(readdirSync(folder)).toEqual(['a.jpg']);
  });

  it('that somebody has open is no backup: exit code 4, and nothing is made', async () => {
    const [folder, copy] = [join(directory(), 'store'), join(directory(), 'copy')];
    const store = await open(folder);
    await store.set('a', '1');
    expect(await alluvium(['restore', folder, copy])).toMatchObject({ code: 4 });
    expect(existsSync(copy)).toBe(false);
    await store.close();
    expect(await alluvium(['restore', folder, copy])).toMatchObject({ code: 0 });
  });

  it('is as it was after a dry run that moves a consumer', async () => {
    const folder = join(directory(), 'store');
    const store = await open(folder);
    await store.set('a', '1');
    await store.desk('totals').seek('start');
    await store.close();
    const before = contentOf(folder);
    const seek = ['consumers', 'seek', folder, 'totals', '--to', 'now', '--dry-run'];
    expect(await alluvium(seek)).toMatchObject({ code: 0 });
    expect(await alluvium(['consumers', 'delete', folder, 'totals', '--dry-run'])).toMatchObject({ code: 0 });
    expect(contentOf(folder)).toEqual(before);
  });

  it('whose entries are in its logs is not said to be empty', async () => {
    const folder = join(directory(), 'store');
    const store = await open(folder);
    await store.set('a', '1');
    const copy = join(directory(), 'copy');
    await store.backup(copy).then();
    await store.close();
    expect((await alluvium(['verify', copy])).stdout).toMatch(/\d+ entr(y|ies) in tables, \d+ batch(es)? in logs/);
  });
});
