// Goal: a directory of classic-level is one of ours, and ours is one of classic-level's; destroy takes what databases own and
// nothing else. classic-level runs in a process of its own: two engines in one process would undo each other's locks.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Level } from 'alluvium/level';
import { temporaryDirectories } from '../support/temporary.ts';

const makeDirectory = temporaryDirectories();
const run = promisify(execFile);
type Rows = readonly (readonly [string, string])[];

/** Has classic-level write into sublevels, and read them; keys as hexadecimal digits. */
async function classic(directory: string, steps: readonly object[]): Promise<readonly Rows[]> {
  const child = join(import.meta.dirname, '../streams/keyspace-sublevel-child.mjs');
  const { stdout } = await run(process.execPath, [child, directory, JSON.stringify(steps)]);
  return JSON.parse(stdout) as readonly Rows[];
}

const hexOf = (text: string): string => Buffer.from(text).toString('hex');
const rows = Array.from({ length: 500 }, (_, number): readonly [string, string] => [
  `key ${String(number).padStart(4, '0')} ü`,
  `value ${number} €`,
]);
const inHex: Rows = rows.map(([key, value]) => [hexOf(key), value]);

describe('one directory', () => {
  it('of classic-level is opened by us: every row, every sublevel', async () => {
    const directory = makeDirectory();
    await classic(directory, [
      { path: 'a', put: inHex },
      { path: ['a', 'b'], put: inHex.slice(0, 10) },
    ]);
    const db = new Level(directory, { createIfMissing: false });
    const a = db.sublevel('a');
    expect(await a.iterator({ lt: '!' }).all()).toEqual([]);
    expect(await a.iterator({ gte: 'k' }).all()).toEqual(rows);
    expect(await a.sublevel('b').iterator({ reverse: true }).all()).toEqual(rows.slice(0, 10).toReversed());
    expect(await db.get('!a!key 0007 ü')).toBe('value 7 €');
    await db.close();
  });

  it('of ours is opened by classic-level, after turns of both', async () => {
    const directory = makeDirectory();
    const db = new Level(directory);
    await db.sublevel('a').batch(rows.map(([key, value]) => ({ type: 'put', key, value })));
    await db.sublevel('a').clear({ lt: rows[100]?.[0] ?? '' });
    await db.compactRange('', '~');
    await db.sublevel(['x', 'y']).put('z', '1');
    await db.close();
    const [seen, deep] = await classic(directory, [
      { path: 'a', range: {} },
      { path: ['x', 'y'], range: {} },
      { path: 'a', put: [[hexOf('more'), 'of theirs']] },
    ]);
    expect(seen).toEqual(inHex.slice(100));
    expect(deep).toEqual([[hexOf('z'), '1']]);
    await db.open();
    expect(await db.sublevel('a').get('more')).toBe('of theirs');
    expect(await db.sublevel('a').keys().all()).toHaveLength(401);
    await db.close();
  });
});

describe('destroy', () => {
  it('removes a database of ours, and the directory with it', async () => {
    const directory = join(makeDirectory(), 'db');
    const db = new Level(directory, { engine: { memtableBytesMax: 1024 } });
    for (let round = 0; round < 20; round += 1) await db.put(`key ${round}`, 'v'.repeat(500), { sync: true });
    await db.close();
    expect(readdirSync(directory)).toContain('archive');
    await Level.destroy(directory);
    expect(existsSync(directory)).toBe(false);
    await Level.destroy(directory); // there is nothing left to do
    await db.open();
    expect(await db.keys().all()).toEqual([]);
    await db.close();
  });

  it('removes a database of classic-level', async () => {
    const directory = join(makeDirectory(), 'db');
    mkdirSync(directory);
    await classic(directory, [{ path: 'a', put: inHex }]);
    await classic(directory, [{ path: 'a', range: {} }]); // so that there is a LOG.old
    await Level.destroy(directory);
    expect(existsSync(directory)).toBe(false);
  });

  it("leaves what is somebody else's, of whatever name", async () => {
    const directory = makeDirectory();
    const others = [
      'CURRENT.bak',
      '2024.log',
      'notes.ldb',
      'MANIFEST',
      'MANIFEST-1',
      '000001.txt',
      'LOCKED',
      'archive/mine',
      'lost/mine',
    ];
    const outside = makeDirectory();
    writeFileSync(join(outside, '000001.log'), 'not ours');
    const db = new Level(directory);
    await db.put('a', '1');
    await db.close();
    mkdirSync(join(directory, 'lost'), { recursive: true });
    for (const name of others) writeFileSync(join(directory, name), 'mine');
    writeFileSync(join(directory, 'lost/000007.log'), 'set aside');
    const link = `archive/${'0'.repeat(32)}`;
    symlinkSync(outside, join(directory, link));
    await Level.destroy(directory);
    const namesIn = (path: string): readonly string[] =>
      readdirSync(join(directory, path)).map((name) => join(path, name));
    const left = ['.', 'archive', 'lost'].flatMap(namesIn).toSorted();
    expect(left).toEqual([...others, 'archive', 'lost', link].toSorted());
    expect(readFileSync(join(outside, '000001.log'), 'utf8')).toBe('not ours');
  });

  it('does not touch a directory that is no database', async () => {
    const directory = makeDirectory();
    writeFileSync(join(directory, 'notes.txt'), 'mine');
    await Level.destroy(directory);
    expect(readdirSync(directory)).toEqual(['notes.txt']);
    await Level.destroy(join(directory, 'none'));
    await Level.destroy(join(directory, 'notes.txt')); // a file
    expect(readdirSync(directory)).toEqual(['notes.txt']);
    await expect(Level.destroy('')).rejects.toThrow(TypeError);
  });

  it('is refused while the database is open, and works on a damaged one', async () => {
    const directory = join(makeDirectory(), 'db');
    const db = new Level(directory);
    await db.put('a', '1');
    await expect(Level.destroy(directory)).rejects.toMatchObject({ code: 'LEVEL_LOCKED' });
    expect(await db.get('a')).toBe('1');
    await db.close();
    writeFileSync(join(directory, 'CURRENT'), 'nonsense');
    await Level.destroy(directory);
    expect(existsSync(directory)).toBe(false);
  });
});

