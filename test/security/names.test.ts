// Goal: no name becomes a path, and no name becomes a property of an object that it does not belong to. Method: names that lead
// out of a directory, and names that every object has, through every call that takes a name, with the file system watched; and
// for what goes through JSON, the command line and the attached socket, with the prototypes watched.
import { readdirSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { codecs, type FileSystem, NodeFileSystem, open, openInMemory, type Store } from 'alluvium';
import { openOrAttach } from 'alluvium/attach';
import { alluvium } from '../support/command-line.ts';
import { runsOf } from '../support/runs.ts';
import { temporaryDirectories } from '../support/temporary.ts';

const newDirectory = temporaryDirectories();
const INHERITED = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '__defineGetter__', 'then'];
const LEADING_OUT = [
  ...['..', '../x', '../../etc/passwd', '/etc/passwd', 'a/../../b', '..\\x', 'C:\\x', 'C:x', 'CON', 'nul', 'x\u0000y'],
  ...['%2e%2e%2f', '~', '.', '-rf', ' ', 'a\nb', 'archive', 'CURRENT', '000001.log', 'x'.repeat(128)],
];
const PROTOTYPES = [Object.prototype, Array.prototype, Map.prototype, Uint8Array.prototype, Function.prototype];
const untouched = PROTOTYPES.map((prototype) => Reflect.ownKeys(prototype).map(String).toSorted());

afterEach(() => {
  expect(PROTOTYPES.map((prototype) => Reflect.ownKeys(prototype).map(String).toSorted())).toEqual(untouched);
});

/** The machine's files, and every path that is asked for. */
function watched(): { readonly fileSystem: FileSystem; readonly paths: Set<string> } {
  const paths = new Set<string>();
  const target = new NodeFileSystem();
  const fileSystem = new Proxy(target, {
    get: (_, name) => {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      return (...given: unknown[]): unknown => {
        for (const each of given) if (typeof each === 'string') paths.add(resolve(each));
        return Reflect.apply(value, target, given) as unknown;
      };
    },
  });
  return { fileSystem, paths };
}

/** Takes a name wherever one is taken, and goes on whatever is said to it. */
async function useName(store: Store, name: string): Promise<number> {
  let taken = 0;
  const calls: (() => PromiseLike<unknown>)[] = [
    () => store.set(name, name),
    () => store.keyspace(name, { key: codecs.utf8, value: codecs.json() }).set(name, { [name]: name }),
    () => store.keyspace([name, name], { key: codecs.utf8, value: codecs.utf8 }).set(name, name),
    () => store.write([{ type: 'set', key: name, value: name }], { idempotencyKey: name }),
    () => store.consumer(name, { handle: () => Promise.resolve() }).position(),
    () => store.get(name),
    () => store.compact({ start: name, end: `${name}~` }),
  ];
  for (const call of calls) {
    try {
      await call();
      taken += 1;
    } catch (error) {
      expect(error).toHaveProperty('code');
    }
  }
  return taken;
}

describe('a name', () => {
  it('is no path, wherever it is given', async () => {
    const { fileSystem, paths } = watched();
    const root = newDirectory();
    const store = await open(join(root, 'data'), { fileSystem, worker: 'off' });
    const names = fc.oneof(
      fc.constantFrom(...LEADING_OUT, ...INHERITED),
      fc.string({ unit: 'grapheme', maxLength: 20 }),
    );
    await fc.assert(
      fc.asyncProperty(names, async (name) => {
        expect(await useName(store, name)).toBeGreaterThan(0);
      }),
      { ...runsOf(10), examples: LEADING_OUT.map((name) => [name]) },
    );
    await store.flush();
    await store.close();
    const above = [root, dirname(root), join(root, 'data')];
    const outside = [...paths].filter((path) => !path.startsWith(`${root}${sep}data${sep}`) && !above.includes(path));
    expect(outside).toEqual([]);
    const made = readdirSync(root, { recursive: true }).map(String);
    const own =
      /^data([/\\](CURRENT|LOCK|alluvium\.lock|MANIFEST-\d+|\d+\.(log|ldb)|archive([/\\][0-9a-f]{32}([/\\].+)?)?))?$/;
    expect(made.filter((name) => !own.test(name))).toEqual([]);
  });

  it('that every object has is a key like any other', async () => {
    const store = await openInMemory();
    const typed = store.keyspace('typed', { key: codecs.utf8, value: codecs.json() });
    for (const name of INHERITED) {
      expect(await store.get(name), name).toBeUndefined();
      expect(await typed.get(name), name).toBeUndefined();
      await store.set(name, `of ${name}`);
      await typed.set(name, JSON.parse(`{"__proto__": {"isPolluted": true}, "${name}": 1}`));
    }
    for (const name of INHERITED) {
      expect(Buffer.from((await store.get(name)) ?? []).toString()).toBe(`of ${name}`);
      const value = await typed.get(name);
      expect(Object.keys(value as object)).toEqual(expect.arrayContaining([name]));
      expect(Reflect.get(value as object, 'isPolluted')).toBeUndefined();
    }
    const keys: string[] = [];
    for await (const { key } of typed.scan()) keys.push(key);
    expect(keys.toSorted()).toEqual(INHERITED.toSorted());
    await store.close();
  });

  it('of an option is taken from the options alone', async () => {
    const given = JSON.parse('{"__proto__": {"readOnly": true, "errorIfExists": true}, "constructor": 1}') as object;
    const store = await open(join(newDirectory(), 'data'), given);
    await store.set('key', 'value'); // not for reading only
    expect(Reflect.get({}, 'readOnly')).toBeUndefined();
    await store.close();
  });
});

describe('names that every object has', () => {
  it('go through an attached process and back', async () => {
    const directory = newDirectory();
    const owner = await openOrAttach(directory);
    const guest = await openOrAttach(directory);
    expect(guest.role).toBe('attached');
    for (const name of INHERITED) await guest.set(name, name);
    const found = await guest.getMany(INHERITED);
    expect(found.map((bytes) => Buffer.from(bytes ?? []).toString())).toEqual(INHERITED);
    await guest.close();
    await owner.close();
  });

  it('go through the command line: as words, as options, as JSON, as columns', async () => {
    const location = join(newDirectory(), 'data');
    const lines = INHERITED.map((name) => `{"__proto__": {"key": "wrong"}, "key": "${name}", "value": "of ${name}"}`);
    const imported = await alluvium(['import', location, '--create'], { input: lines.join('\n') });
    expect([imported.code, imported.stderr]).toEqual([0, '']);
    const csv = `__proto__,constructor,key\n${INHERITED.map((name) => `x,y,csv ${name}`).join('\n')}\n`;
    const rows = await alluvium(['import', location, '--format', 'csv', '--key-column', 'key'], { input: csv });
    expect([rows.code, rows.stderr]).toEqual([0, '']);
    const found = await alluvium(['scan', location, '--json']);
    const entries = found.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { key: string; value: string });
    const expected = [...INHERITED, ...INHERITED.map((name) => `csv ${name}`)];
    expect(entries.map(({ key }) => key).toSorted()).toEqual(expected.toSorted());
    const row = JSON.parse(entries.find(({ key }) => key === 'csv then')?.value ?? '{}') as object;
    expect(Object.entries(row)).toEqual(expect.arrayContaining([['__proto__', 'x']]));
    for (const words of [
      ['__proto__'],
      ['constructor', location],
      ['get', location, '--__proto__', 'x'],
      ['help', '__proto__'],
    ]) {
      const { code, stderr } = await alluvium(words);
      expect(code, words.join(' ')).toBe(2);
      expect(stderr).not.toContain('bug');
    }
  });
});
