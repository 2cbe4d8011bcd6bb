/** What is framed as records: logs, manifests, history; and the small files beside them. */
import assert from 'node:assert/strict';
import * as E from 'fp-ts/lib/Either.js';
import { ComparatorMismatchError, CorruptionError } from '../../src/errors.ts';
import { COMPARATOR_NAME } from '../../src/storage/codec/compare.ts';
import { encodeInternalKey } from '../../src/storage/codec/internal-key.ts';
import { CURRENT, manifestName, parseFileName } from '../../src/storage/file-names.ts';
import { MemoryFileSystem } from '../../src/storage/file-system/memory-file-system.ts';
import { databaseIdOf, databaseIdPointer } from '../../src/storage/history/database-id.ts';
import { parseArchiveName } from '../../src/storage/history/history-names.ts';
import { type HistoryState, readHistoryState, writeHistoryState } from '../../src/storage/history/history-state.ts';
import { readClaims, SegmentIndexReader } from '../../src/storage/history/segment-index.ts';
import { readCurrent } from '../../src/storage/manifest/current-file.ts';
import { readManifest } from '../../src/storage/manifest/read-manifest.ts';
import { decodeVersionEdit, encodeVersionEdit, type VersionEdit } from '../../src/storage/manifest/version-edit.ts';
import { KIND_SET } from '../../src/storage/read/internal-iterator.ts';
import { encodeDurabilityMark } from '../../src/storage/wal/durability-mark.ts';
import { recoverLogs } from '../../src/storage/wal/log-recovery.ts';
import { RecordReader } from '../../src/storage/wal/record-reader.ts';
import { batchOf, BytesFile, fragment, framed, joined, logFile } from '../support/log-bytes.ts';
import { MemoryReadOnlyFileSystem } from '../support/memory-files.ts';
import { sealRecords } from './seals.ts';
import { type FuzzTarget, never, oneOf } from './target.ts';

const encoder = new TextEncoder();
const BLOCK_BYTES = 32_768;
const key = (text: string): Uint8Array => encodeInternalKey(encoder.encode(text), 9, KIND_SET);

const edits: readonly VersionEdit[] = [
  {
    comparator: COMPARATOR_NAME,
    logNumber: 3,
    previousLogNumber: 0,
    nextFileNumber: 9,
    lastSequence: 100,
    compactionPointers: [databaseIdPointer('0123456789abcdef'.repeat(2))],
  },
  {
    logNumber: 7,
    newTables: [{ level: 1, table: { fileNumber: 4, fileBytes: 1, smallest: key('a'), largest: key('b') } }],
  },
  {
    deletedTables: [{ level: 1, fileNumber: 4 }],
    newTables: [
      { level: 2, table: { fileNumber: 5, fileBytes: 1_000, smallest: key('a'), largest: key('m') } },
      { level: 2, table: { fileNumber: 6, fileBytes: 2 ** 33, smallest: key('n'), largest: key('z') } },
    ],
  },
];

/** Records up to the end, over everything broken. */
async function decodeRecords(bytes: Uint8Array): Promise<void> {
  const reader = new RecordReader(new BytesFile(bytes), '000001.log');
  const whole: Uint8Array[] = [];
  let isWhole = true;
  for (let outcome = await reader.next(); outcome.type !== 'end';) {
    assert.ok(outcome.offset >= 0 && outcome.offset <= bytes.length);
    if (outcome.type === 'record') {
      if (isWhole) whole.push(outcome.bytes.slice());
      outcome = await reader.next();
    } else {
      isWhole = false;
      outcome = await reader.resync();
    }
  }
  const again = new RecordReader(new BytesFile(framed(...whole)), '000001.log');
  for (const record of whole) {
    const outcome = await again.next();
    assert.deepEqual(outcome.type === 'record' ? outcome.bytes : outcome, record);
  }
}

