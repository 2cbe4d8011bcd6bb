// Goal: a stored dead letter is what it was, or is refused with a reason; and whatever a handler throws makes a letter.
// Method: the codec alone, with each field wrong in each way.
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import type { Change, KeyRange } from '../../src/index.ts';
import { writeFixed32 } from '../../src/storage/codec/fixed.ts';
import {
  type DeadLetter,
  deadLetterIdOf,
  decodeDeadLetter,
  describeError,
  encodeDeadLetter,
  idOfKey,
  letterKeyOf,
  wishesRange,
  wishKeyOf,
} from '../../src/streams/dead-letters.ts';

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const ID = deadLetterIdOf(10);
const CURSOR = `al1.${'0'.repeat(32)}.1.10`;
const PLACE = { sequence: 10, batchIndex: 0, batchSize: 1, timeMs: 5, cursor: CURSOR as 'al1.x' };
const letterOf = (change: Change): DeadLetter => ({
  id: ID,
  change,
  error: { name: 'TypeError', message: 'no', code: 'E_NO' },
  attempts: 3,
  firstAtMs: 1,
  lastAtMs: 2,
});
const SET = letterOf({ type: 'set', key: bytesOf('key'), value: bytesOf('value'), ...PLACE });
const DELETE = letterOf({ type: 'delete', key: bytesOf('key'), ...PLACE });
const HEADER = {
  version: 1,
  type: 'set',
  ...PLACE,
  keyBytes: 3,
  error: SET.error,
  attempts: 3,
  firstAtMs: 1,
  lastAtMs: 2,
};

/** A letter with this header, and behind it what stands there. */
function stored(header: unknown, behind = 'keyvalue'): Uint8Array {
  const text = bytesOf(JSON.stringify(header));
  const bytes = new Uint8Array(4 + text.length + behind.length);
  writeFixed32(bytes, 0, text.length);
  bytes.set(text, 4);
  bytes.set(bytesOf(behind), 4 + text.length);
  return bytes;
}
const reasonOf = (bytes: Uint8Array, id = ID): string => {
  const decoded = decodeDeadLetter(id, bytes);
  return E.isLeft(decoded) ? decoded.left : 'none';
};

describe('a dead letter', () => {
  it('comes back as it was, of a set, of an empty set and of a delete', () => {
    const empty = letterOf({ type: 'set', key: new Uint8Array(0), value: new Uint8Array(0), ...PLACE });
    for (const letter of [SET, DELETE, empty]) {
      expect(decodeDeadLetter(ID, encodeDeadLetter(letter))).toEqual(E.right(letter));
    }
    expect(decodeDeadLetter(ID, stored(HEADER))).toEqual(E.right(SET)); // else the refusals below show nothing
  });

  it('comes back from an error without a code', () => {
    const letter: DeadLetter = { ...SET, error: { name: 'Error', message: '', code: undefined } };
    expect(decodeDeadLetter(ID, encodeDeadLetter(letter))).toEqual(E.right(letter));
  });

  it('lies among those of its consumer alone, and in the order of its change', () => {
    const ids = [1, 15, 16, 2 ** 53 - 1].map((sequence) => deadLetterIdOf(sequence));
    expect(ids.toSorted()).toEqual(ids);
    const wishes = ids.map((id) => wishKeyOf('mail', id));
    const isIn = ({ gt = '', lt = '' }: KeyRange, key: string): boolean => key > String(gt) && key < String(lt);
    expect(wishes.map((key) => isIn(wishesRange('mail', undefined), key))).toEqual([true, true, true, true]);
    expect(wishes.map((key) => isIn(wishesRange('mail', ids[1]), key))).toEqual([false, false, true, true]);
    expect(isIn(wishesRange('mai', undefined), wishes[0] ?? '')).toBe(false);
    expect(isIn(wishesRange('mail', undefined), letterKeyOf('mail', ids[0] ?? ''))).toBe(false);
    expect(ids.map((id) => idOfKey(bytesOf(letterKeyOf('mail', id))))).toEqual(ids);
  });

  it.each<[string, Record<string, unknown>]>([
    ['it is of version 2, and 1 is known', { version: 2 }],
    ['it is of version undefined, and 1 is known', { version: undefined }],
    ['its key is cut short', { keyBytes: 9 }],
    ['its key is cut short', { keyBytes: -1 }],
    ['its key is cut short', { keyBytes: '3' }],
    ['its header does not tell of its change', { sequence: 11 }],
    ['its header does not tell of its change', { sequence: '10' }],
    ['its header does not tell of its change', { batchIndex: 0.5 }],
    ['its header does not tell of its change', { batchSize: undefined }],
    ['its header does not tell of its change', { timeMs: 'now' }],
    ['its header does not tell of its change', { cursor: 5 }],
    ['its header does not tell of its change', { cursor: 'x' }],
    ['its header does not tell of its change', { type: 'merge' }],
    ['its header does not tell of its change', { type: 'delete' }], // and has a value
    ['its header does not tell of its error', { error: undefined }],
    ['its header does not tell of its error', { error: null }],
    ['its header does not tell of its error', { error: { name: 5, message: '' } }],
    ['its header does not tell of its error', { error: { name: 'Error' } }],
    ['its header does not tell of its error', { error: { name: 'Error', message: '', code: 5 } }],
    ['its header does not tell of its error', { attempts: -1 }],
    ['its header does not tell of its error', { firstAtMs: '1' }],
    ['its header does not tell of its error', { lastAtMs: null }],
  ])('is refused, as %s: %j', (reason, changed) => {
    expect(reasonOf(stored({ ...HEADER, ...changed }))).toBe(reason);
  });

  it('is refused where it is cut short, is no JSON, or its key has no id', () => {
    expect(reasonOf(new Uint8Array(3))).toBe('it is cut short');
    const whole = stored(HEADER);
    expect(reasonOf(whole.subarray(0, 50))).toBe('it is cut short');
    expect(reasonOf(whole.subarray(0, whole.length - 'keyvalue'.length))).toBe('its key is cut short');
    const noJson = whole.slice();
    noJson[4] = 0x20;
    expect(reasonOf(noJson)).toContain('no JSON');
    for (const id of ['', `r${ID}`, `${ID.slice(1)}G`]) {
      expect(reasonOf(whole, id)).toBe('its key has no id');
    }
    expect(reasonOf(whole, deadLetterIdOf(11))).toBe('its header does not tell of its change');
  });
});

describe('what is kept of an error', () => {
  it('is its name, its message and its code, each of bounded length', () => {
    const error = Object.assign(new RangeError('m'.repeat(5000)), { code: 'c'.repeat(300) });
    expect(describeError(error)).toEqual({ name: 'RangeError', message: 'm'.repeat(4096), code: 'c'.repeat(256) });
    expect(describeError(Object.assign(new Error('no'), { code: 5 }))).toMatchObject({ code: undefined });
    expect(describeError(new Error('no'))).toEqual({ name: 'Error', message: 'no', code: undefined });
  });

  it('is a text of anything else that is thrown, also of what has none', () => {
    expect(describeError('no')).toEqual({ name: 'Error', message: 'no', code: undefined });
    expect(describeError(undefined).message).toBe('undefined');
    expect(describeError('x'.repeat(5000)).message).toHaveLength(4096);
    expect(describeError(Object.create(null)).message).toBe('something without a text was thrown');
  });
});
