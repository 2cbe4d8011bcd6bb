// Goal: a keyspace and the sublevel of its name are the same entries in the same order, whoever wrote them.
// Method: one writes a real directory, the other reads it; real LevelDB under abstract-level, in a process of its own.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { type Bytes, codecs, open, type Store, type Stream } from '../../src/index.ts';
import { temporaryDirectories } from '../support/temporary.ts';

const makeDirectory = temporaryDirectories();
const run = promisify(execFile);

interface Step {
  readonly path: string | readonly string[];
  readonly put?: readonly (readonly [string, string])[];
  readonly range?: Readonly<Record<string, string>>;
  readonly isReverse?: boolean;
}
type Rows = readonly (readonly [string, string])[];

/** @returns the rows of each step that has a range */
async function level(directory: string, steps: readonly Step[]): Promise<readonly Rows[]> {
  const child = join(import.meta.dirname, 'keyspace-sublevel-child.mjs');
  const { stdout } = await run(process.execPath, [child, directory, JSON.stringify(steps)]);
  return JSON.parse(stdout) as readonly Rows[];
}

const hexOf = (data: Bytes): string => Buffer.from(data).toString('hex');

async function all<T>(stream: Stream<T>): Promise<T[]> {
  const values: T[] = [];
  for await (const value of stream) values.push(value);
  return values;
}

const NUMBERS = [-Infinity, -257, -1, -0.5, 0, 1e-300, 1, 255, 256, 2 ** 53, Infinity];
/** What must not get in between: keys beside the prefix of `n`. */
const NEIGHBOURS = ['!n', '!n ', '!n"a', '!n#!', '!nn!a', '!m!a', '!m"', 'n'];

const spacesOf = (store: Store) => {
  const numbers = store.keyspace('n', { key: codecs.number, value: codecs.utf8 });
  const names = store.keyspace(['deep', 'er', 'est'], {
    key: codecs.tuple(codecs.utf8, codecs.bigint),
    value: codecs.json<number>(),
  });
  return { numbers, names };
};
const NAMES: readonly (readonly [string, bigint])[] = [
  ['', 0n],
  ['a', -1n],
  ['a', 300n],
  ['a\0', 0n],
  ['b', 1n],
];

it('level reads what a keyspace wrote: the same entries, the same order, the same bounds', async () => {
  const directory = makeDirectory();
  const store = await open(directory);
  const { numbers, names } = spacesOf(store);
  await store.write([
    ...NEIGHBOURS.map((key) => ({ type: 'set' as const, key, value: 'a neighbour' })),
    ...NUMBERS.map((key) => numbers.setLine(key, `number ${key}`)),
    ...NAMES.map((key, index) => names.setLine(key, index)),
  ]);
  const keyOf = (number: number): string => hexOf(codecs.number.encode(number));
  await store.close();

  const [forwards, backwards, between, deep] = await level(directory, [
    { path: 'n', range: {} },
    { path: 'n', range: {}, isReverse: true },
    { path: 'n', range: { gt: keyOf(-1), lt: keyOf(256) } },
    { path: ['deep', 'er', 'est'], range: {} },
  ]);
  const rows = NUMBERS.map((number) => [keyOf(number), `number ${number}`]);
  expect(forwards).toEqual(rows);
  expect(backwards).toEqual(rows.toReversed());
  expect(between).toEqual(rows.slice(3, 8));
  const tuple = codecs.tuple(codecs.utf8, codecs.bigint);
  expect(deep).toEqual(NAMES.map((key, index) => [hexOf(tuple.encode(key)), String(index)]));
});

it('a keyspace reads what level wrote, and nothing beside it', async () => {
  const directory = makeDirectory();
  const tuple = codecs.tuple(codecs.utf8, codecs.bigint);
  await level(directory, [
    { path: 'n', put: NUMBERS.map((number) => [hexOf(codecs.number.encode(number)), `number ${number}`]) },
    { path: ['deep', 'er', 'est'], put: NAMES.map((key, index) => [hexOf(tuple.encode(key)), String(index)]) },
    { path: ['deep', 'er'], put: [['ff', 'a neighbour']] },
    { path: 'nn', put: [['00', 'a neighbour']] },
    { path: 'm', put: [['ff', 'a neighbour']] },
  ]);
  const store = await open(directory);
  const { numbers, names } = spacesOf(store);
  const entries = NUMBERS.map((key) => ({ key, value: `number ${key}` }));
  expect(await all(numbers.scan())).toEqual(entries);
  expect(await all(numbers.scan({ reverse: true }))).toEqual(entries.toReversed());
  expect(await all(numbers.scan({ gt: -1, lt: 256 }))).toEqual(entries.slice(3, 8));
  expect(await numbers.get(255)).toBe('number 255');
  expect(await all(names.scan())).toEqual(NAMES.map((key, value) => ({ key, value })));
  expect(await all(names.scan({ gte: ['a'], lte: ['a'], keys: false }))).toEqual([1, 2]);
  await store.close();
});

it.each(['', 'a b', 'a"b', 'a\x7f', 'ü', 'a!b'])(
  'of the names that a keyspace refuses, level takes only the empty one: %j',
  async (name) => {
    const [rows] = await level(makeDirectory(), [
      { path: name, put: [['00', 'value']] },
      { path: '', range: {} },
    ]).catch(() => [undefined]);
    expect(rows === undefined).toBe(name !== '');
  },
);
