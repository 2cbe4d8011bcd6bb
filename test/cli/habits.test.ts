// What every command has in common: exit codes, streams, pipes that close, signals, and words that were mistyped.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { open } from '../../src/index.ts';
import { alluvium, shell, startAlluvium } from '../support/command-line.ts';
import { temporaryDirectories } from '../support/temporary.ts';

const ENTRIES = 20_000;
const directory = temporaryDirectories();
let big = '';

beforeAll(async () => {
  big = join(directory(), 'big');
  const store = await open(big, { durability: 'buffered' });
  const numbers = Array.from({ length: ENTRIES }, (_, index) => String(index).padStart(8, '0'));
  await store.write(numbers.map((number) => ({ type: 'set', key: `key:${number}`, value: `the value of ${number}` })));
  await store.close();
});

const contentOf = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith('LOCK'))
    .map(({ parentPath, name }) => `${name} ${readFileSync(join(parentPath, name)).toString('base64')}`);

describe('exit codes', () => {
  it('are 0 for what was done, 3 for a key that is not there, 6 for a condition that did not hold', async () => {
    const store = join(directory(), 'store');
    expect(await alluvium(['set', store, 'a', '1', '--create', '--if-sequence', 'absent'])).toMatchObject({
      code: 0,
      stdout: '1\n',
    });
    expect(await alluvium(['get', store, 'a', 'b'])).toMatchObject({ code: 3, stdout: '1\n' });
    const conflict = await alluvium(['set', store, 'a', '2', '--if-sequence', 'absent']);
    expect(conflict).toMatchObject({ code: 6, stdout: '' });
    expect(conflict.stderr).toContain('expected absent');
    expect(await alluvium(['get', store, 'a'])).toMatchObject({ code: 0, stdout: '1\n', stderr: '' });
  });

  it('are 1 where there is no database, and nothing is made there', async () => {
    const folder = directory();
    for (const command of ['get', 'set', 'delete']) {
      const outcome = await alluvium([command, folder, 'a', ...(command === 'set' ? ['1'] : [])]);
      expect(outcome).toMatchObject({ code: 1, stdout: '' });
      expect(outcome.stderr).toContain('is not a database');
    }
    const missing = await alluvium(['scan', join(folder, 'nowhere')]);
    expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining('there is no directory') as string });
    expect(readdirSync(folder)).toEqual([]);
  });

  it('are 4 where another process has it open, and the process is named', async () => {
    const folder = directory();
    const store = await open(folder);
    try {
      for (const words of [
        ['get', folder, 'a'],
        ['set', folder, 'a', '1'],
        ['attach', folder],
      ]) {
        const outcome = await alluvium(words);
        expect(outcome).toMatchObject({ code: 4, stdout: '' });
        expect(outcome.stderr).toContain(String(process.pid));
      }
    } finally {
      await store.close();
    }
    expect(await alluvium(['attach', folder])).toMatchObject({ code: 0 });
  });

  it('are 5 where a file is damaged, and the file is named', async () => {
    const folder = directory();
    const store = await open(folder);
    await store.set('a', 'x'.repeat(1000));
    await store.close();
    const table = readdirSync(folder).find((name) => name.endsWith('.ldb')) ?? '';
    const bytes = readFileSync(join(folder, table));
    bytes[10] = (bytes[10] ?? 0) ^ 1;
    writeFileSync(join(folder, table), bytes);
    const outcome = await alluvium(['scan', folder]);
    expect(outcome).toMatchObject({ code: 5, stdout: '' });
    expect(outcome.stderr).toContain(`${table} is damaged at byte`);
    expect(outcome.stderr).not.toContain('    at '); // no stack
    writeFileSync(join(folder, 'CURRENT'), 'MANIFEST-999999\n');
    expect(await alluvium(['info', folder])).toMatchObject({ code: 5 });
  });

  it.skipIf(!existsSync('/dev/full'))('are 1 where the output cannot be written, and it says why', async () => {
    const outcome = await shell(`alluvium scan '${big}' > /dev/full`);
    expect(outcome).toMatchObject({ code: 1 });
    expect(outcome.stderr).toContain('ENOSPC');
  });
});

