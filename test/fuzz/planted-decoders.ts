/** Decoders that are wrong on purpose, to see whether the fuzzer says so. The coverage map takes this file for our code. */
import assert from 'node:assert/strict';
import { readFixed32, writeFixed32 } from '../../src/storage/codec/fixed.ts';
import { Malformed } from '../../src/storage/codec/malformed.ts';
import { readVarint64, writeVarint } from '../../src/storage/codec/varint.ts';

const COUNT_OFFSET = 8;
const OPERATIONS_OFFSET = 12;

/** Goes wrong for one count, one kind and one length together: each alone is rare, and chance hardly meets all three. */
function deepCrash(bytes: Uint8Array): number {
  const at = OPERATIONS_OFFSET;
  if (bytes.length < at + 5) throw new Malformed('too short', 0);
  if (bytes[COUNT_OFFSET] === 3) {
    if (bytes[at] === 0) {
      if (bytes[at + 1] === 128) throw new TypeError('planted');
    }
  }
  return 0;
}

/** Takes numbers from 2^31 on for negative ones, when it writes them. */
function wrongRoundTrip(bytes: Uint8Array): void {
  const value = readVarint64({ bytes, offset: 0, end: bytes.length });
  const written = new Uint8Array(10);
  writeVarint(written, 0, value > 0xffff ? value | 0 : value);
  assert.equal(readVarint64({ bytes: written, offset: 0, end: 10 }), value);
}

/** Compares everything with everything, a thousand times over, as soon as the input is a little longer than its seeds. */
function slow(bytes: Uint8Array): number {
  const turns = bytes.length < 30 ? 0 : 200 * bytes.length;
  let sum = 0;
  for (let left = 0; left < turns; left += 1) {
    for (let right = 0; right < turns; right += 1) sum = (sum + left * right) | 0;
  }
  return sum;
}

/** Makes room for as many bytes as the input says. */
function lengthBomb(bytes: Uint8Array): number {
  const length = readFixed32(bytes, COUNT_OFFSET);
  if (length > 0x03ff_ffff) throw new Malformed('too long', COUNT_OFFSET);
  const room = new Uint8Array(length);
  writeFixed32(room, 0, length);
  return room.length;
}

export const planted: Readonly<
  Record<'deepCrash' | 'wrongRoundTrip' | 'slow' | 'lengthBomb', (bytes: Uint8Array) => unknown>
> = { deepCrash: deepCrash, wrongRoundTrip: wrongRoundTrip, slow: slow, lengthBomb: lengthBomb };
