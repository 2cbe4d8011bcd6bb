// Goal: the guests share a store without being told to: a database of `alluvium/level`, and the commands. Method: two of each on
// one directory; abstract-level's own suite on databases that other processes would have; commands on a store that is open here.
import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openOrAttach } from 'alluvium/attach';
import { Level } from 'alluvium/level';
import { runs } from '../support/runs.ts';
import { temporaryDirectories } from '../support/temporary.ts';
import { inTime } from '../support/waiting.ts';

const makeDirectory = temporaryDirectories();

describe('alluvium/level', () => {
  it('attaches to the database that has the directory, and takes over', async () => {
    const directory = makeDirectory();
    const first = new Level(directory);
    await first.put('a', '1');
    const second = new Level<string, string>(directory);
    expect(await second.get('a')).toBe('1');
    const sub = second.sublevel('s');
    await second.batch([{ type: 'put', key: 'b', value: '2', sublevel: sub }]);
    expect(await first.sublevel('s').get('b')).toBe('2');
    const iterator = second.iterator();
    await second.get('a'); // its answer comes behind that of the iterator's snapshot
    await first.del('a');
    expect(await iterator.all()).toEqual([
      ['!s!b', '2'],
      ['a', '1'],
    ]);
    expect(() => second.getSync('a')).toThrow(expect.objectContaining({ code: 'LEVEL_NOT_SUPPORTED' }) as Error);
    const changes = second.changes()[Symbol.asyncIterator]();
    const change = changes.next();
    await first.close();
    await second.put('c', '3');
    expect((await inTime('the change', change)).value).toMatchObject({ type: 'set', key: 'c', value: '3' });
    expect(second.getSync('c')).toBe('3'); // it has the store now
    await changes.return?.();
    await second.close();
    await Level.destroy(directory);
  });

  // It takes a minute, for thousands of databases that are opened twice: with `ALLUVIUM_RUNS_FACTOR=2` and more.
  const hasTime = runs(1) > 1;
  it.runIf(hasTime)(
    "passes abstract-level's suite while another one has the directory",
    { timeout: 300_000 },
    async () => {
      const directory = makeDirectory();
      const child = join(import.meta.dirname, '..', 'level', 'abstract-suite-child.mjs');
      const output = await new Promise<string>((resolve) => {
        const settings = { maxBuffer: 64 * 1024 * 1024 };
        const words = [child, 'attached', directory, 'withoutGetSync'];
        execFile(process.execPath, words, settings, (_, stdout) => resolve(stdout));
      });
      await rm(directory, { recursive: true }); // more than a hook has time for
      const count = (what: string): number => Number(new RegExp(`^# ${what} +(\\d+)$`, 'm').exec(output)?.[1] ?? 0);
      expect(output.split('\n').filter((line) => /^not ok|SKIP|TODO/.test(line))).toEqual([]);
      expect(count('fail')).toBe(0);
      expect(count('pass')).toBeGreaterThanOrEqual(4708); // as many as classic-level without getSync
    },
  );
});

describe('the commands', () => {
  const alluvium = (...words: readonly string[]): Promise<{ readonly code: number; readonly stdout: string }> =>
    new Promise((resolve) => {
      const main = join(import.meta.dirname, '..', '..', 'dist', 'adapters', 'cli', 'main.js');
      execFile(process.execPath, [main, ...words], (error, stdout) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout });
      });
    });

  it('work on a store that another process has', { timeout: 60_000 }, async () => {
    const directory = makeDirectory();
    const store = await openOrAttach(directory);
    await store.set('a', '1');
    expect(await alluvium('get', directory, 'a')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('1') as string,
    });
    expect(await alluvium('set', directory, 'b', '2')).toMatchObject({ code: 0 });
    expect(Buffer.from((await store.get('b')) ?? '').toString()).toBe('2');
    expect((await alluvium('scan', directory)).stdout.split('\n').length).toBeGreaterThan(2);
    expect((await alluvium('info', directory, '--json')).stdout).toContain('"sequence"');
    expect((await alluvium('stats', directory, '--json')).code).toBe(0);
    expect((await alluvium('consumers', 'list', directory)).code).toBe(0);
    for (const call of [['lag'], ['pause'], ['seek', '--to', 'start', '--yes'], ['resume']]) {
      await store.consumer('c', { gte: 'b', handle: () => undefined }).pause();
      const [verb = '', ...given] = call;
      const done = await alluvium('consumers', verb, directory, 'c', ...given, '--json');
      expect(done, verb).toMatchObject({ code: 0, stdout: expect.stringContaining('"name":"c"') as string });
    }
    expect((await store.desk('c').position())?.isPaused).toBe(false);
    const lag = await alluvium('consumers', 'lag', directory, 'c', '--json');
    expect(JSON.parse(lag.stdout)).toMatchObject({ changes: 1, bytes: 2 });
    expect(await alluvium('dead-letters', 'list', directory, 'c')).toEqual({ code: 0, stdout: '' });
    expect((await alluvium('dead-letters', 'show', directory, 'c', '00000000000001')).code).toBe(3);
    const shown = await alluvium('attach', directory, '--json');
    expect(JSON.parse(shown.stdout)).toMatchObject({ isOpen: true, pid: process.pid });
    const copy = join(makeDirectory(), 'copy');
    expect((await alluvium('backup', directory, copy)).code).toBe(0);
    expect((await alluvium('get', copy, 'b')).stdout).toContain('2');
    await store.close();
    expect(JSON.parse((await alluvium('attach', directory, '--json')).stdout)).toMatchObject({ isOpen: false });
  });
});