describe('a mistyped line', () => {
  it.each([
    [['sacn', 'x'], 'Did you mean scan?'],
    [['scan', 'x', '--limti', '1'], 'Did you mean --limit?'],
    [['consumers', 'lst', 'x'], 'Did you mean list?'],
    [['scan', 'x', '--encoding', 'hexx'], 'Did you mean hex?'],
    [['scan', 'x', '--limit', 'many'], 'whole number'],
    [['scan', 'x', '--limit', '--json'], 'needs a value'],
    [['scan', 'x', 'y'], 'takes no more'],
    [['get', 'x'], 'needs <key>'],
    [['set', 'x', 'key', '-5'], 'put -- by itself'],
    [['set', 'x', 'zz', '1', '--key-encoding', 'hex'], 'not hexadecimal'],
    [['changes', 'x', '--from', 'yesterday'], 'no place in the changes'],
  ])('%j exits with 2 and says %j', async (words, said) => {
    const outcome = await alluvium(words);
    expect(outcome).toMatchObject({ code: 2, stdout: '' });
    expect(outcome.stderr).toContain(said);
    expect(outcome.stderr.trimEnd().split('\n')).toHaveLength(1);
  });
});

describe('help', () => {
  it('lists every command, and has examples for each', async () => {
    const overview = await alluvium(['--help']);
    expect(overview).toMatchObject({ code: 0, stderr: '' });
    const names = [...overview.stdout.matchAll(/^ {2}([a-z-]+(?: [a-z]+)?) {2}/gm)].map((match) => match[1] ?? '');
    const wanted =
      'demo info get set delete scan watch changes import export stats levels compact flush verify repair backup restore ' +
      'bench attach repl completion';
    expect(names).toEqual(expect.arrayContaining(wanted.split(' ')));
    const texts = await Promise.all(['scan', 'consumers seek'].map((name) => alluvium(['help', ...name.split(' ')])));
    for (const { stdout } of texts) expect(stdout).toMatch(/examples\n {2}alluvium /);
    expect((await alluvium(['scan', '--help'])).stdout).toBe(texts[0]?.stdout);
  });

  it('goes to stderr, with exit code 2, when there is no command', async () => {
    expect(await alluvium([])).toMatchObject({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('usage:') as string,
    });
  });
});

describe('streams', () => {
  it('a reader who goes away ends the command at once, without a word', async () => {
    const outcome = await shell(
      `set -o pipefail; for c in "scan" "export" "changes --from start"; do alluvium $c '${big}' | head -n 1 | wc -l; echo "\${PIPESTATUS[*]}"; done`,
    );
    expect(outcome.stderr).toBe('');
    expect(outcome.stdout).toBe('1\n0 0 0\n'.repeat(3));
  });

  it('a slow reader slows the command, and gets everything', async () => {
    const { stdout } = await shell(`alluvium scan '${big}' | (sleep 0.5; wc -l)`);
    expect(Number(stdout)).toBe(ENTRIES);
  });

  it('reading changes no file', async () => {
    const before = contentOf(big);
    for (const command of ['info', 'levels', 'stats', 'consumers list', 'consumers lag', 'changes --no-follow'])
      expect(await alluvium([...command.split(' '), big])).toMatchObject({ code: 0 });
    expect((await alluvium(['changes', big, '--from', 'start', '--no-follow'])).stdout.split('\n')).toHaveLength(
      ENTRIES + 1,
    );
    expect(contentOf(big)).toEqual(before);
  });

  it('--json is one JSON value a line', async () => {
    const { stdout } = await alluvium(['scan', big, '--json', '--limit', '3', '--reverse']);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { readonly key: string });
    expect(lines.map(({ key }) => key)).toEqual([3, 2, 1].map((back) => `key:000${ENTRIES + back - 4}`));
  });
});

describe('an interrupt', () => {
  it('ends a stream that is followed with 130, and the store is closed', async () => {
    const folder = directory();
    expect(await alluvium(['set', folder, 'a', '1', '--create'])).toMatchObject({ code: 0 });
    const following = startAlluvium(['changes', folder, '--from', 'start', '--json']);
    await following.said('"cursor"');
    following.child.kill('SIGINT');
    expect(await following.outcome).toMatchObject({ code: 130, stderr: '' });
    const watching = startAlluvium(['watch', folder, 'a']);
    await watching.said('1\tset\ta\t1\n');
    watching.child.kill('SIGTERM');
    expect(await watching.outcome).toMatchObject({ code: 143, stderr: '' });
    // A close that was not clean would leave a gap in the sequence numbers.
    expect(await alluvium(['set', folder, 'b', '1'])).toMatchObject({ stdout: '2\n' });
  });

  it('ends an import that waits for stdin with 130; what was read is there', async () => {
    const folder = join(directory(), 'store');
    const importing = startAlluvium(['import', folder, '--create']);
    importing.child.stdin?.write('{"key":"a","value":"1"}\n');
    while (!existsSync(join(folder, 'CURRENT'))) await new Promise((resolve) => setTimeout(resolve, 20));
    importing.child.kill('SIGINT');
    expect((await importing.outcome).code).toBe(130);
    expect(await alluvium(['scan', folder, '--count'])).toMatchObject({ code: 0 });
  });
});
