// Goal: what is ours is known by its name, whatever else lies in the directory, and nothing else is taken for ours.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  logName,
  manifestName,
  oldTableName,
  parseFileName,
  tableName,
  tableNames,
  temporaryName,
} from '../../src/storage/file-names.ts';
import { runsOf } from '../support/runs.ts';

describe('the name of a file', () => {
  it('says what it is and which', () => {
    const number = fc.oneof(fc.integer({ min: 0, max: 2_000_000 }), fc.integer({ min: 0, max: 999_999_999_999_999 }));
    fc.assert(
      fc.property(number, (fileNumber) => {
        expect(parseFileName(logName(fileNumber))).toEqual({ kind: 'log', fileNumber });
        expect(parseFileName(tableName(fileNumber))).toEqual({ kind: 'table', fileNumber });
        expect(parseFileName(oldTableName(fileNumber))).toEqual({ kind: 'table', fileNumber });
        expect(parseFileName(manifestName(fileNumber))).toEqual({ kind: 'manifest', fileNumber });
        expect(parseFileName(temporaryName(fileNumber))).toEqual({ kind: 'temporary', fileNumber });
      }),
      runsOf(200),
    );
  });

  it('is the one that LevelDB gives', () => {
    expect([logName(5), tableName(1_234_567), manifestName(0), temporaryName(42)]).toEqual([
      '000005.log',
      '1234567.ldb',
      'MANIFEST-000000',
      '000042.dbtmp',
    ]);
    expect(tableNames(7)).toEqual(['000007.ldb', '000007.sst']);
  });

  it.each([
    'CURRENT',
    'LOCK',
    'LOG',
    'LOG.old',
    'lost',
    '',
    '.',
    '..',
    '.log',
    '5',
    'a.log',
    '5.LOG',
    '5.log ',
    ' 5.log',
    '5.log\n',
    '-5.log',
    '+5.log',
    '5.5.log',
    '0x5.log',
    '5e3.ldb',
    '٥.log',
    '5.ldb.bak',
    'copy of 000005.ldb',
    'x/000005.ldb',
    'MANIFEST-',
    'MANIFEST-5.log',
    'MANIFEST-000005~',
    'manifest-000005',
    'XMANIFEST-000005',
    '1234567890123456.log', // a number that a double might not hold
    'MANIFEST-1234567890123456',
    'constructor',
    '5.constructor',
    '5.toString',
  ])('%j is not one of ours', (name) => {
    expect(parseFileName(name)).toBeUndefined();
  });
});