describe('repair', () => {
  it('brings back what can be read of a damaged log, keeps the damaged file, and destroy knows it', async () => {
    const directory = makeDirectory();
    const child = `import { Level } from 'alluvium/level';
      const db = new Level(process.argv[1], { engine: { syncIntervalMs: 1 } });
      for (let number = 0; number < 100; number += 1) await db.put('key ' + number, 'v'.repeat(1000), { sync: true });
      process.kill(process.pid, 'SIGKILL');`;
    const root = join(import.meta.dirname, '../..');
    await run(process.execPath, ['--input-type=module', '-e', child, directory], { cwd: root }).catch(() => undefined);
    const log = readdirSync(directory).find((name) => name.endsWith('.log')) ?? '';
    const bytes = readFileSync(join(directory, log));
    bytes[50_000] = (bytes[50_000] ?? 0) ^ 1;
    writeFileSync(join(directory, log), bytes);

    const db = new Level(directory);
    await expect(db.open()).rejects.toMatchObject({ cause: { code: 'LEVEL_CORRUPTION' } });
    await Level.repair(directory);
    await db.open();
    const left = await db.keys().all();
    expect(left.length).toBeGreaterThan(60); // what is behind the damaged block, too
    expect(left.length).toBeLessThan(100);
    expect(await db.get(left.at(-1) ?? '')).toBe('v'.repeat(1000));
    await expect(Level.repair(directory)).rejects.toMatchObject({ code: 'LEVEL_LOCKED' });
    await db.close();
    const [date = '', ...others] = readdirSync(join(directory, 'lost'));
    expect(others).toEqual([]);
    expect(readFileSync(join(directory, 'lost', date, log))).toEqual(bytes);
    writeFileSync(join(directory, 'lost', date, 'notes.txt'), 'mine');
    mkdirSync(join(directory, 'lost/2026-01-31'));
    writeFileSync(join(directory, 'lost/2026-01-31/000007.log'), 'mine');
    await Level.destroy(directory);
    expect(readdirSync(directory)).toEqual(['lost']);
    expect(readdirSync(join(directory, 'lost')).toSorted()).toEqual(['2026-01-31', date].toSorted());
    expect(readdirSync(join(directory, 'lost', date))).toEqual(['notes.txt']);
    await expect(Level.repair(join(directory, 'none'))).rejects.toMatchObject({ code: 'LEVEL_NOT_A_DATABASE' });
    await expect(Level.repair('')).rejects.toThrow(TypeError);
  });

  it('leaves nothing behind of a database without CURRENT and MANIFEST that destroy would not remove', async () => {
    const directory = join(makeDirectory(), 'db');
    const db = new Level(directory, { engine: { memtableBytesMax: 64 * 1024 } });
    for (let round = 0; round < 100; round += 1) await db.put(`key ${round}`, 'v'.repeat(2000));
    await db.close();
    for (const name of readdirSync(directory)) if (/^(CURRENT|MANIFEST)/.test(name)) rmSync(join(directory, name));
    await Level.repair(directory);
    expect(existsSync(join(directory, 'lost'))).toBe(true);
    await db.open();
    expect(await db.keys().all()).toHaveLength(100);
    await db.close();
    await Level.repair(directory); // there is nothing to do now
    await Level.destroy(directory);
    expect(existsSync(directory)).toBe(false);
  });
});
