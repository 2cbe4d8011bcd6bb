// Goal: on top of another file system, names and bytes are as they would be there, and nothing below is changed.
// Method: random calls, on it and on a copy of what is below, side by side; then a look at what is below.
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { IoError } from '../../../src/errors.ts';
import { AsideFileSystem } from '../../../src/storage/file-system/aside-file-system.ts';
import type { FileSystem } from '../../../src/storage/file-system/file-system.ts';
import { Fault } from '../../../src/storage/file-system/memory-faults.ts';
import { MemoryFileSystem } from '../../../src/storage/file-system/memory-file-system.ts';
import { bytesOf, textOf } from '../../support/sorted-model.ts';
import { runsOf } from '../../support/runs.ts';

const path = fc.constantFrom<string>('/d/a', '/d/b', '/d/c', '/d/e/a', '/d/e/b', '/d/f/a');
const directory = fc.constantFrom<string>('/d', '/d/e', '/d/f');
const call = fc.oneof(
  fc.record({ do: fc.constant('create' as const), path, text: fc.string({ maxLength: 5 }) }),
  fc.record({ do: fc.constantFrom('rename' as const, 'link' as const), path, to: path }),
  fc.record({ do: fc.constantFrom('remove' as const, 'read' as const, 'stat' as const), path }),
  fc.record({ do: fc.constantFrom('list' as const, 'makeDirectory' as const, 'stat' as const), path: directory }),
);
type Call = typeof call extends fc.Arbitrary<infer T> ? T : never;

async function answer(files: FileSystem, one: Call): Promise<unknown> {
  try {
    if ('text' in one) {
      const file = await files.create(one.path);
      await file.append(bytesOf(one.text));
      return await file.close();
    }
    if ('to' in one) return await files[one.do](one.path, one.to);
    if (one.do === 'read') {
      const file = await files.openForRead(one.path);
      const bytes = new Uint8Array(await file.size());
      await file.read(bytes, 0);
      await file.close();
      return textOf(bytes);
    }
    return await files[one.do](one.path);
  } catch (error) {
    if (error instanceof IoError) return error.systemCode;
    throw error;
  }
}

/** Found by a random seed: the second name went, and the first with it. */
const TWO_NAMES: Call[] = [
  { do: 'link', path: '/d/a', to: '/d/c' },
  { do: 'rename', path: '/d/c', to: '/d/a' },
];

async function populated(): Promise<MemoryFileSystem> {
  const files = new MemoryFileSystem();
  await files.makeDirectory('/d/e');
  for (const name of ['/d/a', '/d/b', '/d/e/a']) await answer(files, { do: 'create', path: name, text: `in ${name}` });
  return files;
}

/** Counted by each file system for itself. */
const withoutVersion = (found: unknown): unknown =>
  typeof found === 'object' ? { ...found, version: undefined } : found;

const census = (files: FileSystem): Promise<unknown> =>
  Promise.all(
    ['/d', '/d/e', '/d/f']
      .map((path): Call => ({ do: 'list', path }))
      .concat(['/d/a', '/d/b', '/d/e/a'].map((path): Call => ({ do: 'read', path })))
      .map((one) => answer(files, one)),
  );

it('removes directories that are empty, of its own and of those below', async () => {
  const below = await populated();
  await below.makeDirectory('/d/empty');
  const aside = new AsideFileSystem(below);
  const codeOf = (done: Promise<void>): Promise<unknown> =>
    done.then(
      () => 'done',
      (error: unknown) => (error instanceof IoError ? error.systemCode : error),
    );
  await aside.makeDirectory('/d/made/deep');
  expect(await aside.realPath('/d/made/deep')).toBe('/d/made/deep');
  expect(await aside.realPath('/d/e')).toBe('/d/e');
  expect(await codeOf(aside.removeDirectory('/d/a'))).toBe('ENOTDIR');
  expect(await codeOf(aside.removeDirectory('/d/none'))).toBe('ENOENT');
  expect(await codeOf(aside.removeDirectory('/d/made'))).toBe('ENOTEMPTY');
  expect(await codeOf(aside.removeDirectory('/d/e'))).toBe('ENOTEMPTY');
  for (const path of ['/d/made/deep', '/d/made', '/d/empty']) {
    expect(await codeOf(aside.removeDirectory(path))).toBe('done');
    expect(await codeOf(aside.removeDirectory(path))).toBe('ENOENT');
  }
  expect(await aside.list('/d')).toEqual(['a', 'b', 'e']);
  expect(await below.list('/d')).toEqual(['a', 'b', 'e', 'empty']);
});

it('makes nothing where it cannot be known what is there', async () => {
  const below = new MemoryFileSystem({ onOperation: ({ name }) => (name === 'stat' ? new Fault('EIO') : undefined) });
  await below.makeDirectory('/d');
  await expect(new AsideFileSystem(below).create('/d/a')).rejects.toMatchObject({ systemCode: 'EIO' });
  expect(await below.list('/d')).toEqual([]);
});

it('is as the file system would be, and leaves what is below as it was', async () => {
  const before = await census(await populated());
  await fc.assert(
    fc.asyncProperty(fc.array(call, { maxLength: 40 }), async (calls) => {
      const below = await populated();
      const aside = new AsideFileSystem(below);
      const model = await populated();
      for (const one of calls) {
        const isOntoItself = 'to' in one && one.to === one.path; // POSIX does nothing then, and nobody asks for it
        if (isOntoItself) continue;
        const [given, expected] = [await answer(aside, one), await answer(model, one)];
        const comparable = one.do === 'stat' ? withoutVersion : (found: unknown): unknown => found;
        expect([one, comparable(given)]).toEqual([one, comparable(expected)]);
      }
      expect(await census(aside)).toEqual(await census(model));
      expect(await census(below)).toEqual(before);
    }),
    { ...runsOf(300), examples: [[TWO_NAMES]] },
  );
});