/** Two logs; the first byte says where the second one begins, and what an index claims. */
async function recover(bytes: Uint8Array): Promise<void> {
  const cut = Math.floor(((bytes[0] ?? 0) * bytes.length) / 255);
  const logs = [logFile(3, bytes.subarray(1, cut)), logFile(4, bytes.subarray(cut))];
  const claims = { durable: cut % 7, claimedBy: 4, firsts: new Map([[3, 1]]), isManifestOurs: true };
  for (const [salvage, claimed] of [
    [false, undefined],
    [true, undefined],
    [false, claims],
    [true, claims],
  ] as const) {
    let last = -1; // a crafted log may begin with 0
    const sink = {
      batch: (_bytes: Uint8Array, _start: number, _end: number, sequence: number, count: number): undefined => {
        assert.ok(sequence > last, 'sequence numbers ascend');
        last = sequence + count - 1;
      },
    };
    const report = await recoverLogs(logs, 0, sink, { salvage, claims: claimed })();
    if (E.isLeft(report)) {
      assert.ok(report.left instanceof CorruptionError);
      assert.equal(salvage, false, 'salvage takes what there is');
    } else assert.equal(report.right.lastSequence, Math.max(0, last));
  }
}

function decodeEdit(bytes: Uint8Array): void {
  const decoded = decodeVersionEdit(bytes, 'MANIFEST-000001', 0);
  if (E.isRight(decoded)) {
    assert.deepEqual(decodeVersionEdit(encodeVersionEdit(decoded.right), '', 0), decoded);
  } else assert.ok(decoded.left instanceof CorruptionError);
}

async function decodeManifest(bytes: Uint8Array): Promise<void> {
  const files = new MemoryReadOnlyFileSystem([[`/db/${manifestName(1)}`, bytes]]);
  try {
    const { version, nextFileNumber, compactionPointers } = await readManifest(files, '/db', 1);
    assert.ok(Number.isSafeInteger(nextFileNumber));
    databaseIdOf(compactionPointers);
    for (const level of version.levels) for (const { fileNumber } of level) assert.ok(Number.isSafeInteger(fileNumber));
  } finally {
    assert.equal(files.open.size, 0, 'the file is closed');
  }
}

async function decodeCurrent(bytes: Uint8Array): Promise<void> {
  const number = await readCurrent(new MemoryReadOnlyFileSystem([[`/db/${CURRENT}`, bytes]]), '/db');
  assert.ok(number !== undefined);
  assert.deepEqual(encoder.encode(`${manifestName(number)}\n`), bytes);
}

const STATE: HistoryState = {
  epoch: 2,
  epochEnds: [{ epoch: 1, lastSequence: 40 }],
  start: 10,
  end: 99,
  isClean: true,
  segments: [{ fileNumber: 7, firstSequence: 10, lastSequence: 99, bytes: 900, firstTimeMs: 1.5, lastTimeMs: 2 }],
};

/** The JSON alone: its frame is sealed by being made here. */
async function decodeState(bytes: Uint8Array): Promise<void> {
  const state = await readHistoryState(new MemoryReadOnlyFileSystem([['/a/STATE', framed(bytes)]]), '/a');
  assert.ok(state !== undefined);
  const fileSystem = new MemoryFileSystem();
  await fileSystem.makeDirectory('/a');
  await writeHistoryState(fileSystem, '/a', state);
  const again = await readHistoryState(fileSystem, '/a');
  assert.equal(JSON.stringify(again), JSON.stringify(state));
}

async function decodeSegmentIndex(bytes: Uint8Array): Promise<void> {
  const reader = new SegmentIndexReader(new BytesFile(bytes), '000001.index', 1);
  for (const sequence of [0, 1, 50, 2 ** 40]) {
    const tick = await reader.inForceAt(sequence);
    if (tick !== undefined) assert.ok(tick.sequence <= sequence);
    reader.refresh();
  }
  const times = new SegmentIndexReader(new BytesFile(bytes), '000001.index', 1);
  const tick = await times.firstAtOrAfter(1_000);
  if (tick !== undefined) assert.ok(tick.timeMs >= 1_000);
  const { durable, sealed } = await readClaims(new BytesFile(bytes), '000001.index', 1);
  for (const claimed of [durable, sealed]) assert.ok(Number.isSafeInteger(claimed) && claimed >= 0);
}

