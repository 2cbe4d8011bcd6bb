// Goal: in a table whose index is lost, every block that can be read is found, however long it is and whatever is damaged
// before it, in steps that are linear in the bytes: also where there is no block at all, and where somebody has made places up
// that only look like blocks. Method: random bytes with blocks among them, against trying every beginning with every end; then
// tables, with their steps counted.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { crc32c, maskCrc } from '../../src/storage/codec/crc32c.ts';
import { LossList } from '../../src/storage/repair/repair-report.ts';
import { salvageTable, type SalvagedTable } from '../../src/storage/repair/salvage-table.ts';
import { BlockSearch } from '../../src/storage/repair/search-blocks.ts';
import { MemoryFileSystem, open } from '../../src/index.ts';
import { MemoryReadableFile } from '../support/memory-files.ts';
import { randomOf, runsOf } from '../support/runs.ts';

const MIB = 1024 * 1024;
/** Steps for a file, at most: as often as this each byte, and a little. */
const boundFor = (bytes: number): number => 11 * bytes + 9 * MIB;

const wordAt = (bytes: Uint8Array, at: number): number =>
  new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);

/** Type and checksum behind contents. */
function seal(bytes: Uint8Array, start: number, end: number): void {
  bytes[end] = 0;
  new DataView(bytes.buffer).setUint32(end + 1, maskCrc(crc32c(bytes, start, end + 1)), true);
}

function noise(length: number, seed: number): Uint8Array {
  const random = randomOf(seed);
  return Uint8Array.from({ length }, () => Math.floor(random() * 256));
}

/** Every beginning, by the first end at which there is any. */
function byTrying(bytes: Uint8Array, from: number): string[] {
  for (let end = from + 8; end + 5 <= bytes.length; end += 1) {
    if ((bytes[end] ?? 2) > 1) continue;
    const found: string[] = [];
    for (let start = end - 8; start >= from; start -= 1) {
      if (maskCrc(crc32c(bytes, start, end + 1)) === wordAt(bytes, end + 1)) found.push(`${start}+${end - start}`);
    }
    if (found.length > 0) return found;
  }
  return [];
}

async function salvaged(
  bytes: Uint8Array,
): Promise<SalvagedTable & { readonly steps: number; readonly turns: number }> {
  let [steps, turns] = [0, 0];
  const file = new MemoryReadableFile(bytes, '000001.ldb');
  const table = await salvageTable(
    { file, name: '000001.ldb' },
    {
      turn: () => Promise.resolve(void (turns += 1)),
      losses: new LossList(),
      onSteps: (count) => void (steps = count),
    },
  );
  return { ...table, steps, turns };
}

/** A table of real blocks, and where they begin. */
async function table(entries: number, blockBytesMax: number): Promise<{ bytes: Uint8Array; starts: number[] }> {
  const files = new MemoryFileSystem();
  const store = await open('/db', {
    fileSystem: files,
    blockBytesMax,
    compression: 'none',
    tableBytesMax: 64 * MIB,
    memtableBytesMax: 64 * MIB,
  });
  for (let n = 0; n < entries; n += 1) {
    await store.set(`key ${String(n).padStart(7, '0')}`, `value ${n} `.repeat(8), { durability: 'buffered' });
  }
  await store.flush();
  await store.close();
  const [path = ''] = files.paths().filter((name) => name.endsWith('.ldb'));
  const bytes = files.readFileNow(path);
  const whole = await salvaged(bytes);
  return { bytes, starts: whole.blocks.map(({ offset }) => offset) };
}

describe('the search for blocks', () => {
  it('finds what trying every beginning with every end finds', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ gap: fc.nat(40), length: fc.integer({ min: 8, max: 60 }) }), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.nat(),
        fc.integer({ min: 1, max: 50 }),
        (blocks, seed, stepsMax) => {
          const bytes = noise(
            blocks.reduce((sum, { gap, length }) => sum + gap + length + 5, 7),
            seed,
          );
          let at = 0;
          for (const { gap, length } of blocks) {
            seal(bytes, at + gap, at + gap + length);
            at += gap + length + 5;
          }
          const search = new BlockSearch(bytes);
          for (let from = 0; from < bytes.length;) {
            search.begin(from);
            let found = search.next(stepsMax);
            while (found.length === 0 && !search.isOver) found = search.next(stepsMax);
            expect(found.map(({ offset, size }) => `${offset}+${size}`)).toEqual(byTrying(bytes, from));
            const [first] = found;
            from = first === undefined ? bytes.length : first.offset + first.size + 5;
          }
          expect(search.steps).toBeLessThanOrEqual(bytes.length);
        },
      ),
      runsOf(200),
    );
  });

  it('finds a block of 700 KiB behind 300 KiB of noise', () => {
    const bytes = noise(MIB, 1);
    seal(bytes, 300_000, 1_000_000);
    const search = new BlockSearch(bytes);
    search.begin(0);
    const found: unknown[] = [];
    while (!search.isOver) found.push(...search.next(MIB));
    expect(found).toContainEqual({ offset: 300_000, size: 700_000 });
  });
});

describe('a table without an index', () => {
  it('gives back every block that is not damaged, in linear steps', async () => {
    const { bytes, starts } = await table(8_000, 10_000);
    expect(starts.length).toBeGreaterThan(50);
    bytes.fill(0xff, bytes.length - 48); // the footer
    const damaged = starts.filter((_, index) => index % 2 === 1);
    for (const start of damaged) bytes[start + 50] = (bytes[start + 50] ?? 0) ^ 1;
    const { blocks, steps, turns } = await salvaged(bytes);
    expect(blocks.map(({ offset }) => offset)).toEqual(starts.filter((start) => !damaged.includes(start)));
    expect(steps).toBeLessThan(boundFor(bytes.length));
    expect(turns).toBeGreaterThan(0);
  });

  it('costs linear steps where there is none to be found', async () => {
    for (const [length, fill] of [
      [MIB / 2, undefined],
      [MIB / 2, 0],
      [100, 0],
      [0, 0],
    ] as const) {
      const bytes = fill === undefined ? noise(length, 2) : new Uint8Array(length).fill(fill);
      const { blocks, steps } = await salvaged(bytes);
      expect(blocks).toEqual([]);
      expect(steps).toBeLessThan(boundFor(length));
    }
  });

  it('costs linear steps where places were made up to look like blocks', async () => {
    const bytes = noise(MIB, 3);
    // Each of these ends a block that begins with the file, by its checksum; none of them is one.
    for (let at = 8; at < 20_000; at += 13) seal(bytes, 0, at);
    bytes[0] = 0xff;
    for (let start = 1, end = 20_000; end + 5 < bytes.length; end += 5000) seal(bytes, start, end);
    let reads = 0;
    const file = new MemoryReadableFile(bytes, '000001.ldb');
    file.beforeRead = (_position, length) => void (reads += length);
    let steps = 0;
    const ports = {
      turn: () => Promise.resolve(),
      losses: new LossList(),
      onSteps: (count: number) => void (steps = count),
    };
    await salvageTable({ file, name: '000001.ldb' }, ports);
    expect(steps).toBeLessThan(boundFor(bytes.length));
    expect(reads).toBeLessThan(boundFor(bytes.length) + 2 * bytes.length);
  });
});
