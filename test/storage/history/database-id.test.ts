import { describe, expect, it } from 'vitest';
import { encodeInternalKey } from '../../../src/storage/codec/internal-key.ts';
import { databaseIdOf, databaseIdPointer } from '../../../src/storage/history/database-id.ts';
import { LEVELS } from '../../../src/storage/manifest/table-meta.ts';
import { KIND_SET } from '../../../src/storage/read/internal-iterator.ts';
import { DATABASE_ID } from '../../support/archive-files.ts';

const deepest = (pointer: Uint8Array | undefined): (Uint8Array | undefined)[] => {
  const pointers: (Uint8Array | undefined)[] = [];
  pointers[LEVELS - 1] = pointer;
  return pointers;
};
const keyOf = (text: string): Uint8Array => encodeInternalKey(new TextEncoder().encode(text), 0, KIND_SET);

describe('the identity in the compaction pointers', () => {
  it('is read back, from the level that LevelDB never compacts out of', () => {
    const { level, key } = databaseIdPointer(DATABASE_ID);
    expect(level).toBe(6);
    expect(databaseIdOf(deepest(key))).toBe(DATABASE_ID);
  });

  it('is not there where the pointer is a key of somebody else, or on another level', () => {
    const { key } = databaseIdPointer(DATABASE_ID);
    expect(databaseIdOf([])).toBeUndefined();
    expect(databaseIdOf(deepest(undefined))).toBeUndefined();
    expect(databaseIdOf([key])).toBeUndefined();
    const others = [
      'alluvium:',
      DATABASE_ID,
      `alluviun:${DATABASE_ID}`,
      `alluvium:${DATABASE_ID}0`,
      `alluvium:../${DATABASE_ID.slice(3)}`,
    ];
    for (const other of others) {
      expect(databaseIdOf(deepest(keyOf(other))), other).toBeUndefined();
    }
    expect(databaseIdOf(deepest(key.slice(0, 7)))).toBeUndefined(); // too short to be an internal key
  });
});
