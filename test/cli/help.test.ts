// Goal: help answers wherever it is asked for: the program's, a command's, and that of a word that begins several commands;
// behind `help`, and with --help and -h behind any words. Method: every command of the table, in this process.
import { Readable, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { COMMANDS } from '../../adapters/cli/commands.ts';
import { Output } from '../../adapters/cli/output.ts';
import { runLine } from '../../adapters/cli/run.ts';
import { Talk } from '../../adapters/cli/talk.ts';
import { alluvium } from '../support/command-line.ts';
import { temporaryDirectories } from '../support/temporary.ts';

const directory = temporaryDirectories();

class Sink extends Writable {
  text = '';
  readonly isTTY = false;
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

const input = Object.assign(Readable.from([]), { isTTY: false });
/** One for all: each listens for errors of its stream. Nothing is said. */
const talk = new Talk(process.stderr, input);

/** What the words print; none of them may open anything. */
async function printed(...words: readonly string[]): Promise<string> {
  const sink = new Sink();
  const out = new Output(sink);
  const open = (): never => {
    throw new Error('help opened a store');
  };
  const code = await runLine(words, { commands: COMMANDS, out, talk, input, open, signal: AbortSignal.abort() });
  await out.flush();
  expect(code).toBe(0);
  return sink.text;
}

const groups = [...new Set(COMMANDS.flatMap(({ name }) => (name.includes(' ') ? [name.split(' ')[0] ?? ''] : [])))];

describe('help', () => {
  it.each(COMMANDS.map(({ name }) => name))(
    'of %s is its usage, its options and its examples, however it is asked for',
    async (name) => {
      const command = COMMANDS.find((one) => one.name === name);
      const words = name.split(' ');
      const text = await printed('help', ...words);
      expect(text).toContain(`usage: alluvium ${name}`);
      expect(text).toContain(command?.summary);
      for (const option of [...Object.keys(command?.options ?? {}), 'json', 'help'])
        expect(text).toContain(`--${option}`);
      for (const example of command?.examples ?? ['none']) expect(text).toContain(`  alluvium ${example}\n`);
      const askings = [
        [...words, '--help'],
        [...words, '-h'],
        [...words, 'x', 'y', 'z', '--help'],
        ['--help', ...words],
        ['-h', ...words],
        ['help', ...words, '--help'],
      ];
      for (const asking of askings) expect(await printed(...asking)).toBe(text);
    },
  );

  it.each(groups)('of %s lists its commands', async (group) => {
    const text = await printed('help', group);
    const names = COMMANDS.map(({ name }) => name).filter((name) => name.startsWith(`${group} `));
    expect(names.length).toBeGreaterThan(1);
    for (const name of names) expect(text).toContain(`  ${name} `);
    expect(text.match(/^ {2}[a-z-]+ [a-z]+ {2}/gm)).toHaveLength(names.length);
    for (const asking of [
      [group, '--help'],
      [group, '-h'],
      [group, 'help'],
      ['--help', group],
    ]) {
      expect(await printed(...asking)).toBe(text);
    }
    await expect(printed('help', group, 'lisst')).rejects.toThrow(`${group} needs one of`);
    await expect(printed(group)).rejects.toThrow(`${group} needs one of`);
  });

  it('of the program lists every command', async () => {
    const text = await printed('help');
    for (const { name, summary } of COMMANDS) expect(text).toMatch(new RegExp(`^  ${name} +${summary}$`, 'm'));
    for (const asking of [['--help'], ['-h'], ['help', '--help']]) expect(await printed(...asking)).toBe(text);
  });

  it('is the same as a user runs it, and in the shell', async () => {
    const store = directory();
    const inShell = await alluvium(['repl', store, '--create'], {
      input: 'consumers --help\ndead-letters help\nset -h\n',
    });
    expect(inShell).toMatchObject({ code: 0, stderr: '' });
    const parts = [
      await printed('help', 'consumers'),
      await printed('help', 'dead-letters'),
      await printed('help', 'set'),
    ];
    expect(inShell.stdout).toBe(parts.join(''));
    expect(await alluvium(['help', 'consumers'])).toMatchObject({ code: 0, stderr: '', stdout: parts[0] });
  });
});
