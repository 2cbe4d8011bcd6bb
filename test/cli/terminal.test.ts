// On a terminal: nothing in a key or a value is obeyed, colours and progress are shown, questions are asked.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { open } from '../../src/index.ts';
import { noTerminal, onTerminal, startOnTerminal } from '../support/command-line.ts';
import { temporaryDirectories } from '../support/temporary.ts';

const directory = temporaryDirectories();
const COLOUR = /\u001b\[[0-9;]*m/g;
const HOSTILE = '\u001b[2J\u001b]0;title\u0007\u009b31m\u202e\u2066\u200b\r\b\u007f';

async function hostileStore(): Promise<string> {
  const folder = join(directory(), 'store');
  const store = await open(folder);
  await store.set(`key${HOSTILE}`, `value${HOSTILE}`);
  await store.set(Uint8Array.of(0x9b, 0x1b, 0x5b, 0x41, 0xff), Uint8Array.of(0x1b, 0x63));
  const consumer = store.consumer('c', {
    attemptsMax: 1,
    handle: () => {
      throw new Error(`no${HOSTILE}`);
    },
  });
  await new Promise<void>((resolve) => {
    let parked = 0;
    const run = consumer.run().subscribe({
      next: ({ type }) => {
        if (type !== 'parked') return;
        parked += 1;
        if (parked === 2) setImmediate(() => (run.unsubscribe(), resolve()));
      },
      error: () => undefined,
    });
  });
  await store.close();
  return folder;
}

describe.skipIf(noTerminal !== undefined)(`a terminal ${noTerminal ?? ''}`, () => {
  it('gets no control character and no bidi override out of a key, a value or an error', async () => {
    const folder = await hostileStore();
    const csv = join(directory(), `x${HOSTILE.replaceAll('/', '')}`);
    const lines = [
      ['scan', folder],
      ['scan', folder, '--json'],
      ['scan', folder, '--encoding', 'json'],
      ['export', folder, '--format', 'csv', '--encoding', 'json'],
      ['export', folder, '--format', 'csv', '--limit', '1'],
      ['changes', folder, '--from', 'start', '--no-follow'],
      ['dead-letters', 'list', folder, 'c'],
      ['get', folder, `key${HOSTILE}`],
      ['get', folder, `nokey${HOSTILE}`],
      ['scan', csv],
      [`scan${HOSTILE}`],
    ];
    for (const words of lines) {
      const { stdout } = await onTerminal(words);
      const seen = stdout.replaceAll('\r\n', '\n').replace(COLOUR, '');
      expect(seen, words.join(' ')).not.toMatch(/[\p{Cf}\p{Zl}\p{Zp}]/u);
      expect(seen.replace(/[\n\t]/g, ''), words.join(' ')).not.toMatch(/\p{Cc}/u);
      expect(seen.length).toBeGreaterThan(10);
    }
  });

  it('refuses raw bytes', async () => {
    const folder = await hostileStore();
    expect(await onTerminal(['get', folder, 'x', '--raw'])).toMatchObject({ code: 2 });
  });

  it('shows colours, but by NO_COLOR', async () => {
    const folder = await hostileStore();
    expect((await onTerminal(['levels', folder], { env: { TERM: 'xterm' } })).stdout).toMatch(COLOUR);
    expect((await onTerminal(['levels', folder], { env: { TERM: 'xterm', NO_COLOR: '1' } })).stdout).not.toMatch(
      COLOUR,
    );
  });

  it('shows progress with rate and remaining time, and takes it away', async () => {
    const file = join(directory(), 'many.ndjson');
    const line = (index: number): string => `{"key":"${index}","value":"${'x'.repeat(100)}"}\n`;
    writeFileSync(file, Array.from({ length: 60_000 }, (_, index) => line(index)).join(''));
    const { code, stdout } = await onTerminal([
      'import',
      join(directory(), 'store'),
      file,
      '--create',
      '--durability',
      'buffered',
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/importing {2}█+░* \d+ % .*MiB\/s {2}.* left/);
    expect(stdout).toMatch(/\r\u001b\[2K60,000 operations imported\r\n$/);
  });

  it('asks before it destroys', async () => {
    const folder = await hostileStore();
    const answer = async (text: string): Promise<number | null> => {
      const asked = startOnTerminal(['delete', folder, '--prefix', 'key']);
      await asked.said('[y/N]');
      asked.child.stdin?.write(`${text}\r`);
      return (await asked.outcome).code;
    };
    expect(await answer('n')).toBe(1);
    expect((await onTerminal(['scan', folder, '--count'])).stdout).toBe('2\r\n');
    expect(await answer('\u0003')).toBe(130); // Ctrl-C
    expect(await answer('y')).toBe(0);
    expect((await onTerminal(['scan', folder, '--count'])).stdout).toBe('1\r\n');
  });

  it('ends a stream by Ctrl-C with 130, and a shell by Ctrl-D', async () => {
    const folder = await hostileStore();
    const following = startOnTerminal(['changes', folder, '--from', 'start']);
    await following.said('set\tkey');
    following.child.stdin?.write('\u0003');
    expect((await following.outcome).code).toBe(130);
    const shell = startOnTerminal(['repl', folder]);
    await shell.said('alluvium> ');
    shell.child.stdin?.write('set a 1\r');
    await shell.said('set a 1');
    shell.child.stdin?.write('watch a\r');
    await shell.said('\tset\ta\t1');
    shell.child.stdin?.write('\u0003'); // ends the command, not the shell
    await shell.said('interrupted');
    shell.child.stdin?.write('gte a\r');
    await shell.said('Did you mean get?');
    shell.child.stdin?.write('\u0004');
    expect((await shell.outcome).code).toBe(0);
  });
});
