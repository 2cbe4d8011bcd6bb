// Goal: what docs/cli.md shows is what happens.
// Method: its blocks marked `console` are one session of one shell. A line that begins with `$ ` is typed, the lines below
// it are all that is then shown, stderr included; `…` stands for anything.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { shell } from '../support/command-line.ts';
import { temporaryDirectories } from '../support/temporary.ts';

const directory = temporaryDirectories();
const MARK = '@@@ next';

interface Step {
  readonly typed: string;
  readonly shown: string[];
}

function stepsOf(page: string): Step[] {
  const steps: Step[] = [];
  for (const [, block = ''] of page.matchAll(/^```console\n([\s\S]*?)^```/gm)) {
    for (const line of block.trimEnd().split('\n')) {
      if (line.startsWith('$ ')) steps.push({ typed: line.slice(2), shown: [] });
      else steps.at(-1)?.shown.push(line);
    }
  }
  return steps;
}

/** The line as printed, where it fits the line as shown; else the line as shown, for a difference that can be read. */
function matched(shown: string, printed: string | undefined): string | undefined {
  const parts = shown.split('…');
  if (parts.length === 1 || printed === undefined) return shown;
  const pattern = parts.map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.+');
  return new RegExp(`^${pattern}$`).test(printed) ? printed : shown;
}

it('the session in docs/cli.md is what happens', async () => {
  const steps = stepsOf(readFileSync(join(import.meta.dirname, '../../docs/cli.md'), 'utf8'));
  expect(steps.length).toBeGreaterThan(20);
  const script = steps.map(({ typed }) => `echo '${MARK}'\n{ ${typed}\n} 2>&1`).join('\n');
  const { stdout } = await shell(script, { cwd: directory() });
  const printed = stdout
    .split(`${MARK}\n`)
    .slice(1)
    .map((text) =>
      text
        .trimEnd()
        .split('\n')
        .filter((line) => line !== ''),
    );
  steps.forEach(({ typed, shown }, step) => {
    const lines = printed[step] ?? [];
    expect(lines, typed).toEqual(shown.map((line, index) => matched(line, lines[index])));
  });
});
