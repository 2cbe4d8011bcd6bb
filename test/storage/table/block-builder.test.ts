// Goal: a block shares what its keys share, between restarts, as LevelDB's do, and says its size beforehand. Method: its bytes,
// written down by hand; and any entries, taken apart by the grammar.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlockBuilder } from '../../../src/storage/table/block-builder.ts';
import { runsOf } from '../../support/runs.ts';

const ascii = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text));
const add = (builder: BlockBuilder, key: string, value: string): void =>
  // The value is the middle of other bytes.
  builder.add(ascii(`${key}!`), key.length, ascii(`<${value}>`), 1, 1 + value.length);

describe('a block', () => {
  it('shares the beginnings of keys, and begins anew at each restart', () => {
    const builder = new BlockBuilder(2);
    expect(builder.isEmpty).toBe(true);
    for (const [key, value] of [
      ['apple', '1'],
      ['apply', '22'],
      ['apt', ''],
      ['apt!', '3'],
      ['b', '4'],
    ] as const) {
      add(builder, key, value);
    }
    const bytes = [
      ...[0, 5, 1, ...ascii('apple1')],
      ...[4, 1, 2, ...ascii('y22')],
      ...[0, 3, 0, ...ascii('apt')], // at 15: a restart
      ...[3, 1, 1, ...ascii('!3')],
      ...[0, 1, 1, ...ascii('b4')], // at 26
      ...[0, 0, 0, 0, 15, 0, 0, 0, 26, 0, 0, 0, 3, 0, 0, 0],
    ];
    expect(builder.sizeEstimate).toBe(bytes.length);
    expect([...builder.finish()]).toEqual(bytes);
    builder.reset();
    expect(builder.isEmpty).toBe(true);
    expect(builder.sizeEstimate).toBe(8);
    add(builder, 'b', '4');
    expect([...builder.finish()]).toEqual([0, 1, 1, ...ascii('b4'), 0, 0, 0, 0, 1, 0, 0, 0]);
  });

  it('holds what was put in, of any length, and no key twice in part', () => {
    const text = fc.oneof(
      fc.string({ maxLength: 5 }),
      fc.constantFrom('k'.repeat(127), 'k'.repeat(128), 'k'.repeat(300)),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(text, text), { minLength: 1 }),
        fc.integer({ min: 1, max: 4 }),
        (entries, interval) => {
          const builder = new BlockBuilder(interval);
          const encoded = entries.map(([key, value]) => [Buffer.from(key), Buffer.from(value)] as const);
          for (const [key, value] of encoded) builder.add(key, key.length, value, 0, value.length);
          const size = builder.sizeEstimate;
          const bytes = Buffer.from(builder.finish());
          expect(bytes.length).toBe(size);
          let at = 0;
          const number = (): number => {
            let [value, shift] = [0, 0];
            for (;;) {
              const byte = bytes[at++] ?? 0;
              value |= (byte & 127) << shift;
              shift += 7;
              if (byte < 128) return value;
            }
          };
          let last = Buffer.alloc(0);
          for (const [index, [key, value]] of encoded.entries()) {
            const [shared, rest, valueBytes] = [number(), number(), number()];
            let most = 0;
            while (most < Math.min(last.length, key.length) && last[most] === key[most]) most += 1;
            expect(shared).toBe(index % interval === 0 ? 0 : most);
            last = Buffer.concat([last.subarray(0, shared), bytes.subarray(at, at + rest)]);
            at += rest;
            expect(last.equals(key)).toBe(true);
            expect(bytes.subarray(at, at + valueBytes).equals(value)).toBe(true);
            at += valueBytes;
          }
          expect(bytes.readUInt32LE(bytes.length - 4)).toBe(Math.ceil(entries.length / interval));
        },
      ),
      runsOf(100),
    );
  });
});
