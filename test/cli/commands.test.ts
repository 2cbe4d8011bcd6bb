// What each command does, on a store of the disk.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { openOrAttach } from 'alluvium/attach';
import { open, type Store } from '../../src/index.ts';
import { alluvium, shell, startAlluvium } from '../support/command-line.ts';
import { temporaryDirectories } from '../support/temporary.ts';

const directory = temporaryDirectories();
const jsonOf = (stdout: string): Record<string, unknown>[] =>
  stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

async function storeWith(work: (store: Store) => Promise<unknown>): Promise<string> {
  const folder = join(directory(), 'store');
  const store = await open(folder);
  await work(store);
  await store.close();
  return folder;
}

const five = (store: Store): Promise<unknown> =>
  store.write(['a1', 'a2', 'b1', 'b2', 'c'].map((key) => ({ type: 'set', key, value: `the ${key}` }) as const)).then();

/** Lines through one process; each line's output in its turn. */
const inShell = (folder: string, lines: readonly string[]): ReturnType<typeof alluvium> =>
  alluvium(['repl', folder], { input: `${lines.join('\n')}\n` });

describe('get, set, delete, scan', () => {
  it('read and write keys and values in every encoding', async () => {
    const { code, stdout, stderr } = await inShell(await storeWith(five), [
      'set -- -dash -5',
      'get -- -dash',
      'delete -- -dash',
      'set 00ff 0a --encoding hex',
      'get 00ff --key-encoding hex',
      'get AP8= --encoding base64',
      `set '"k"' '{"a": 1}' --encoding json`,
      `get '"k"' --encoding json --json`,
      'get --json a1',
      `delete '"k"' a1`,
      'scan --keys',
      'scan --prefix a',
      'scan --gt a2 --lte b2 --reverse --values',
      'scan --gte b --limit 1 --json',
      'scan --prefix 00 --key-encoding hex --count',
    ]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.split('\n')).toEqual([
      '6',
      '-5',
      '7',
      '8',
      '\\n',
      'Cg==',
      '9',
      '{"key":"k","value":{"a":1},"sequence":9}',
      '{"key":"a1","value":"the a1","sequence":1}',
      '11',
      '\\x00\\xff',
      'a2',
      'b1',
      'b2',
      'c',
      'a2\tthe a2',
      'the b2',
      'the b1',
      '{"key":"b1","value":"the b1"}',
      '1',
      '',
    ]);
  });

  it('take and give the bytes of a value as they are', async () => {
    const folder = await storeWith(five);
    const input = Uint8Array.from({ length: 200_000 }, (_, index) => index % 256);
    expect(await alluvium(['set', folder, 'bytes'], { input })).toMatchObject({ code: 0 });
    const { bytes } = await alluvium(['get', folder, 'bytes', '--raw']);
    expect(Buffer.compare(bytes, input)).toBe(0);
  });

  it('delete a range only when somebody is sure', async () => {
    const folder = await storeWith(five);
    const outcome = await inShell(folder, [
      'delete --prefix a',
      'delete --prefix a --dry-run',
      'scan --count',
      'delete --prefix a --yes',
      'scan --count',
      'delete --prefix a --yes',
      'delete',
      'delete x --prefix y',
    ]);
    expect(outcome.stdout).toBe('5\n2 keys deleted\n3\n0 keys deleted\n');
    expect(outcome.stderr).toContain('This will delete 2 keys. Say so with --yes');
    expect(outcome.stderr).toContain('dry run: would delete 2 keys.');
    expect(outcome.code).toBe(2);
  });
});

