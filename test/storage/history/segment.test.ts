import { expect, it } from 'vitest';
import { MemoryFileSystem } from '../../../src/index.ts';
import { SegmentIndexReader, SegmentIndexWriter } from '../../../src/storage/history/segment-index.ts';
import { LiveSegment } from '../../../src/storage/history/segment.ts';

it('a live segment knows what counts of its log, and gives commit times at most 10 ms early', async () => {
  const fileSystem = new MemoryFileSystem();
  const segment = new LiveSegment(7, true, new SegmentIndexWriter(await fileSystem.create('/index'), 7));
  expect(segment.isEmpty).toBe(true);
  expect(segment.count(5, 6, 19, 100, 1000)).toBe(1000);
  expect(segment.count(9, 9, 100, 150, 1009)).toBe(1000);
  expect(segment.count(10, 12, 150, 300, 1010)).toBe(1010);
  expect(segment.count(13, 13, 300, 350, 1019)).toBe(1010);
  expect(segment.isEmpty).toBe(false);
  expect(segment.info()).toEqual({
    hasGaps: true,
    fileNumber: 7,
    firstSequence: 5,
    lastSequence: 13,
    bytes: 350,
    firstTimeMs: 1000,
    lastTimeMs: 1010,
  });
  // The index tells the same times to whoever reads it later.
  const index = new SegmentIndexReader(await fileSystem.openForRead('/index'), 'index', 7);
  expect(await index.inForceAt(4)).toBeUndefined();
  expect(await index.inForceAt(9)).toEqual({ sequence: 5, timeMs: 1000, offset: 19 });
  expect(await index.inForceAt(13)).toEqual({ sequence: 10, timeMs: 1010, offset: 150 });
});

it('a segment without an index counts all the same', async () => {
  const segment = new LiveSegment(7, false, undefined);
  expect(segment.count(1, 1, 19, 40, 0)).toBe(0);
  await segment.closeIndex();
  segment.rewritten(30);
  expect(segment).toMatchObject({ bytes: 30, isRewritten: true, isLinked: true, lastSequence: 1 });
});
