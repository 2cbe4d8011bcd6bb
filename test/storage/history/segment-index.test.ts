import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MemoryFileSystem } from '../../../src/index.ts';
import {
  readClaims,
  SegmentIndexReader,
  SegmentIndexWriter,
  type Tick,
} from '../../../src/storage/history/segment-index.ts';
import { checkBatch } from '../../../src/storage/codec/write-batch.ts';
import { RecordReader } from '../../../src/storage/wal/record-reader.ts';
import { FaultFileSystem } from '../../support/fault-file-system.ts';
import { BytesFile } from '../../support/log-bytes.ts';
import { runsOf } from '../../support/runs.ts';

/** Of which it is. */
const LOG = 7;

const ticks: fc.Arbitrary<Tick[]> = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 10, max: 30 })), { maxLength: 12 })
  .map((steps) => {
    let [sequence, timeMs, offset] = [0, 1000, 0];
    return steps.map(([numbers, ms]) => {
      [sequence, timeMs, offset] = [sequence + numbers, timeMs + ms, offset + 40];
      return { sequence, timeMs, offset };
    });
  });

async function written(list: readonly Tick[]): Promise<Uint8Array> {
  const fileSystem = new MemoryFileSystem();
  const writer = new SegmentIndexWriter(await fileSystem.create('/index'), LOG);
  for (const tick of list) writer.add(tick);
  await writer.close();
  return fileSystem.readFileNow('/index');
}

const inForce = (list: readonly Tick[], sequence: number): Tick | undefined =>
  list.findLast((tick) => tick.sequence <= sequence);

describe('the index of a segment', () => {
  it('tells the tick in force at each number, asked in ascending order', async () => {
    await fc.assert(
      fc.asyncProperty(ticks, fc.array(fc.integer({ min: 0, max: 60 })), async (list, asked) => {
        const reader = new SegmentIndexReader(new BytesFile(await written(list)), 'index', LOG);
        for (const sequence of asked.toSorted((a, b) => a - b)) {
          expect(await reader.inForceAt(sequence)).toEqual(inForce(list, sequence));
        }
      }),
      runsOf(200),
    );
  });

  it('finds the first tick at or behind a time', async () => {
    await fc.assert(
      fc.asyncProperty(ticks, fc.integer({ min: 990, max: 1400 }), async (list, timeMs) => {
        const reader = new SegmentIndexReader(new BytesFile(await written(list)), 'index', LOG);
        expect(await reader.firstAtOrAfter(timeMs)).toEqual(list.find((tick) => tick.timeMs >= timeMs));
      }),
      runsOf(200),
    );
  });

  it('is read on when it has grown, from where its end was', async () => {
    await fc.assert(
      fc.asyncProperty(ticks, fc.nat(12), async (list, count) => {
        const seen = list.slice(0, count);
        const file = new BytesFile(await written(seen));
        const reader = new SegmentIndexReader(file, 'index', LOG);
        expect(await reader.inForceAt(1000)).toEqual(seen.at(-1));
        file.bytes = await written(list);
        expect(await reader.inForceAt(1000)).toEqual(seen.at(-1)); // nobody has told it to look again
        reader.refresh();
        expect(await reader.inForceAt(1000)).toEqual(list.at(-1));
      }),
      runsOf(100),
    );
  });

  it('ends before what is cut or changed: never another tick', async () => {
    const list: Tick[] = [1, 5, 9].map((sequence) => ({ sequence, timeMs: 100 * sequence, offset: 40 * sequence }));
    const bytes = await written(list);
    expect(bytes).toHaveLength(3 * 39);
    for (let offset = 0; offset < bytes.length; offset += 1) {
      const flipped = bytes.slice();
      flipped[offset] = (bytes[offset] ?? 0) ^ 0x41;
      for (const damaged of [flipped, bytes.slice(0, offset)]) {
        const whole = list.slice(0, Math.floor(offset / 39));
        const reader = new SegmentIndexReader(new BytesFile(damaged), 'index', LOG);
        expect(await reader.inForceAt(100), `byte ${offset}`).toEqual(whole.at(-1));
      }
    }
  });

  it('ends before what is of another one, as a power cut may leave it', async () => {
    const fileSystem = new MemoryFileSystem();
    const other = new SegmentIndexWriter(await fileSystem.create('/other'), LOG + 1);
    other.add({ sequence: 5, timeMs: 50, offset: 0 });
    other.claim(9);
    await other.seal(9, 400);
    const own = await written([{ sequence: 1, timeMs: 10, offset: 0 }]);
    const stale = fileSystem.readFileNow('/other');
    expect(await readClaims(new BytesFile(stale), 'other', LOG + 1)).toEqual({ first: 5, durable: 9, sealed: 9 });
    expect(await readClaims(new BytesFile(stale), 'index', LOG)).toEqual({ first: undefined, durable: 0, sealed: 0 });
    // Nor in the place of a log's blocks: a mark of a number that nobody ever gave out.
    const records = new RecordReader(new BytesFile(stale), 'log');
    for (let count = 0; count < 3; count += 1) {
      const outcome = await records.next();
      if (outcome.type !== 'record') throw new Error(outcome.type);
      expect(checkBatch(outcome.bytes, 0, outcome.bytes.length)).toMatchObject({ _tag: 'Left' });
    }
    const both = new BytesFile(Uint8Array.from([...own, ...stale]));
    expect(await readClaims(both, 'index', LOG)).toEqual({ first: 1, durable: 0, sealed: 0 });
    const reader = new SegmentIndexReader(both, 'index', LOG);
    expect(await reader.inForceAt(100)).toEqual({ sequence: 1, timeMs: 10, offset: 0 });
    expect(reader.endOffset).toBe(own.length);
  });

  it('may fail to be written, without a word, and ends there', async () => {
    const fileSystem = new FaultFileSystem();
    const writer = new SegmentIndexWriter(await fileSystem.create('/index'), LOG);
    writer.add({ sequence: 1, timeMs: 10, offset: 0 });
    fileSystem.plan = { code: 'ENOSPC', arrives: 0.5, isHit: ({ name }) => name === 'append' };
    writer.add({ sequence: 2, timeMs: 20, offset: 50 });
    fileSystem.plan = undefined;
    writer.add({ sequence: 3, timeMs: 30, offset: 90 });
    await writer.close();
    writer.add({ sequence: 4, timeMs: 40, offset: 99 });
    const reader = new SegmentIndexReader(await fileSystem.openForRead('/index'), 'index', LOG);
    expect(await reader.inForceAt(9)).toEqual({ sequence: 1, timeMs: 10, offset: 0 });
    await reader.close();
    expect(fileSystem.openPaths).toEqual([]);
  });
});
