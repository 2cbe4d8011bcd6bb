// Goal: what is written into a MANIFEST is what is read, and whatever else stands there is reported, never believed.
import * as E from 'fp-ts/lib/Either.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CorruptionError } from '../../../src/errors.ts';
import { encodeInternalKey } from '../../../src/storage/codec/internal-key.ts';
import { decodeVersionEdit, encodeVersionEdit, type VersionEdit } from '../../../src/storage/manifest/version-edit.ts';
import { KIND_DELETE, KIND_SET } from '../../../src/storage/read/internal-iterator.ts';
import { brokenFrom } from '../../support/broken-bytes.ts';
import { runsOf } from '../../support/runs.ts';

const number = fc.oneof(fc.maxSafeNat(), fc.integer({ min: 0, max: 300 }), fc.constant(Number.MAX_SAFE_INTEGER));
const level = fc.integer({ min: 0, max: 6 });
const internalKey = fc
  .tuple(fc.uint8Array({ maxLength: 200 }), number, fc.constantFrom(KIND_DELETE, KIND_SET))
  .map(([userKey, sequence, kind]) => encodeInternalKey(userKey, sequence, kind));
const table = fc.record({ fileNumber: number, fileBytes: number, smallest: internalKey, largest: internalKey });
const edit: fc.Arbitrary<VersionEdit> = fc.record(
  {
    comparator: fc.string({ unit: 'grapheme', maxLength: 40 }),
    logNumber: number,
    previousLogNumber: number,
    nextFileNumber: number,
    lastSequence: number,
    compactionPointers: fc.array(fc.record({ level, key: internalKey }), { maxLength: 4 }),
    deletedTables: fc.array(fc.record({ level, fileNumber: number }), { maxLength: 4 }),
    newTables: fc.array(fc.record({ level, table }), { maxLength: 4 }),
  },
  { requiredKeys: ['compactionPointers', 'deletedTables', 'newTables'] },
);

const decode = (bytes: Uint8Array) => decodeVersionEdit(bytes, 'MANIFEST-000005', 77);

function refusal(...bytes: readonly number[]): CorruptionError {
  const decoded = decode(Uint8Array.from(bytes));
  if (E.isRight(decoded)) throw new Error('it was decoded');
  return decoded.left;
}

describe('a version edit', () => {
  it('is decoded to what was encoded', () => {
    fc.assert(
      fc.property(edit, (given) => {
        expect(decode(encodeVersionEdit(given))).toEqual(E.right(given));
      }),
      runsOf(300),
    );
  });

  it('has the bytes that LevelDB gives it', () => {
    const smallest = Uint8Array.of(0x61, 1, 2, 0, 0, 0, 0, 0, 0);
    const bytes = encodeVersionEdit({
      comparator: 'ab',
      logNumber: 300,
      previousLogNumber: 0,
      nextFileNumber: 5,
      lastSequence: 6,
      compactionPointers: [{ level: 1, key: smallest }],
      deletedTables: [{ level: 2, fileNumber: 7 }],
      newTables: [{ level: 3, table: { fileNumber: 8, fileBytes: 128, smallest, largest: smallest } }],
    });
    const expected = [
      [1, 2, 0x61, 0x62],
      [2, 0xac, 2],
      [9, 0],
      [3, 5],
      [4, 6],
      [5, 1, 9, ...smallest],
      [6, 2, 7],
      [7, 3, 8, 0x80, 1, 9, ...smallest, 9, ...smallest],
    ];
    expect([...bytes]).toEqual(expected.flat());
  });

  it('of no bytes changes nothing', () => {
    expect(decode(new Uint8Array(0))).toEqual(E.right({ compactionPointers: [], deletedTables: [], newTables: [] }));
  });

  it('is decoded or reported, whatever the bytes are', () => {
    const anyBytes = fc.uint8Array({ maxLength: 60 });
    const nearly = fc.tuple(edit, fc.nat(), fc.integer({ min: 0, max: 255 })).map(([given, place, byte]) => {
      const bytes = encodeVersionEdit(given);
      if (bytes.length > 0) bytes[place % bytes.length] = byte;
      return bytes;
    });
    fc.assert(
      fc.property(fc.oneof(anyBytes, nearly), (bytes) => {
        const decoded = decode(bytes);
        if (E.isLeft(decoded)) {
          expect(decoded.left).toBeInstanceOf(CorruptionError);
          expect(decoded.left).toMatchObject({ file: 'MANIFEST-000005', offset: 77 });
          return;
        }
        // Longer forms of a number are not kept, so the bytes need not come back, but the meaning does.
        expect(decode(encodeVersionEdit(decoded.right))).toEqual(decoded);
      }),
      runsOf(500),
    );
  });

  it('is reported when it is cut anywhere within a field', () => {
    const key = new Uint8Array(8);
    const fields: VersionEdit[] = [
      { comparator: 'name' },
      { logNumber: 300 },
      { compactionPointers: [{ level: 1, key }] },
      { deletedTables: [{ level: 1, fileNumber: 300 }] },
      { newTables: [{ level: 1, table: { fileNumber: 1, fileBytes: 300, smallest: key, largest: key } }] },
    ];
    for (const field of fields) {
      const bytes = encodeVersionEdit(field);
      for (let end = 1; end < bytes.length; end += 1) expect(E.isLeft(decode(bytes.subarray(0, end)))).toBe(true);
    }
  });

  it.each([
    ['an unknown tag', [10, 1], /tag 10 is unknown/],
    ['the tag that LevelDB gave up', [8, 1], /tag 8 is unknown/],
    ['tag 0', [0], /tag 0 is unknown/],
    ['level 7 of a deleted table', [6, 7, 1], /no level 7/],
    ['level 7 of a new table', [7, 7, 1, 1, 8], /no level 7/],
    ['level 7 of a compaction pointer', [5, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0], /no level 7/],
    ['a string longer than what is left', [1, 5, 0x61], /cut short/],
    ['a string of four gigabytes', [1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x61], /cut short/],
    ['an internal key without room for its tag', [5, 1, 7, 0, 0, 0, 0, 0, 0, 0], /./],
    ['an internal key of another kind than set and delete', [5, 1, 8, 2, 0, 0, 0, 0, 0, 0, 0], /./],
    ['an internal key over sequence number 2^53 - 1', [5, 1, 8, 1, 0, 0, 0, 0, 0, 0, 0x20], /./],
    ['a number over 2^53 - 1', [2, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10], /./],
    ['a number that does not end', [4, 0x80, 0x80, 0x80], /./],
    ['a number of eleven bytes', [3, ...new Array<number>(10).fill(0x80), 0], /./],
  ])('with %s is reported', (_what, bytes, reason) => {
    expect(refusal(...bytes).reason).toMatch(reason);
  });

  it('takes 2^53 - 1, and keeps its keys when the bytes it was read from change', () => {
    const key = Uint8Array.of(9, 1, 3, 4, 5, 6, 7, 8, 0);
    const bytes = encodeVersionEdit({
      lastSequence: Number.MAX_SAFE_INTEGER,
      compactionPointers: [{ level: 0, key }],
    });
    const decoded = decode(bytes);
    bytes.fill(0);
    expect(decoded).toMatchObject(
      E.right({ lastSequence: Number.MAX_SAFE_INTEGER, compactionPointers: [{ level: 0, key }] }),
    );
  });
});

it('lets errors through that are no bad bytes', () => {
  expect(() => decode(brokenFrom(Uint8Array.of(2, 5), 0))).toThrow('a bug');
});
