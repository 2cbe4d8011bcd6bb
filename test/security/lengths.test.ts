// Goal: a length in a file is believed only as far as the bytes are there. Method: every field that says how much follows, or
// how many, gets 4 GiB and more, with every checksum around it right; the decoder has to refuse it at once, and nothing may be
// held for it: the process must not have become larger by 32 MiB at any moment (the mark of the system, not of V8).
import * as E from 'fp-ts/lib/Either.js';
import { describe, expect, it } from 'vitest';
import { CorruptionError } from '../../src/index.ts';
import { crc32c, maskCrc } from '../../src/storage/codec/crc32c.ts';
import { writeFixed32 } from '../../src/storage/codec/fixed.ts';
import { Malformed } from '../../src/storage/codec/malformed.ts';
import { snappyDecompress, snappyUncompressedLength } from '../../src/storage/codec/snappy.ts';
import { checkBatch } from '../../src/storage/codec/write-batch.ts';
import type { ReadableFile } from '../../src/storage/file-system/file-system.ts';
import { MemoryFileSystem } from '../../src/storage/file-system/memory-file-system.ts';
import { readSmallFile } from '../../src/storage/file-system/small-file.ts';
import { readHistoryState } from '../../src/storage/history/history-state.ts';
import { decodeVersionEdit } from '../../src/storage/manifest/version-edit.ts';
import { Block } from '../../src/storage/table/block.ts';
import { forEachEntry } from '../../src/storage/table/block-entries.ts';
import { unpackBlock } from '../../src/storage/table/block-read.ts';
import { FilterReader } from '../../src/storage/table/filter-block.ts';
import { decodeFooter } from '../../src/storage/table/table-format.ts';
import { RecordReader } from '../../src/storage/wal/record-reader.ts';

const GROWTH_KIB_MAX = 32 * 1024;
const LONGEST_MS = 1000;
const FOUR_GIB = [0xff, 0xff, 0xff, 0xff, 0x0f] as const;
const HALF_OF_ALL = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f] as const;

/** Runs it, and tells what it threw, or what it gave as `Left`. Fails if it took long or much. */
async function outcomeOf(work: () => unknown): Promise<unknown> {
  const before = process.resourceUsage().maxRSS;
  const begun = performance.now();
  let outcome: unknown;
  try {
    const given = await work();
    const isEither = typeof given === 'object' && given !== null && '_tag' in given;
    outcome = isEither && E.isLeft(given as E.Either<unknown, unknown>) ? (given as E.Left<unknown>).left : given;
  } catch (error) {
    outcome = error;
  }
  expect(performance.now() - begun).toBeLessThan(LONGEST_MS);
  expect(process.resourceUsage().maxRSS - before).toBeLessThan(GROWTH_KIB_MAX);
  return outcome;
}

const isRefused = (outcome: unknown): boolean =>
  outcome instanceof Malformed ||
  outcome instanceof CorruptionError ||
  (typeof outcome === 'object' && outcome !== null && 'reason' in outcome);

const bytesOf = (...parts: readonly (readonly number[])[]): Uint8Array => Uint8Array.from(parts.flat());
/** A block of one restart: entries, then the fields behind them. */
const block = (entries: readonly number[], restarts: readonly number[] = [0, 0, 0, 0, 1, 0, 0, 0]): Uint8Array =>
  bytesOf(entries, restarts);
const footer = (...fields: readonly (readonly number[])[]): Uint8Array => {
  const bytes = new Uint8Array(48);
  bytes.set(fields.flat());
  writeFixed32(bytes, 40, 0x8b80_fb57);
  writeFixed32(bytes, 44, 0xdb47_7524);
  return bytes;
};
const batch = (count: readonly number[], ...operations: readonly (readonly number[])[]): Uint8Array =>
  bytesOf([1, 0, 0, 0, 0, 0, 0, 0], count, ...operations);
const walk = (bytes: Uint8Array): void => forEachEntry(new Block(bytes, 'x', 0), () => undefined);

