import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  archivePath,
  indexName,
  isDatabaseId,
  parseArchiveName,
  segmentName,
  STATE,
  temporaryOf,
} from '../../../src/storage/history/history-names.ts';
import { logName } from '../../../src/storage/file-names.ts';

const fileNumbers = fc.integer({ min: 0, max: 999_999_999_999_999 });

describe('names in the archive', () => {
  it('are read back as what they were made of, with six digits or more', () => {
    fc.assert(
      fc.property(fileNumbers, (fileNumber) => {
        expect(parseArchiveName(segmentName(fileNumber))).toEqual({ kind: 'segment', fileNumber });
        expect(parseArchiveName(indexName(fileNumber))).toEqual({ kind: 'index', fileNumber });
        for (const name of [segmentName(fileNumber), indexName(fileNumber)]) {
          expect(parseArchiveName(temporaryOf(name))).toEqual({ kind: 'temporary', fileNumber });
        }
      }),
    );
  });

  it('of a segment is that of its log: LevelDB can read it', () => {
    for (const fileNumber of [0, 7, 999_999, 1_000_000]) expect(segmentName(fileNumber)).toBe(logName(fileNumber));
  });

  it('that are not ours are left alone', () => {
    const others = ['', 'STATE', 'STATE.tmp', '7.log', '0000007.log', '000007.ldb', '000007.log.bak', 'x000007.log'];
    for (const name of [...others, '-00007.log', '000007.log.tmp.tmp', '9999999999999999.log', '000007.LOG', STATE]) {
      expect(parseArchiveName(name), name).toBeUndefined();
    }
  });
});

it('a database has a directory of its own, by an identity that cannot lead out of it', () => {
  const id = '0123456789abcdef'.repeat(2);
  expect(archivePath('/db', id)).toBe(`/db/archive/${id}`);
  expect(isDatabaseId(id)).toBe(true);
  for (const other of ['', id.slice(1), `${id}0`, id.toUpperCase(), `../${id.slice(3)}`, `${id}\n`]) {
    expect(isDatabaseId(other), JSON.stringify(other)).toBe(false);
  }
});
