// Goal: no text makes a regular expression take time in the square of its length, or worse. Method: every one in `src` and
// `adapters`, found by the compiler's parser, is run on texts of 100 kB that are made of its own parts: long runs that nearly
// match, and do not at their end. Linear takes a millisecond; the square would take seconds.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';
import { describe, expect, it } from 'vitest';
import { NewDirectory } from '../../src/storage/backup/new-directory.ts';
import { MemoryFileSystem } from '../../src/storage/file-system/memory-file-system.ts';

const ROOT = join(import.meta.dirname, '../..');
const LENGTH = 100_000;
const LONGEST_MS = 500;

interface Found {
  readonly place: string;
  readonly source: string;
  readonly flags: string;
}

function expressionsIn(path: string): Found[] {
  const file = ts.createSourceFile(path, readFileSync(join(ROOT, path), 'utf8'), ts.ScriptTarget.ES2023, true);
  const found: Found[] = [];
  const visit = (node: ts.Node): void => {
    if (node.kind === ts.SyntaxKind.RegularExpressionLiteral) {
      const text = node.getText();
      const end = text.lastIndexOf('/');
      const { line } = file.getLineAndCharacterOfPosition(node.getStart());
      found.push({ place: `${path}:${line + 1}`, source: text.slice(1, end), flags: text.slice(end + 1) });
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

const sources = ['src', 'adapters'].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true })
    .map((name) => join(folder, String(name)))
    .filter((name) => name.endsWith('.ts')),
);
const expressions = sources.flatMap(expressionsIn);

/** Names of files are 255 bytes long at most: there, a square is nothing. */
const OF_FILE_NAMES = ['adapters/level/directory.ts', 'src/storage/repair/set-aside.ts'];

/** Pieces to repeat: characters that classes and escapes are for, and every literal piece of the expression itself. */
function piecesOf({ source }: Found): string[] {
  const literals = source.split(/\\.|[^A-Za-z0-9._!~ -]+/).filter((piece) => piece.length > 1);
  return [
    ...new Set([
      'a',
      '0',
      '9',
      '/',
      '\\',
      ' ',
      '-',
      '.',
      ':',
      '"',
      '\n',
      '\u001b[',
      '\ufeff',
      '\u202e',
      'ab',
      '0.',
      ...literals,
    ]),
  ];
}

function longestMs({ source, flags }: Found, piece: string, before: string, length: number = LENGTH): number {
  const body = before + piece.repeat(Math.ceil(length / piece.length));
  let longest = 0;
  for (const text of [`${body}\u0000`, `${body}!x`]) {
    const begun = performance.now();
    const expression = new RegExp(source, flags);
    if (expression.global) text.replace(expression, '');
    else expression.test(text);
    longest = Math.max(longest, performance.now() - begun);
  }
  return longest;
}

describe('a regular expression', () => {
  it('takes time in proportion to the text', { timeout: 120_000 }, () => {
    expect(expressions.length).toBeGreaterThan(30);
    const slow: string[] = [];
    for (const found of expressions) {
      if (OF_FILE_NAMES.some((name) => found.place.startsWith(name))) continue;
      const prefixes = ['', ...piecesOf(found).slice(-1)];
      for (const piece of piecesOf(found)) {
        for (const before of prefixes) {
          // Once more, if the machine was busy: a square is as slow again.
          const isSlow = longestMs(found, piece, before) > LONGEST_MS && longestMs(found, piece, before) > LONGEST_MS;
          if (isSlow) slow.push(`${found.place} /${found.source}/${found.flags} on ${JSON.stringify(before + piece)}`);
        }
      }
    }
    expect(slow).toEqual([]);
  });

  it('is never made out of what is given', () => {
    const made = sources.filter((path) => /\bRegExp\(/.test(readFileSync(join(ROOT, path), 'utf8')));
    expect(made).toEqual([]);
  });

  it('would be found by this test, if it took the square', () => {
    const square: Found = { place: '', source: '[/\\\\]+$', flags: '' };
    expect(piecesOf(square)).toContain('/');
    const [once, twice] = [longestMs(square, '/', '', 8_000), longestMs(square, '/', '', 16_000)];
    expect(twice * (LENGTH / 16_000) ** 2).toBeGreaterThan(LONGEST_MS);
    expect(twice).toBeGreaterThan(2 * once);
  });
});

describe('what looks through text without one', () => {
  it('takes a path of slashes at once', async () => {
    const begun = performance.now();
    const holder = { pid: 1, since: undefined };
    await NewDirectory.begin(new MemoryFileSystem(), `/a${'/'.repeat(LENGTH)}`, holder);
    expect(performance.now() - begun).toBeLessThan(LONGEST_MS);
  });
});
