/**
 * The work that runs off the event loop, as plain data that can be sent to a worker thread, and the function that does it.
 */
import { BlockCache } from '../table/block-cache.ts';
import type { TableOptions } from '../table/table-builder.ts';
import { LevelIterator } from '../table/level-iterator.ts';
import { TableCache } from '../table/table-cache.ts';
import { tableNames } from '../file-names.ts';
import type { FileSystem } from '../file-system/file-system.ts';
import type { TableMeta } from '../manifest/table-meta.ts';
import { Memtable } from '../memtable/memtable.ts';
import type { InternalIterator } from '../read/internal-iterator.ts';
import { MergeIterator } from '../read/merge-iterator.ts';
import { DropRule, type KeyBounds } from './drop-rule.ts';
import { type TableOutput, writeTables } from './merge-tables.ts';

interface JobCommon {
  readonly jobId: number;
  readonly directory: string;
  readonly tableOptions: TableOptions;
  /** Sequence numbers of the live snapshots, ascending. */
  readonly snapshots: readonly number[];
}

/** One memtable becomes one level-0 table. */
export interface FlushJob extends JobCommon {
  readonly type: 'flush';
  /** The frozen memtable's memory: shared, not copied. */
  readonly memtable: SharedArrayBuffer;
  /** Bytes of it in use: what the job will cost. */
  readonly bytes: number;
}

/** Tables merge into tables of the next level. */
export interface CompactionJob extends JobCommon {
  readonly type: 'compaction';
  /** Each list is one sorted run: a level-0 table alone, or tables of one level in key order. */
  readonly runs: readonly (readonly TableMeta[])[];
  readonly grandparents: readonly TableMeta[];
  /** The runs below the output level: where a tombstone may still have something to hide. */
  readonly deeper: readonly (readonly KeyBounds[])[];
  readonly tableBytesMax: number;
  readonly grandparentBytesMax: number;
}

export type TableJob = FlushJob | CompactionJob;

/** What a running job may ask of whoever runs it. */
export interface JobHost {
  readonly fileSystem: FileSystem;
  allocateFileNumber(): number | Promise<number>;
  /** `undefined`: go on. A promise: wait; it rejects when the job is called off. */
  pause(): Promise<void> | undefined;
}

/** Inputs are read in pieces of this size, so that a read brings many blocks. */
const READ_AHEAD_BYTES = 256 * 1024;
/** A job reads each of its runs from one table at a time. */
const OPEN_TABLES_MAX = 64;

export async function runTableJob(job: TableJob, host: JobHost): Promise<TableOutput> {
  const { directory, tableOptions, snapshots } = job;
  const work = {
    directory,
    tableOptions,
    fileSystem: host.fileSystem,
    allocateFileNumber: () => host.allocateFileNumber(),
    pause: () => host.pause(),
  };
  if (job.type === 'flush') {
    const source = Memtable.attach(job.memtable).iterator();
    const rule = new DropRule(snapshots, undefined);
    return writeTables(source, rule, { ...work, ...UNCUT });
  }
  const tables = new TableCache(host.fileSystem, directory, OPEN_TABLES_MAX, new BlockCache(0), tableNames);
  try {
    const sources: InternalIterator[] = job.runs.map(
      (run) => new LevelIterator(run, tables, { isCacheFilled: false, readAheadBytes: READ_AHEAD_BYTES }),
    );
    const { grandparents, grandparentBytesMax, tableBytesMax } = job;
    const rule = new DropRule(snapshots, job.deeper);
    const cuts = { grandparents, grandparentBytesMax, tableBytesMax };
    return await writeTables(new MergeIterator(sources), rule, { ...work, ...cuts });
  } finally {
    await tables.closeAll();
  }
}

const UNCUT = { grandparents: [], grandparentBytesMax: Infinity, tableBytesMax: Infinity };