describe('changes and watch', () => {
  it('go on from a cursor without gap or repeat', async () => {
    const folder = await storeWith(five);
    const from = (place: string, ...more: string[]): ReturnType<typeof alluvium> =>
      alluvium(['changes', folder, '--from', place, '--json', '--no-follow', ...more]);
    const first = jsonOf((await from('start', '--limit', '2')).stdout);
    const rest = jsonOf((await from(String(first.at(-1)?.['cursor']))).stdout);
    expect([...first, ...rest].map(({ sequence, key }) => `${String(sequence)} ${String(key)}`)).toEqual([
      '1 a1',
      '2 a2',
      '3 b1',
      '4 b2',
      '5 c',
    ]);
    expect(jsonOf((await from('4', '--prefix', 'b')).stdout)).toMatchObject([
      { key: 'b2', batchIndex: 3, batchSize: 5 },
    ]);
    const lost = await from('al1.00000000000000000000000000000001.1.1');
    expect(lost).toMatchObject({ code: 2, stdout: '' });
  });

  it('end where they are told to, also beside a program that has the store', async () => {
    const folder = await storeWith(five);
    const store = await openOrAttach(folder);
    const keys = async (...words: string[]): Promise<string> => {
      const { code, stdout, stderr } = await alluvium(['changes', folder, ...words]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      return stdout.replace(/^\d+\t(\w+)(?:\t(\w+))?.*$/gm, '$1 $2').replaceAll('\n', ', ');
    };
    try {
      expect(await keys('--from', 'start', '--no-follow')).toBe('set a1, set a2, set b1, set b2, set c, ');
      expect(await keys('--from', '2', '--until', '3')).toBe('set a2, set b1, ');
      expect(await keys('--from', 'snapshot', '--no-follow', '--gte', 'c')).toBe('entry c, snapshotEnd , ');
      expect(await keys('--no-follow')).toBe('');
      const waiting = keys('--from', 'start', '--until', '7', '--gte', 'c');
      await store.set('c', 'again');
      await store.set('a1', 'again');
      expect(await waiting).toBe('set c, set c, ');
    } finally {
      await store.close();
    }
    for (const [place, fault] of [
      ['start', 'no place to end at'],
      ['2026-01-01', 'no place to end at'],
      ['soon', 'no place in the changes'],
    ]) {
      const { code, stderr } = await alluvium(['changes', folder, '--until', place ?? '']);
      expect([code, stderr.includes(fault ?? '')]).toEqual([2, true]);
    }
  });

  it('show the present and follow', async () => {
    const folder = await storeWith(five);
    const watching = startAlluvium(['watch', folder, '--prefix', 'a']);
    await watching.said('1\tset\ta1\tthe a1\n2\tset\ta2\tthe a2\n');
    watching.child.kill('SIGINT');
    expect((await watching.outcome).code).toBe(130);
    const { stdout } = await alluvium(['changes', folder, '--from', 'snapshot', '--limit', '6']);
    expect(stdout.split('\n').slice(4, 6)).toEqual(['5\tentry\tc\tthe c', '5\tsnapshotEnd']);
  });
});

describe('consumers and dead letters', () => {
  let folder = '';
  beforeAll(async () => {
    folder = await storeWith(async (store) => {
      await five(store);
      const consumer = store.consumer('totals', {
        attemptsMax: 1,
        handle: ({ key }) => {
          if (Buffer.from(key).toString().startsWith('b')) throw new TypeError('no b, please');
        },
      });
      let settled = 0;
      await new Promise<void>((resolve) => {
        const running = consumer.run().subscribe({
          next: (event) => {
            settled += event.type === 'acked' ? event.changes : event.type === 'parked' ? 1 : 0;
            if (settled < 5) return;
            settled = -Infinity;
            setImmediate(() => {
              running.unsubscribe();
              resolve();
            });
          },
          error: (error: unknown) => {
            throw error;
          },
        });
      });
    });
  });

  it('are listed, paused, moved and forgotten', async () => {
    const { stdout, stderr } = await inShell(folder, [
      'consumers list --json',
      'set d 1',
      'consumers lag totals --json',
      'consumers pause totals',
      'consumers list',
      'consumers resume totals',
      'consumers seek totals --to 4 --yes --json',
      'consumers lag totals --json',
      'consumers seek totals --to start',
      'consumers lag totls',
    ]);
    const lines = stdout.trimEnd().split('\n');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ name: 'totals', state: 'ready' });
    expect(JSON.parse(lines[2] ?? '')).toMatchObject({ changes: 1, bytes: 2 });
    expect(lines[3]).toBe('totals is paused');
    expect(lines.slice(4, 6)).toEqual([
      expect.stringMatching(/^NAME +STATE +SEQUENCE$/),
      expect.stringMatching(/^totals +paused/),
    ]);
    expect(lines[6]).toBe('totals is ready');
    expect(JSON.parse(lines[7] ?? '')).toMatchObject({ after: { sequence: 3 } });
    expect(JSON.parse(lines[8] ?? '')).toMatchObject({ changes: 3 });
    expect(stderr).toContain('The way back: alluvium consumers seek <db> totals --to al1.');
    expect(stderr).toContain('This will move totals from sequence 3 to start. Say so with --yes');
    expect(stderr).toContain('there is no consumer "totls". Did you mean totals?');
  });

  it('letters are listed, shown, replayed and dropped', async () => {
    const names = (): string[] => readdirSync(folder, { recursive: true }).map(String).toSorted();
    const before = names();
    const listed = await alluvium(['dead-letters', 'list', folder, 'totals', '--json']);
    expect(names()).toEqual(before); // a recovery would have made new ones
    const letters = jsonOf(listed.stdout);
    expect(letters).toMatchObject([
      { key: 'b1', value: 'the b1', error: { name: 'TypeError', message: 'no b, please' }, attempts: 1 },
      { key: 'b2' },
    ]);
    const [first, second] = letters.map(({ id }) => String(id));
    const { stdout, stderr } = await inShell(folder, [
      `dead-letters show totals ${first ?? ''}`,
      `dead-letters replay totals ${first ?? ''}`,
      `dead-letters drop totals ${second ?? ''} --dry-run`,
      `dead-letters drop totals ${second ?? ''} --yes`,
      `dead-letters drop totals ${second ?? ''} --yes`,
      'dead-letters drop totals --all --yes',
      'dead-letters show totals nonsense',
      'consumers delete totals --yes',
      'consumers list',
    ]);
    expect(stdout).toContain('error     TypeError: no b, please\n');
    expect(stdout.split('\n').slice(6)).toEqual([
      '1 dead letter will be handled again',
      '1 dead letter forgotten',
      '1 dead letter forgotten',
      'totals is forgotten',
      '',
    ]);
    expect(stderr).toContain('dry run: would forget 1 dead letter.');
    expect(stderr).toContain(`there is no dead letter ${second ?? ''}.`);
    expect((await alluvium(['dead-letters', 'list', folder, 'totals'])).code).toBe(3);
  });
});

