// What `npm run test:mutation` mutates, room by room, and the tests that are to notice. Few tests for each: a mutant is to be
// killed by the tests of its own room, not by luck in a long run over the whole engine.

/** @type {readonly { name: string, mutate: readonly string[], tests: readonly string[] }[]} */
export const rooms = [
  { name: 'wal', mutate: ['src/storage/wal/*.ts'], tests: ['test/storage/wal/*.test.ts'] },
  { name: 'manifest', mutate: ['src/storage/manifest/*.ts'], tests: ['test/storage/manifest/*.test.ts'] },
  {
    name: 'batch',
    mutate: ['src/storage/codec/write-batch.ts', 'src/storage/codec/utf8.ts', 'src/storage/codec/malformed.ts'],
    tests: ['test/storage/codec/{write-batch,utf8}.test.ts'],
  },
  {
    name: 'numbers',
    mutate: [
      'src/storage/codec/varint.ts',
      'src/storage/codec/fixed.ts',
      'src/storage/codec/compare.ts',
      'src/storage/codec/crc32c.ts',
      'src/storage/codec/internal-key.ts',
      'src/storage/codec/bloom.ts',
    ],
    tests: ['test/storage/codec/{varint,fixed,compare,crc32c,internal-key,bloom}.test.ts'],
  },
  {
    name: 'snappy',
    mutate: ['src/storage/codec/snappy.ts', 'src/storage/codec/snappy-block.ts'],
    tests: ['test/storage/codec/snappy.test.ts'],
  },
  {
    name: 'keys',
    mutate: [
      'src/storage/codec/key-bigint.ts',
      'src/storage/codec/key-number.ts',
      'src/storage/codec/key-text.ts',
      'src/storage/codec/key-tuple.ts',
      'src/storage/codec/value-json.ts',
    ],
    tests: ['test/storage/codec/{key-codecs,value-json}.test.ts'],
  },
  {
    name: 'block',
    mutate: [
      'src/storage/table/block.ts',
      'src/storage/table/block-builder.ts',
      'src/storage/table/block-entries.ts',
      'src/storage/table/block-iterator.ts',
      'src/storage/table/block-read.ts',
      'src/storage/table/table-format.ts',
    ],
    tests: ['test/storage/table/{block,table,table-builder,table-damage,filter-block,block-builder}.test.ts'],
  },
  {
    name: 'compaction',
    mutate: ['src/storage/compaction/drop-rule.ts', 'src/storage/compaction/picker.ts'],
    tests: ['test/storage/compaction/{drop-rule,picker}.test.ts'],
  },
  {
    name: 'history',
    mutate: [
      'src/storage/history/database-id.ts',
      'src/storage/history/history-names.ts',
      'src/storage/history/history-state.ts',
      'src/storage/history/segment.ts',
      'src/storage/history/segment-index.ts',
    ],
    tests: ['test/storage/history/{database-id,history-names,history-state,segment,segment-index}.test.ts'],
  },
  {
    name: 'consumer',
    mutate: ['src/streams/consumer-record.ts', 'src/streams/consumer-progress.ts', 'src/streams/consumer-retries.ts'],
    tests: ['test/streams/consumer-{record,progress,retries}.test.ts'],
  },
  {
    name: 'memtable',
    mutate: ['src/storage/memtable/*.ts'],
    tests: ['test/storage/memtable/*.test.ts'],
  },
];
