// Goal: what a caller gets is the caller's: right, of the right length, and shared with nobody who changes it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyOut } from '../../../src/storage/read/copy-out.ts';
import { runsOf } from '../../support/runs.ts';

const SLAB_BYTES = 32 * 1024;

describe('bytes that are copied out', () => {
  it('are the bytes asked for, whatever their length and place', () => {
    const lengths = fc.oneof(
      fc.integer({ min: 0, max: 200 }),
      fc.constantFrom(64, 65, SLAB_BYTES / 8, SLAB_BYTES / 8 + 1, SLAB_BYTES, 100_000),
    );
    fc.assert(
      fc.property(fc.array(lengths, { minLength: 1, maxLength: 60 }), fc.integer({ min: 0, max: 9 }), (all, start) => {
        const sources = all.map((length, index) => new Uint8Array(start + length + 3).fill(index + 1));
        const copies = sources.map((source, index) => copyOut(source, start, start + (all[index] ?? 0)));
        for (const source of sources) source.fill(0xff); // the copies must not see this
        for (const [index, copy] of copies.entries()) {
          expect(copy.length).toBe(all[index]);
          expect(copy.every((byte) => byte === index + 1)).toBe(true);
        }
        // Each is the caller's own: to change one changes no other.
        for (const copy of copies) copy.fill(0);
        expect(copies.every((copy) => copy.every((byte) => byte === 0))).toBe(true);
        copies[0]?.fill(7);
        expect(copies.slice(1).every((copy) => !copy.includes(7))).toBe(true);
      }),
      runsOf(100),
    );
  });

  it('come out of shared memory, a view within a buffer, and a Buffer', () => {
    const shared = new Uint8Array(new SharedArrayBuffer(300)).fill(3);
    const copy = copyOut(shared, 10, 290);
    expect(copy.buffer).toBeInstanceOf(ArrayBuffer);
    expect(copy).toEqual(new Uint8Array(280).fill(3));
    const view = Uint8Array.from({ length: 200 }, (_, index) => index).subarray(50, 150);
    expect(copyOut(view, 1, 3)).toEqual(Uint8Array.of(51, 52));
    expect(copyOut(view, 0, 100)).toEqual(view.slice());
    expect(copyOut(Buffer.from('abcdef'), 2, 4).constructor).toBe(Uint8Array);
  });

  it('that are large do not keep a slab alive, small ones never more than one', () => {
    const source = new Uint8Array(SLAB_BYTES);
    expect(copyOut(source, 0, SLAB_BYTES).buffer.byteLength).toBe(SLAB_BYTES);
    expect(copyOut(source, 0, SLAB_BYTES / 8 + 1).buffer.byteLength).toBe(SLAB_BYTES / 8 + 1);
    expect(copyOut(source, 0, 1).buffer.byteLength).toBe(SLAB_BYTES);
  });
});
