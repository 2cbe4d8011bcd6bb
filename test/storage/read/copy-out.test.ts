// Goal: what a caller gets is the caller's: right, of the right length, and shared with nobody who changes it.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyOut, StretchCopier } from '../../../src/storage/read/copy-out.ts';
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

describe('pieces of one stretch, copied out together', () => {
  it('are the bytes asked for, also when the source changes between two stretches', () => {
    const piece = fc.tuple(fc.integer({ min: 0, max: 300 }), fc.constantFrom(0, 1, 16, 100, 4096, 4097, 40_000));
    fc.assert(
      fc.property(
        fc.array(fc.array(piece, { maxLength: 20 }), { maxLength: 4 }),
        fc.boolean(),
        (stretches, isDense) => {
          const copier = new StretchCopier();
          const source = new Uint8Array(64 * 1024);
          const copies: { readonly copy: Uint8Array; readonly expected: Uint8Array }[] = [];
          for (const [round, pieces] of stretches.entries()) {
            for (let index = 0; index < source.length; index += 1) source[index] = (index * 31 + round) & 0xff;
            let start = 0;
            for (const [gap, length] of pieces) {
              start = Math.min(start + gap, source.length);
              const end = Math.min(start + length, source.length);
              const expected = source.slice(start, end);
              copies.push({ copy: copier.copy(source, start, end, isDense ? source.length : end), expected });
              start = end;
            }
            copier.forget();
          }
          for (const { copy, expected } of copies) expect(Buffer.compare(copy, expected)).toBe(0);
        },
      ),
      runsOf(60),
    );
  });

  it('keep no more alive than one slab, and large ones only themselves', () => {
    const copier = new StretchCopier();
    const source = new Uint8Array(1024 * 1024);
    for (let start = 0; start < source.length; start += 1000) {
      const copy = copier.copy(source, start, Math.min(start + 1000, source.length), source.length);
      expect(copy.buffer.byteLength).toBeLessThanOrEqual(SLAB_BYTES);
    }
    expect(copier.copy(source, 0, SLAB_BYTES / 8 + 1, source.length).buffer.byteLength).toBe(SLAB_BYTES / 8 + 1);
  });
});