describe('a length of 4 GiB and more is refused, and nothing is held for it', () => {
  const ONE = [1, 0, 0, 0] as const;
  const cases: readonly (readonly [string, () => unknown])[] = [
    ['footer: place of the metaindex', () => decodeFooter(footer(HALF_OF_ALL, [1], [0], [1]), 1000)],
    ['footer: size of the metaindex', () => decodeFooter(footer([0], FOUR_GIB, [0], [1]), 1000)],
    [
      'footer: size of the index, in a file that says to be as large',
      () => decodeFooter(footer([0], [1], [10], FOUR_GIB), 2 ** 40),
    ],
    ['block: number of restarts', () => walk(bytesOf([0, 0, 0, 0], [0xff, 0xff, 0xff, 0xff]))],
    [
      'block: number of restarts, overflowing when it is taken four times',
      () => walk(bytesOf([0, 0, 0, 0], [1, 0, 0, 0x40])),
    ],
    ['block: a restart behind its end', () => walk(block([0, 1, 0, 97], [0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0]))],
    ['block: shared bytes of a key', () => walk(block([...FOUR_GIB, 1, 1, 97, 98]))],
    ['block: bytes of a key', () => walk(block([0, ...FOUR_GIB, 1, 97, 98]))],
    ['block: bytes of a value', () => walk(block([0, 1, ...FOUR_GIB, 97, 98]))],
    ['snappy: uncompressed bytes', () => snappyUncompressedLength(bytesOf(FOUR_GIB, [0, 97]), 0, 7)],
    [
      'snappy: just under the largest that is read, out of a few bytes',
      () => {
        const bytes = bytesOf([0x80, 0x80, 0x80, 0x20], [0, 97]); // 64 MiB
        return unpackBlock(bytesOf([...bytes], [1, 0, 0, 0, 0]), 0, bytes.length, 'x', 0);
      },
    ],
    [
      'snappy: bytes of a literal',
      () => snappyDecompress(bytesOf([10], [0xfc, 0xff, 0xff, 0xff, 0xff], [97]), 0, 7, new Uint8Array(10)),
    ],
    [
      'snappy: distance of a copy',
      () => snappyDecompress(bytesOf([10], [0, 97], [0x27, 0xff, 0xff, 0xff, 0xff]), 0, 8, new Uint8Array(10)),
    ],
    ['batch: number of operations', () => checkBatch(batch([0xff, 0xff, 0xff, 0xff], [0, 1, 97]), 0, 15)],
    [
      'batch: bytes of a key',
      () => {
        const bytes = batch(ONE, [1], FOUR_GIB, [97, 1, 98]);
        return checkBatch(bytes, 0, bytes.length);
      },
    ],
    [
      'batch: bytes of a value',
      () => {
        const bytes = batch(ONE, [1, 1, 97], FOUR_GIB, [98]);
        return checkBatch(bytes, 0, bytes.length);
      },
    ],
    ['version edit: bytes of the comparator’s name', () => decodeVersionEdit(bytesOf([1], FOUR_GIB, [97]), 'x', 0)],
    [
      'version edit: a log number beyond 2^53',
      () => decodeVersionEdit(bytesOf([2], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), 'x', 0),
    ],
    ['version edit: a level', () => decodeVersionEdit(bytesOf([6], FOUR_GIB, [1]), 'x', 0)],
    [
      'version edit: bytes of a table’s smallest key',
      () => decodeVersionEdit(bytesOf([7], [1], [5], [9], FOUR_GIB, [97]), 'x', 0),
    ],
    ['version edit: bytes of a compaction pointer', () => decodeVersionEdit(bytesOf([5], [1], FOUR_GIB, [97]), 'x', 0)],
    ['filter: place of its offsets', () => new FilterReader(bytesOf([1, 2, 3], [0xff, 0xff, 0xff, 0xff], [11]))],
  ];

  it.each(cases)('%s', async (_, work) => {
    expect(await outcomeOf(work)).toSatisfy(isRefused);
  });

  it('a log record that is longer than its block', async () => {
    const fileSystem = new MemoryFileSystem();
    const record = (length: number, type: number, content: Uint8Array): Uint8Array => {
      const bytes = new Uint8Array(7 + content.length);
      bytes.set([length & 0xff, length >> 8, type], 4);
      bytes.set(content, 7);
      writeFixed32(bytes, 0, maskCrc(crc32c(bytes, 6, bytes.length)));
      return bytes;
    };
    const file = await fileSystem.create('/log');
    await file.append(record(0xffff, 1, new Uint8Array(100)));
    await file.close();
    const log = await fileSystem.openForRead('/log');
    expect(await outcomeOf(() => new RecordReader(log, 'log').next())).toMatchObject({ type: 'bad' });
    await log.close();
  });

  it('small files that are large: CURRENT, the state of history', async () => {
    class LargeFiles extends MemoryFileSystem {
      override openForRead(path: string): Promise<ReadableFile> {
        const size = (): Promise<number> => Promise.resolve(2 ** 42);
        const read = (into: Uint8Array): Promise<number> => Promise.resolve(into.fill(0).length);
        return Promise.resolve({ path, size, read, close: () => Promise.resolve() });
      }
    }
    const fileSystem = new LargeFiles();
    expect(await outcomeOf(() => readSmallFile(fileSystem, '/CURRENT', 64))).toMatchObject({ code: 'CORRUPTION' });
    expect(await outcomeOf(() => readHistoryState(fileSystem, '/archive'))).toMatchObject({ code: 'CORRUPTION' });
  });
});

describe('what is compressed as far as it goes', () => {
  it('is no more than 22 times as long, and fills exactly what was announced', async () => {
    // One literal, then nothing but copies of 64 bytes out of three.
    const copies = 1000;
    const length = 1 + 64 * copies;
    const stream = bytesOf(
      [(length & 0x7f) | 0x80, ((length >> 7) & 0x7f) | 0x80, length >> 14],
      [0, 97],
      Array.from({ length: copies }, () => [0xfe, 1, 0]).flat(),
    );
    expect(length / stream.length).toBeGreaterThan(21);
    const into = new Uint8Array(length);
    expect(snappyUncompressedLength(stream, 0, stream.length)).toBe(length);
    snappyDecompress(stream, 0, stream.length, into);
    expect(into.every((byte) => byte === 97)).toBe(true);
    const short = new Uint8Array(length - 1);
    expect(await outcomeOf(() => snappyDecompress(stream, 0, stream.length, short))).toSatisfy(isRefused);
  });
});
