// Goal: a MANIFEST whose end the power took is read up to there; a damaged one is refused, with file and byte.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryFileSystem } from '../../../src/index.ts';
import { COMPARATOR_NAME } from '../../../src/storage/codec/compare.ts';
import { type ManifestState, readManifest } from '../../../src/storage/manifest/read-manifest.ts';
import { encodeVersionEdit, type VersionEdit } from '../../../src/storage/manifest/version-edit.ts';
import { LAST } from '../../../src/storage/wal/record-format.ts';
import { RecordWriter } from '../../../src/storage/wal/record-writer.ts';
import { FaultFileSystem } from '../../support/fault-file-system.ts';
import { flipped, fragment, framed, joined } from '../../support/log-bytes.ts';
import { runsOf } from '../../support/runs.ts';
import { fileNumbersOf, tableOf } from '../../support/tables.ts';

const FIRST: VersionEdit = {
  comparator: COMPARATOR_NAME,
  logNumber: 3,
  nextFileNumber: 4,
  lastSequence: 5,
  newTables: [{ level: 1, table: tableOf(2, { first: 'a', last: 'b' }) }],
};
const SECOND: VersionEdit = {
  logNumber: 6,
  nextFileNumber: 8,
  lastSequence: 9,
  deletedTables: [{ level: 1, fileNumber: 2 }],
  newTables: [{ level: 2, table: tableOf(7, { first: 'a', last: 'b' }) }],
  compactionPointers: [{ level: 1, key: tableOf(2, { first: 'a', last: 'b' }).largest }],
};
const edits = (...list: readonly VersionEdit[]): Uint8Array => framed(...list.map(encodeVersionEdit));

async function read(bytes: Uint8Array) {
  const fileSystem = new MemoryFileSystem();
  await fileSystem.makeDirectory('/db');
  fileSystem.writeFileNow('/db/MANIFEST-000001', bytes);
  return readManifest(fileSystem, '/db', 1);
}

