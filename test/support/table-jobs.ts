/** Flushes and compactions of made-up content, as jobs. */
import type { CompactionJob, FlushJob } from '../../src/storage/compaction/table-job.ts';
import type { TableMeta } from '../../src/storage/manifest/table-meta.ts';
import { Memtable } from '../../src/storage/memtable/memtable.ts';
import { KIND_SET } from '../../src/storage/read/internal-iterator.ts';
import { bytesOf } from './sorted-model.ts';
import { TABLE_OPTIONS } from './tree-on-disk.ts';

const OPTIONS = { ...TABLE_OPTIONS, blockBytesMax: 4096, restartInterval: 16 };

/** A flush of so many entries with ascending keys and sequence numbers. */
export function flushOf(jobId: number, entryCount: number, directory = '/db', valueBytes = 20): FlushJob {
  const memtable = Memtable.create(Memtable.capacityFor(entryCount, entryCount * (8 + valueBytes)) + 1024);
  const value = new Uint8Array(valueBytes).fill(jobId);
  for (let index = 0; index < entryCount; index += 1) {
    const key = bytesOf(String(index).padStart(8, '0'));
    const source = new Uint8Array([...key, ...value]);
    memtable.add(index + 1, KIND_SET, source, 0, key.length, key.length, source.length);
  }
  const { buffer, bytesUsed } = memtable;
  return { type: 'flush', jobId, directory, memtable: buffer, bytes: bytesUsed, tableOptions: OPTIONS, snapshots: [] };
}

/** A compaction of these runs. */
export function compactionOf(jobId: number, runs: readonly (readonly TableMeta[])[], directory = '/db'): CompactionJob {
  return {
    type: 'compaction',
    jobId,
    directory,
    tableOptions: OPTIONS,
    snapshots: [],
    runs,
    grandparents: [],
    deeper: [],
    tableBytesMax: 200_000,
    grandparentBytesMax: Infinity,
  };
}
