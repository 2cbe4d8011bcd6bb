// Goal: a point read finds the newest entry that the reader may see, in whichever level it lies, and nothing else.
// Method: random histories, spread over the levels as a tree would have them; every key at every sequence number.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryFileSystem } from '../../../src/index.ts';
import { Fault } from '../../../src/storage/file-system/memory-faults.ts';
import { findInTables } from '../../../src/storage/read/find-in-tables.ts';
import { KIND_DELETE, KIND_SET } from '../../../src/storage/read/internal-iterator.ts';
import { Lookup } from '../../../src/storage/table/lookup.ts';
import { runsOf } from '../../support/runs.ts';
import { bytesOf, textOf } from '../../support/sorted-model.ts';
import { settled, type TableEntry } from '../../support/table-entries.ts';
import { spreadOver, tableCacheOf, versionOf, writeTable } from '../../support/tree-on-disk.ts';

const keys = ['', '\0', 'a', 'aa', 'ab', 'b', 'c', '\xff'];
const history: fc.Arbitrary<TableEntry[]> = fc
  .array(fc.tuple(fc.constantFrom(...keys.slice(1)), fc.boolean()), { maxLength: 60, size: 'max' })
  .map((list) =>
    list.map(([key, isSet], index) => ({
      key: bytesOf(key),
      sequence: index + 1,
      kind: isSet ? KIND_SET : KIND_DELETE,
      value: bytesOf(isSet ? `value ${index}` : ''),
    })),
  );

async function directory(options?: ConstructorParameters<typeof MemoryFileSystem>[0]): Promise<MemoryFileSystem> {
  const fileSystem = new MemoryFileSystem(options);
  await fileSystem.makeDirectory('/db');
  return fileSystem;
}

const entry = (key: string, sequence: number, kind: 0 | 1 = KIND_SET): TableEntry => ({
  key: bytesOf(key),
  sequence,
  kind,
  value: bytesOf(kind === KIND_SET ? `${key}@${sequence}` : ''),
});

describe('a point read in tables', () => {
  it('finds the newest entry that is old enough', async () => {
    await fc.assert(
      fc.asyncProperty(
        history,
        fc.integer({ min: 1, max: 7 }),
        fc.constantFrom(1, 100),
        fc.constantFrom(0, 1e6),
        async (written, parts, openTablesMax, cacheBytes) => {
          const fileSystem = await directory();
          const version = versionOf(spreadOver(fileSystem, written, parts));
          const tables = tableCacheOf(fileSystem, openTablesMax, cacheBytes);
          const lookup = new Lookup();
          for (const text of keys) {
            const key = bytesOf(`x${text}y`);
            for (let sequence = 0; sequence <= written.length + 1; sequence += 3) {
              lookup.reset(key, 1, key.length - 1, sequence);
              await settled(findInTables(version, tables, lookup));
              const expected = written.findLast((one) => one.sequence <= sequence && textOf(one.key) === text);
              const state = expected === undefined ? 'absent' : expected.kind === KIND_SET ? 'found' : 'deleted';
              expect(lookup.state).toBe(state);
              if (expected === undefined) continue;
              expect(lookup.foundSequence).toBe(expected.sequence);
              const value = lookup.valueBytes.slice(lookup.valueStart, lookup.valueEnd);
              if (state === 'found') expect(textOf(value)).toBe(textOf(expected.value));
            }
          }
          expect(tables.openCount).toBeLessThanOrEqual(Math.max(1, openTablesMax));
          await tables.closeAll();
        },
      ),
      runsOf(60),
    );
  });

  it('is answered at once when tables are open and blocks cached, also with what is absent', async () => {
    const fileSystem = await directory();
    const levels = [[writeTable(fileSystem, 3, [entry('b', 9)])], [writeTable(fileSystem, 2, [entry('a', 1)])]];
    const version = versionOf(levels);
    const tables = tableCacheOf(fileSystem);
    const lookup = new Lookup();
    for (const isWarm of [false, true]) {
      for (const key of ['a', 'b', 'aa']) {
        lookup.reset(bytesOf(key), 0, key.length, 10);
        const step = findInTables(version, tables, lookup);
        if (isWarm) expect(step).toBeUndefined();
        await settled(step);
        expect(lookup.state).toBe(key === 'aa' ? 'absent' : 'found');
      }
    }
  });

  it('asks no table whose bounds exclude the key', async () => {
    let opened = 0;
    const fileSystem = await directory({
      onOperation: ({ name }) => {
        if (name === 'open') opened += 1;
        return undefined;
      },
    });
    const level0 = [
      writeTable(fileSystem, 5, [entry('c', 9), entry('d', 8)]),
      writeTable(fileSystem, 4, [entry('a', 7), entry('b', 6)]),
    ];
    const version = versionOf([level0, [writeTable(fileSystem, 3, [entry('e', 1)])]]);
    const tables = tableCacheOf(fileSystem);
    const lookup = new Lookup();
    for (const key of ['A', 'bb', 'dd', 'f']) {
      lookup.reset(bytesOf(key), 0, key.length, 10);
      expect(findInTables(version, tables, lookup)).toBeUndefined();
      expect(lookup.state).toBe('absent');
    }
    expect(opened).toBe(0);
  });

  it('stops at a tombstone: what lies below it is never read', async () => {
    const fileSystem = await directory();
    const version = versionOf([
      [writeTable(fileSystem, 5, [entry('k', 9, KIND_DELETE)])],
      [{ ...writeTable(fileSystem, 4, [entry('k', 3)]), fileNumber: 77 }], // there is no such file
    ]);
    const tables = tableCacheOf(fileSystem);
    const lookup = new Lookup();
    lookup.reset(bytesOf('k'), 0, 1, 20);
    await settled(findInTables(version, tables, lookup));
    expect(lookup.state).toBe('deleted');
    lookup.reset(bytesOf('k'), 0, 1, 8);
    await expect((async () => settled(findInTables(version, tables, lookup)))()).rejects.toMatchObject({ code: 'IO' });
  });

  it('gives its table back also when a read fails, and reads on when the disk does', async () => {
    let isBroken = false;
    const fileSystem = await directory({
      onOperation: ({ name }) => (isBroken && name === 'read' ? new Fault('EIO') : undefined),
    });
    const metas = [5, 4].map((number) => writeTable(fileSystem, number, [entry('k', number)]));
    const version = versionOf([metas]);
    const tables = tableCacheOf(fileSystem, 1, 0);
    const lookup = new Lookup();
    const find = async (sequence: number): Promise<void> => {
      lookup.reset(bytesOf('k'), 0, 1, sequence);
      await settled(findInTables(version, tables, lookup));
    };
    await find(9);
    isBroken = true;
    await expect(find(9)).rejects.toMatchObject({ code: 'IO', systemCode: 'EIO' });
    await expect(find(4)).rejects.toMatchObject({ code: 'IO' });
    isBroken = false;
    await find(4);
    expect(lookup.foundSequence).toBe(4);
    // Only what nobody holds can be let go: a table that was not given back would stay open above the bound.
    expect(tables.openCount).toBe(1);
    await tables.closeAll();
  });
});