describe('a MANIFEST', () => {
  it('gives the state that its edits lead to', async () => {
    const state = await read(edits(FIRST, SECOND));
    expect(state.version.levels.map(fileNumbersOf)).toEqual([[], [], [7], [], [], [], []]);
    expect(state).toMatchObject({ nextFileNumber: 8, lastSequence: 9, logNumber: 6, previousLogNumber: 0 });
    expect(state.compactionPointers.map((key) => key !== undefined)).toEqual([
      false,
      true,
      ...Array<boolean>(5).fill(false),
    ]);
  });

  it('may say a counter once, and each edit what it changes', async () => {
    const state = await read(edits(FIRST, { previousLogNumber: 2 }, { lastSequence: 50 }));
    expect(state).toMatchObject({ nextFileNumber: 4, lastSequence: 50, logNumber: 3, previousLogNumber: 2 });
  });

  it('without one of its counters is no version', async () => {
    for (const name of ['logNumber', 'nextFileNumber', 'lastSequence'] as const) {
      const rest = Object.entries(FIRST).filter(([field]) => field !== name);
      await expect(read(edits(Object.fromEntries(rest)))).rejects.toMatchObject({
        code: 'CORRUPTION',
        file: 'MANIFEST-000001',
      });
    }
    await expect(read(new Uint8Array(0))).rejects.toMatchObject({ code: 'CORRUPTION', offset: 0 });
  });

  it('cut anywhere gives the state before the edit that was cut', async () => {
    const whole = edits(FIRST, SECOND);
    const firstEnd = edits(FIRST).length;
    for (let end = firstEnd; end < whole.length; end += 1) {
      expect((await read(whole.subarray(0, end))).lastSequence).toBe(5);
    }
    for (let end = 0; end < firstEnd; end += 1) {
      await expect(read(whole.subarray(0, end))).rejects.toMatchObject({ code: 'CORRUPTION' });
    }
  });

  it('with zeros or garbage for its last edit gives the state before it', async () => {
    const whole = edits(FIRST, SECOND);
    const firstEnd = edits(FIRST).length;
    for (const fill of [0, 0xa5]) expect((await read(whole.slice().fill(fill, firstEnd))).lastSequence).toBe(5);
  });

  it('with damage before an edit that can be read is refused, and says where', async () => {
    const bytes = edits(FIRST, SECOND, { lastSequence: 10 });
    await expect(read(flipped(bytes, 20))).rejects.toMatchObject({ code: 'CORRUPTION', offset: 0 });
    const firstEnd = edits(FIRST).length;
    await expect(read(flipped(bytes, firstEnd + 20))).rejects.toMatchObject({ code: 'CORRUPTION', offset: firstEnd });
  });

  describe('with blocks of a file that was removed at its end', () => {
    /** A MANIFEST with the number 6, and of one sector. */
    const filled = (): Uint8Array => {
      const begun = { ...FIRST, nextFileNumber: 7 };
      const pointer = (bytes: number): VersionEdit => ({
        nextFileNumber: 8,
        compactionPointers: [{ level: 1, key: new Uint8Array(bytes).fill(1) }],
      });
      for (let bytes = 200; bytes < 512; bytes += 1) {
        const whole = edits(begun, pointer(bytes));
        if (whole.length === 512) return whole;
      }
      throw new Error('no such length');
    };
    const six = async (bytes: Uint8Array): Promise<ManifestState> => {
      const fileSystem = new MemoryFileSystem();
      await fileSystem.makeDirectory('/db');
      fileSystem.writeFileNow('/db/MANIFEST-000006', bytes);
      return readManifest(fileSystem, '/db', 6);
    };
    const before = { nextFileNumber: 8, lastSequence: 5 };

    it.each<[string, Uint8Array]>([
      [
        'edits of an older MANIFEST',
        edits({ nextFileNumber: 6, lastSequence: 4 }, { nextFileNumber: 5, lastSequence: 3 }),
      ],
      ['the beginning of an older MANIFEST', edits({ comparator: COMPARATOR_NAME, lastSequence: 3 })],
      ['records of a log', framed(new Uint8Array(12), Uint8Array.of(99))],
      ['the middle of an older MANIFEST', edits({ nextFileNumber: 5 }, { nextFileNumber: 6 }).subarray(3)],
    ])('gives the state before it: %s', async (_what, older) => {
      const bytes = joined(filled(), older);
      expect(await six(bytes)).toMatchObject(before);
      // Behind an edit that was torn at the end of a sector.
      const torn = joined(filled(), edits({ nextFileNumber: 9, lastSequence: 6 }).subarray(0, 9), older);
      expect(await six(torn)).toMatchObject(before);
    });

    it('is refused, if an edit of its own is behind it', async () => {
      const own = edits({ nextFileNumber: 9, lastSequence: 6 });
      for (const older of [edits({ nextFileNumber: 6 }), framed(Uint8Array.of(99))]) {
        await expect(six(joined(filled(), older, own))).rejects.toMatchObject({ code: 'CORRUPTION', offset: 512 });
        const torn = joined(filled(), own.subarray(0, 9), older, own);
        await expect(six(torn)).rejects.toMatchObject({ code: 'CORRUPTION', offset: 512 });
        const counterless = joined(filled(), older, edits({ lastSequence: 7 }));
        await expect(six(counterless)).rejects.toMatchObject({ code: 'CORRUPTION', offset: 512 });
      }
    });

    it('is refused, if an edit of its own is behind it and more that is broken', async () => {
      const own = edits({ nextFileNumber: 9, lastSequence: 6 });
      const broken = flipped(edits({ nextFileNumber: 6, lastSequence: 4 }), 8);
      const older = edits({ nextFileNumber: 6 });
      await expect(six(joined(filled(), broken, older, broken, own))).rejects.toMatchObject({ offset: 512 });
      expect(await six(joined(filled(), broken, older, broken, older))).toMatchObject(before);
    });

    it('gives the state before an edit whose end is of another file', async () => {
      const key = new Uint8Array(40_000).fill(1);
      const records = new RecordWriter(512);
      const own = encodeVersionEdit({ nextFileNumber: 9, compactionPointers: [{ level: 2, key }] });
      records.add(own, 0, own.length);
      const whole = joined(filled(), records.staged());
      expect(await six(whole)).toMatchObject({ nextFileNumber: 9 });
      const spliced = joined(whole.subarray(0, 32_768), fragment(LAST, Uint8Array.of(99)));
      expect(await six(spliced)).toMatchObject(before);
      await expect(six(joined(spliced, edits({ nextFileNumber: 9 })))).rejects.toMatchObject({ code: 'CORRUPTION' });
    });

    it('is refused, if such a record begins within a sector: no file system leaves that', async () => {
      const bytes = framed(encodeVersionEdit(FIRST), Uint8Array.of(99));
      await expect(six(bytes)).rejects.toMatchObject({ code: 'CORRUPTION', offset: edits(FIRST).length });
    });
  });

  it.each<[string, VersionEdit]>([
    ['deletes a table that is not there', { deletedTables: [{ level: 1, fileNumber: 99 }] }],
    ['adds a table twice', { newTables: FIRST.newTables ?? [] }],
    ['adds an overlap', { newTables: [{ level: 1, table: tableOf(9, { first: 'b', last: 'c', firstSequence: 9 }) }] }],
  ])('that %s is refused at that edit', async (_what, wrong) => {
    const offset = edits(FIRST).length;
    await expect(read(edits(FIRST, wrong))).rejects.toMatchObject({ code: 'CORRUPTION', offset });
  });

  it('with an edit that cannot be decoded, though its checksum is right, is refused', async () => {
    const bytes = framed(encodeVersionEdit(FIRST), Uint8Array.of(99));
    await expect(read(bytes)).rejects.toMatchObject({ code: 'CORRUPTION', offset: edits(FIRST).length });
  });

  it('in another order of keys is refused, whatever else it says', async () => {
    const error = { code: 'COMPARATOR_MISMATCH', expected: COMPARATOR_NAME, actual: 'my order', directory: '/db' };
    await expect(read(edits({ ...FIRST, comparator: 'my order' }))).rejects.toMatchObject(error);
    await expect(read(edits(FIRST, { comparator: 'my order' }))).rejects.toMatchObject(error);
  });

  it('that is missing is damage of CURRENT', async () => {
    const fileSystem = new MemoryFileSystem();
    await fileSystem.makeDirectory('/db');
    await expect(readManifest(fileSystem, '/db', 7)).rejects.toMatchObject({ code: 'CORRUPTION', file: 'CURRENT' });
  });

  it('that cannot be opened is an error of the disk, and says nothing about what it holds', async () => {
    const fileSystem = new FaultFileSystem();
    await fileSystem.makeDirectory('/db');
    fileSystem.memory.writeFileNow('/db/MANIFEST-000001', edits(FIRST));
    for (const code of ['EMFILE', 'EACCES']) {
      fileSystem.plan = { code, arrives: 0, isHit: ({ name }) => name === 'open' };
      await expect(readManifest(fileSystem, '/db', 1)).rejects.toMatchObject({ code: 'IO', systemCode: code });
    }
  });

  it('is closed again, also when it is refused or cannot be read', async () => {
    for (const [bytes, isFailing] of [
      [edits(FIRST), false],
      [edits(SECOND), false],
      [edits(FIRST), true],
    ] as const) {
      const fileSystem = new FaultFileSystem();
      await fileSystem.makeDirectory('/db');
      fileSystem.memory.writeFileNow('/db/MANIFEST-000001', bytes);
      fileSystem.plan = { code: 'EIO', arrives: 0, isHit: ({ name }) => isFailing && name === 'read' };
      await readManifest(fileSystem, '/db', 1).catch(() => undefined);
      expect(fileSystem.openPaths).toEqual([]);
    }
  });

  it('is read, or refused with a typed error, whatever its bytes are', async () => {
    const whole = edits(FIRST, SECOND, { lastSequence: 10 });
    const change = fc.tuple(fc.nat({ max: whole.length - 1 }), fc.integer({ min: 1, max: 255 }));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 4 }), fc.uint8Array({ maxLength: 40 }), async (changes, tail) => {
        const bytes = changes.reduce((all, [place, mask]) => flipped(all, place, mask), joined(whole, tail));
        const outcome = await read(bytes).catch((error: unknown) => error);
        if (outcome instanceof Error) expect(outcome).toMatchObject({ code: /^(CORRUPTION|COMPARATOR_MISMATCH)$/ });
        else expect([5, 9, 10]).toContain((outcome as { lastSequence: number }).lastSequence);
      }),
      runsOf(200),
    );
  });
});
