/**
 * Numbers, dates and booleans in the order of their values, each in a fixed number of bytes.
 *
 *     number  := 8 bytes: the IEEE 754 double, big-endian; its sign bit flipped if it is positive, all bits if negative
 *     date    := number, of milliseconds since 1970
 *     boolean := 0x00 false | 0x01 true
 *
 * Positive doubles are ordered as their bits are; flipping the sign puts them behind the negative ones, and flipping all bits
 * turns the order of those around. -0 is 0, which it equals. NaN has no place in the order. The infinities have, at its ends.
 */
import type { KeyCodec } from './key-codec.ts';
import { Malformed } from './malformed.ts';

const NUMBER_BYTES = 8;
const SIGN_BIT = 0x80;
/** Milliseconds from 1970 that a `Date` reaches, either way (ECMA-262, time values). */
const TIME_MS_MAX = 8.64e15;

/** Both are views of one number: every call writes it before it reads it. */
const scratch = new DataView(new ArrayBuffer(NUMBER_BYTES));
const scratchBytes = new Uint8Array(scratch.buffer);

function encodeNumber(value: number): Uint8Array {
  scratch.setFloat64(0, value);
  const bytes = new Uint8Array(NUMBER_BYTES);
  const flipped = value < 0 ? 0xff : 0;
  for (let index = 0; index < NUMBER_BYTES; index += 1) bytes[index] = (scratchBytes[index] as number) ^ flipped;
  if (flipped === 0) bytes[0] = (bytes[0] as number) | SIGN_BIT; // of -0 it is set already, which makes it 0
  return bytes;
}

function decodeNumber(bytes: Uint8Array): number {
  checkLength(bytes, NUMBER_BYTES, 'number');
  const isNegative = (bytes[0] as number) < SIGN_BIT;
  const flipped = isNegative ? 0xff : 0;
  for (let index = 0; index < NUMBER_BYTES; index += 1) scratchBytes[index] = (bytes[index] as number) ^ flipped;
  if (!isNegative) scratchBytes[0] = (bytes[0] as number) ^ SIGN_BIT;
  const value = scratch.getFloat64(0);
  // Each number has one form, so that each key has one: these two are never written.
  if (Number.isNaN(value)) throw new Malformed('the bytes are those of NaN', 0);
  if (Object.is(value, -0)) throw new Malformed('the bytes are those of -0', 0);
  return value;
}

function checkLength(bytes: Uint8Array, length: number, what: string): void {
  if (bytes.length === length) return;
  throw new Malformed(`a ${what} has ${length} ${length === 1 ? 'byte' : 'bytes'}, and there are ${bytes.length}`, 0);
}

export const numberCodec: KeyCodec<number> = {
  encode(value) {
    if (typeof value !== 'number') throw new TypeError(`a number is needed, not ${typeof value}`);
    if (Number.isNaN(value)) throw new RangeError('NaN has no place in an order');
    return encodeNumber(value);
  },
  decode: decodeNumber,
  encodedLength: () => NUMBER_BYTES,
};

export const dateCodec: KeyCodec<Date> = {
  encode(date) {
    if (!((date as unknown) instanceof Date)) throw new TypeError('a Date is needed');
    const time = date.getTime();
    if (Number.isNaN(time)) throw new RangeError('the Date is invalid');
    return encodeNumber(time);
  },
  decode(bytes) {
    const time = decodeNumber(bytes);
    if (!Number.isInteger(time) || Math.abs(time) > TIME_MS_MAX) {
      throw new Malformed(`${time} is no time of a Date`, 0);
    }
    return new Date(time);
  },
  encodedLength: () => NUMBER_BYTES,
};

export const booleanCodec: KeyCodec<boolean> = {
  encode(value) {
    if (typeof value !== 'boolean') throw new TypeError(`true or false is needed, not ${typeof value}`);
    return Uint8Array.of(value ? 1 : 0);
  },
  decode(bytes) {
    checkLength(bytes, 1, 'boolean');
    const byte = bytes[0] as number;
    if (byte > 1) throw new Malformed(`${byte} is neither false (0) nor true (1)`, 0);
    return byte === 1;
  },
  encodedLength: () => 1,
};