/** The log's number, and a tick of three numbers, a seal of two, a claim of one. */
function lineOf(...numbers: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(8 + 8 * numbers.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 1, true);
  view.setUint32(4, 0xffff_ffff, true);
  numbers.forEach((each, index) => view.setBigUint64(8 + 8 * index, BigInt(each), true));
  return bytes;
}

const logs = (): Uint8Array[] => {
  const mark = encodeDurabilityMark(1);
  return [
    framed(mark, batchOf(1), batchOf(2, 3), encodeDurabilityMark(5), batchOf(5)),
    framed(batchOf(1, 2, 300), batchOf(3)),
    joined(
      fragment(2, batchOf(1).subarray(0, 9)),
      fragment(3, batchOf(1).subarray(9, 15)),
      fragment(4, batchOf(1).subarray(15)),
    ),
    joined(framed(mark, batchOf(1)), new Uint8Array(40)),
  ];
};

/** The end of a block, where fragments are parted. */
const overBlockEnd = (): Uint8Array => framed(new Uint8Array(BLOCK_BYTES - 60), batchOf(1, 4, 30), batchOf(5));

const names = [
  '000001.log',
  'MANIFEST-000012',
  '1234567.ldb',
  '000002.sst',
  '000003.dbtmp',
  '000007.index',
  '000007.log.tmp',
];

export const logTargets: readonly FuzzTarget[] = [
  { name: 'log reader', seeds: logs, seal: sealRecords, decode: decodeRecords, isRefusal: never },
  {
    name: 'log reader at a block end',
    seeds: () => [overBlockEnd()],
    bytesMax: 2 * BLOCK_BYTES,
    decode: (bytes) => decodeRecords(bytes),
    isRefusal: never,
  },
  {
    name: 'log recovery',
    seeds: () => logs().map((bytes) => joined(Uint8Array.of(200), bytes)),
    seal: (bytes) => joined(bytes.subarray(0, 1), sealRecords(bytes.slice(1))),
    decode: recover,
    isRefusal: never,
  },
  { name: 'version edit', seeds: () => edits.map(encodeVersionEdit), decode: decodeEdit, isRefusal: never },
  {
    name: 'manifest',
    seeds: () => [framed(...edits.map(encodeVersionEdit))],
    seal: sealRecords,
    decode: decodeManifest,
    isRefusal: oneOf(CorruptionError, ComparatorMismatchError),
  },
  {
    name: 'CURRENT',
    seeds: () => ['MANIFEST-000001\n', 'MANIFEST-1234567\n'].map((text) => encoder.encode(text)),
    words: ['../', '/', '\n', '\0', 'MANIFEST-', '000'],
    bytesMax: 80,
    decode: decodeCurrent,
    isRefusal: oneOf(CorruptionError),
  },
  {
    name: 'state of history',
    seeds: () => [encoder.encode(JSON.stringify({ version: 1, ...STATE }))],
    words: [
      '{',
      '}',
      '[',
      ']',
      ',',
      '"__proto__":',
      '-1',
      '1e999',
      'null',
      '9007199254740993',
      '"epochEnds":',
      '"segments":',
    ],
    decode: decodeState,
    isRefusal: oneOf(CorruptionError),
  },
  {
    name: 'segment index',
    seeds: () => [
      framed(lineOf(1, 900, 0), lineOf(20), lineOf(40, 1_000, 700), lineOf(90, 1_020, 2_000), lineOf(99, 2_500)),
    ],
    seal: sealRecords,
    decode: decodeSegmentIndex,
    isRefusal: never,
  },
  {
    name: 'file names',
    seeds: () => names.map((text) => encoder.encode(text)),
    words: ['..', '/', '\0', '.log', '.tmp', 'MANIFEST-', '٣'],
    bytesMax: 60,
    decode: (bytes) => {
      const name = new TextDecoder().decode(bytes);
      for (const parsed of [parseFileName(name), parseArchiveName(name)]) {
        if (parsed === undefined) continue;
        assert.ok(Number.isSafeInteger(parsed.fileNumber));
        assert.match(name, /^[\w.-]+$/);
        assert.ok(name.includes(String(parsed.fileNumber).padStart(6, '0')), 'each file has one name');
      }
    },
    isRefusal: never,
  },
];
