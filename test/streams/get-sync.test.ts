// Goal: getSync gives what get gives, from memtables, cached and uncached blocks, open and closed tables; and fails as it does.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CorruptionError,
  MemoryFileSystem,
  open,
  openInMemory,
  type OpenOptions,
  type Store,
} from '../../src/index.ts';
import { DelayedFileSystem } from '../support/delayed-file-system.ts';
import { FaultFileSystem } from '../support/fault-file-system.ts';
import { flipped } from '../support/log-bytes.ts';
import { runsOf } from '../support/runs.ts';
import { textOf } from '../support/sorted-model.ts';
import { temporaryDirectories } from '../support/temporary.ts';

const newDirectory = temporaryDirectories();

/** Everything misses: no cache, few open tables. */
const COLD: OpenOptions = {
  memtableBytesMax: 1024,
  level0CompactionTrigger: 2,
  level1BytesMax: 2048,
  tableBytesMax: 1024,
  blockBytesMax: 128,
  blockCacheBytesMax: 0,
  openTablesMax: 4,
  durability: 'buffered',
};

const read = (store: Pick<Store, 'getSync'>, key: string): string | undefined => {
  const value = store.getSync(key);
  return value === undefined ? undefined : textOf(value);
};

async function fill(store: Store, round: number): Promise<void> {
  for (let index = 0; index < 120; index += 1) await store.set(`key ${index}`, `${round}: ${'x'.repeat(index)}`);
}

describe('getSync', () => {
  it('gives what get gives, whatever has to be read', async () => {
    const directory = newDirectory();
    const store = await open(directory, COLD);
    await fill(store, 1);
    const snapshot = store.snapshot();
    await fill(store, 2);
    await store.delete('key 7');
    for (const memory of ['memtables', 'tables', 'a new open'] as const) {
      if (memory === 'tables') await store.flush();
      for (let index = 0; index < 125; index += 1) {
        const key = `key ${index}`;
        const expected = await store.get(key);
        expect(store.getSync(key), key).toEqual(expected);
        expect(snapshot.getSync(key), key).toEqual(await snapshot.get(key));
      }
    }
    snapshot.close();
    expect(() => snapshot.getSync('key 1')).toThrow(expect.objectContaining({ code: 'CLOSED' }) as Error);
    await store.close();
    expect(() => store.getSync('key 1')).toThrow(expect.objectContaining({ code: 'CLOSED' }) as Error);
    const again = await open(directory, COLD);
    expect(read(again, 'key 119')).toBe(`2: ${'x'.repeat(119)}`);
    expect(read(again, 'key 7')).toBeUndefined();
    await again.close();
  });

  it('agrees with a model beside reads that wait for the disk, and leaves no file open', async () => {
    const fileSystem = new FaultFileSystem();
    const store = await open('/db', { ...COLD, fileSystem });
    await fill(store, 1);
    await store.flush();
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat({ max: 121 }), { minLength: 1, maxLength: 12 }), async (indexes) => {
        const waiting = indexes.map((index) => store.get(`key ${index}`)).map(async (one) => one);
        for (const index of indexes) {
          expect(read(store, `key ${index}`)).toBe(index < 120 ? `1: ${'x'.repeat(index)}` : undefined);
        }
        const values = await Promise.all(waiting);
        for (const [at, index] of indexes.entries()) {
          expect(values[at] === undefined ? undefined : textOf(values[at])).toBe(
            index < 120 ? `1: ${'x'.repeat(index)}` : undefined,
          );
        }
      }),
      runsOf(100),
    );
    await store.close();
    expect(fileSystem.openPaths).toEqual([]);
  });

  it('throws what get rejects with: damage, a disk that fails, and files that cannot be read so', async () => {
    const memory = new MemoryFileSystem();
    const store = await open('/db', { ...COLD, fileSystem: memory });
    await fill(store, 1);
    await store.close();

    const damaged = memory.crashImage('all', () => 0);
    for (const path of damaged.paths().filter((name) => name.endsWith('.ldb'))) {
      damaged.writeFileNow(path, flipped(damaged.readFileNow(path), 20));
    }
    const broken = await open('/db', { ...COLD, fileSystem: damaged, readOnly: true });
    const errors = Array.from({ length: 120 }, (_, index) => {
      try {
        broken.getSync(`key ${index}`);
        return undefined;
      } catch (error) {
        return error;
      }
    }).filter((error) => error !== undefined);
    expect(errors.length).toBeGreaterThan(0);
    for (const error of errors) expect(error).toBeInstanceOf(CorruptionError);
    await broken.close();

    const fileSystem = new FaultFileSystem(memory);
    const failing = await open('/db', { ...COLD, fileSystem });
    fileSystem.plan = { code: 'EIO', arrives: 0, isHit: ({ name }) => name === 'read' };
    expect(() => failing.getSync('key 1')).toThrow(expect.objectContaining({ code: 'IO', systemCode: 'EIO' }) as Error);
    fileSystem.plan = undefined;
    expect(read(failing, 'key 1')).toBe('1: x');
    await failing.close();
    expect(fileSystem.openPaths).toEqual([]);

    const plain = await open('/db', { ...COLD, fileSystem: new DelayedFileSystem(memory, () => Promise.resolve()) });
    await plain.set('fresh', 'in memory');
    expect(read(plain, 'fresh')).toBe('in memory');
    expect(() => plain.getSync('key 1')).toThrow(expect.objectContaining({ systemCode: 'ENOSYS' }) as Error);
    await plain.close();
  });

  it('checks its key at the call', async () => {
    const store = await openInMemory();
    expect(() => store.getSync(1 as unknown as string)).toThrow(TypeError);
    await store.close();
  });
});

it('opens a table once, though somebody is opening it in the background all the while', async () => {
  const fileSystem = new FaultFileSystem();
  const first = await open('/db', { fileSystem });
  await first.set('key', 'value');
  await first.close();
  const store = await open('/db', { fileSystem, blockCacheBytesMax: 0 });
  const slow = store.get('key').then((value) => (value === undefined ? undefined : textOf(value)));
  for (let call = 0; call < 50; call += 1) expect(read(store, 'key')).toBe('value');
  expect(fileSystem.openPaths.filter((path) => path.endsWith('.ldb')).length).toBeLessThanOrEqual(2);
  expect(await slow).toBe('value');
  expect(read(store, 'key')).toBe('value');
  await store.close();
  expect(fileSystem.openPaths).toEqual([]);
});
