// Goal: a stored position of a consumer is what it was, or is refused with a reason: nothing in between. Method: the codec alone,
// with each field wrong in each way.
import * as E from 'fp-ts/lib/Either.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ConsumerRecord,
  decodeRecord,
  encodeRecord,
  isCursor,
  isSameRange,
  isSequence,
  parseJsonObject,
} from '../../src/streams/consumer-record.ts';
import { runsOf } from '../support/runs.ts';

const CURSOR = `al1.${'0'.repeat(32)}.1.10`;
const RECORD: ConsumerRecord = {
  cursor: CURSOR as 'al1.x',
  sequence: 10,
  settled: [12, 3, 20, 1],
  isPaused: true,
  range: {},
};
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const stored = (changed: Record<string, unknown>): Uint8Array =>
  bytesOf(JSON.stringify({ version: 1, ...RECORD, range: undefined, ...changed }));
const reasonOf = (bytes: Uint8Array): string => {
  const decoded = decodeRecord(bytes);
  return E.isLeft(decoded) ? decoded.left : 'none';
};

describe('the record of a consumer', () => {
  it('comes back as it was, with any bounds', () => {
    const bound = fc.option(fc.uint8Array({ maxLength: 5 }), { nil: undefined });
    fc.assert(
      fc.property(fc.record({ gt: bound, gte: bound, lt: bound, lte: bound }), fc.boolean(), (bounds, isPaused) => {
        const range = Object.fromEntries(Object.entries(bounds).filter(([, value]) => value !== undefined));
        const decoded = decodeRecord(encodeRecord({ ...RECORD, isPaused, range }));
        expect(decoded).toEqual(E.right({ ...RECORD, isPaused, range }));
      }),
      runsOf(100),
    );
  });

  it('is readable, and says nothing of a range that is everything', () => {
    expect(Buffer.from(encodeRecord(RECORD)).toString()).toBe(
      `{"version":1,"cursor":"${CURSOR}","sequence":10,"settled":[12,3,20,1],"isPaused":true}`,
    );
    const text = Buffer.from(encodeRecord({ ...RECORD, range: { gte: 'a', lt: bytesOf('b') } })).toString();
    expect(text).toContain('"range":{"gte":"YQ==","lt":"Yg=="}');
  });

  it.each<[string, Record<string, unknown>]>([
    ['is of version 2, and 1 is known', { version: 2 }],
    ['is of version undefined', { version: undefined }],
    ['has no cursor', { cursor: 5 }],
    ['has no cursor', { cursor: 'x' }],
    ['has no cursor', { cursor: undefined }],
    ['has no sequence number', { sequence: -1 }],
    ['has no sequence number', { sequence: 1.5 }],
    ['has no sequence number', { sequence: '10' }],
    ['has no sequence number', { sequence: 2 ** 53 }],
    ['does not say whether it is paused', { isPaused: 0 }],
    ['does not say whether it is paused', { isPaused: undefined }],
    ['has a malformed range', { range: null }],
    ['has a malformed range', { range: [] }],
    ['has a malformed range', { range: ['YQ=='] }],
    ['has a malformed range', { range: 'a' }],
    ['has a malformed range', { range: { gte: 5 } }],
    ['has a malformed range', { range: { from: 'YQ==' } }],
    ['has a malformed range', { range: { gte: 'YQ==', from: 'YQ==' } }],
  ])('%s: %j', (reason, changed) => {
    expect(reasonOf(stored(changed))).toContain(`its record ${reason}`);
  });

  it.each<[boolean, unknown]>([
    [true, []],
    [true, [12, 1]],
    [true, [11, 1]],
    [true, [11, 1, 13, 1]],
    [true, [12, 5, 18, 2, 90, 1]],
    [true, [11, 2 ** 53 - 13]],
    [false, undefined],
    [false, { length: 0 }],
    [false, [12]],
    [false, [12, 1, 14]],
    [false, [10, 1]],
    [false, [9, 1]],
    [false, [12, 0]],
    [false, [12, -1]],
    [false, [12, 1.5]],
    [false, [12.5, 1]],
    [false, ['12', 1]],
    [false, [12, '1']],
    [false, [12, 1, 13, 1]],
    [false, [12, 3, 14, 1]],
    [false, [20, 1, 12, 1]],
    [false, [12, 1, 20, 0]],
    [false, [11, 2 ** 53 - 12]],
    [false, [2 ** 53 - 2, 1, 5, 1]],
  ])('takes a list of settled changes: %s, %j', (isTaken, settled) => {
    expect(reasonOf(stored({ settled }))).toBe(isTaken ? 'none' : 'its record has a malformed list of settled changes');
  });

  it('is no JSON, no object, or too long, and that is said', () => {
    expect(reasonOf(bytesOf('{'))).toBe('its record is no JSON');
    expect(reasonOf(Uint8Array.of(0x22, 0xff, 0x22))).toBe('its record is no JSON'); // no UTF-8
    for (const text of ['5', 'null', '[]', '"text"']) expect(reasonOf(bytesOf(text))).toBe('its record is no object');
    expect(reasonOf(new Uint8Array(4 * 1024 * 1024 + 1))).toContain('4194305 bytes is too long');
    expect(reasonOf(new Uint8Array(4 * 1024 * 1024))).toBe('its record is no JSON');
    expect(parseJsonObject(bytesOf('{"a":1}'))).toEqual(E.right({ a: 1 }));
  });

  it('has a cursor of at most 1,024 characters', () => {
    expect(isCursor(`al1.${'x'.repeat(1020)}`)).toBe(true);
    expect(isCursor(`al1.${'x'.repeat(1021)}`)).toBe(false);
    expect(isCursor('al2.x')).toBe(false);
  });

  it('has sequence numbers from 0 to 2^53 - 1', () => {
    for (const value of [0, 1, 2 ** 53 - 1]) expect(isSequence(value)).toBe(true);
    for (const value of [-1, 2 ** 53, 0.5, '1', undefined, null]) expect(isSequence(value)).toBe(false);
  });

  it('has the same range, however its bounds were given', () => {
    expect(isSameRange({ gte: 'a' }, { gte: bytesOf('a'), lt: undefined })).toBe(true);
    expect(isSameRange({ gte: 'a' }, { gt: 'a' })).toBe(false);
    expect(isSameRange({ gte: 'a' }, { gte: 'b' })).toBe(false);
    expect(isSameRange({}, { lt: '' })).toBe(false);
  });
});
