import fc from 'fast-check';
import { expect, it } from 'vitest';
import { SHORT_TEXT_LENGTH_MAX, utf8Length, writeShortAscii, writeUtf8 } from '../../../src/storage/codec/utf8.ts';

// All of UTF-16, lone surrogates too.
const unit = fc.integer({ min: 0, max: 0xffff }).map((code) => String.fromCharCode(code));
const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.string({ unit }), fc.constant('\ud800'));

it('is the UTF-8 of TextEncoder, and as long as announced', () => {
  fc.assert(
    fc.property(text, fc.nat({ max: 3 }), (string, offset) => {
      const length = utf8Length(string);
      const memory = Buffer.alloc(offset + length + 2, 0xa5);
      writeUtf8(memory, offset, string, length);
      expect(memory.subarray(offset, offset + length)).toEqual(Buffer.from(new TextEncoder().encode(string)));
      expect(memory.subarray(offset + length)).toEqual(Buffer.alloc(2, 0xa5));
    }),
  );
});

it('writes short ASCII by itself, and nothing else', () => {
  fc.assert(
    fc.property(fc.oneof(text, fc.constantFrom('\x7f', '\x80')), (string) => {
      const short = string.slice(0, SHORT_TEXT_LENGTH_MAX);
      const bytes = new Uint8Array(short.length);
      const isAscii = utf8Length(short) === short.length;
      expect(writeShortAscii(bytes, 0, short)).toBe(isAscii);
      if (isAscii) expect(Buffer.from(bytes).toString('latin1')).toBe(short);
    }),
  );
});