describe('looking and tending', () => {
  it('info, levels, stats, flush and compact tell what is there', async () => {
    const folder = await storeWith(five);
    const { code, stdout } = await inShell(folder, [
      'info --count --json',
      'levels --json',
      'levels',
      'stats --json',
      'stats --watch --interval 100 --limit 2 --json',
      'set d 1',
      'flush',
      'compact --json',
      'levels',
      'stats',
    ]);
    expect(code).toBe(0);
    const lines = stdout.split('\n');
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({ entries: 5, sequence: 5, tables: 1 });
    expect(lines.slice(1, 8).map((line) => JSON.parse(line) as unknown)).toMatchObject(
      [0, 1, 2, 3, 4, 5, 6].map((level) => ({ level })),
    );
    expect(lines[9]).toMatch(/^level 0 {2}1 table {2}\d+ B {2}█{40}$/);
    expect(lines.slice(10, 13).map((line) => (JSON.parse(line) as { sequence: number }).sequence)).toEqual([5, 5, 5]);
    expect(stdout).toContain('everything up to sequence 6 is in tables\n');
    expect(stdout).toMatch(/\nlevel 0 +0 tables +0 B\nlevel 1 +1 table /);
    expect(stdout).toMatch(/\nflushes +1, /);
  });

  it('demo kills a writer and finds nothing lost; bench measures', async () => {
    const demo = await alluvium(['demo', '--writes', '200', '--json']);
    expect(demo).toMatchObject({ code: 0, stderr: '' });
    const [result] = jsonOf(demo.stdout);
    expect(result).toMatchObject({ lost: 0, isHistoryWhole: true });
    expect(result?.['acknowledged']).toBeGreaterThanOrEqual(200);
    const bench = await alluvium(['bench', directory(), '--seconds', '1', '--json']);
    expect(jsonOf(bench.stdout)).toHaveLength(5);
    for (const { perSecond, p50Ms, p99Ms } of jsonOf(bench.stdout)) {
      expect(perSecond).toBeGreaterThan(1);
      expect(p99Ms).toBeGreaterThanOrEqual(Number(p50Ms));
    }
  });
});

describe('repl', () => {
  it('goes on after an error, and its exit code is that of the last one', async () => {
    const folder = await storeWith(five);
    const outcome = await inShell(folder, ['gte a1', '', `get "a1`, 'repl', 'get nope', 'get a1', 'exit', 'set x 1']);
    expect(outcome).toMatchObject({ code: 3, stdout: 'the a1\n' });
    expect(outcome.stderr.trimEnd().split('\n')).toHaveLength(4);
    const refused = await alluvium(['repl', folder, '--read-only'], { input: 'set x 1\n' });
    expect(refused).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('readOnly') as string });
  });
});

describe('completion', () => {
  it('completes commands, options and choices in bash', async () => {
    const complete = (line: string): string =>
      `COMP_WORDS=(${line}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _alluvium; echo "\${COMPREPLY[*]}"\n`;
    const { stdout, stderr } = await shell(
      'eval "$(alluvium completion bash)"\n' +
        complete('alluvium sc') +
        complete('alluvium consumers se') +
        complete('alluvium scan --rev') +
        complete('alluvium consumers seek x --to start --dr') +
        complete('alluvium scan --encoding b'),
    );
    expect({ stdout, stderr }).toEqual({ stdout: 'scan\nseek\n--reverse\n--dry-run\nbase64\n', stderr: '' });
  });

  it.each(['zsh', 'fish'])('is a script that %s can read', async (name) => {
    const { stdout, code } = await alluvium(['completion', name]);
    expect(code).toBe(0);
    expect(stdout).toContain('dead-letters');
    const checked = spawnSync(name, ['-n'], { input: stdout });
    // Where the shell is not installed, this is all that can be said.
    if (checked.error === undefined) expect(String(checked.stderr)).toBe('');
  });
});
