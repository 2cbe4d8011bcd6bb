// Goal: jobs run in the worker, and end well also when it dies, cannot be started, or is told to stop.
// Method: the executor as it is built, because only there is a worker to start; the worker itself is caught at its port.
import { existsSync, readdirSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type * as WorkerExecutorModule from '../../../src/storage/compaction/worker-executor.ts';
import type { WorkerExecutor } from '../../../src/storage/compaction/worker-executor.ts';
import { NodeFileSystem } from '../../../src/index.ts';
import { tableCacheOf } from '../../support/tree-on-disk.ts';
import { compactionOf, flushOf } from '../../support/table-jobs.ts';
import { temporaryDirectories } from '../../support/temporary.ts';

const BUILT = new URL('../../../dist/storage/compaction/worker-executor.js', import.meta.url);
const newDirectory = temporaryDirectories();

const yieldTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** So large that a thread is worth it. */
const MANY = 150_000;

const numbersFrom = (first: number): (() => number) => {
  let next = first;
  return () => next++;
};

interface Started {
  readonly executor: WorkerExecutor;
  readonly directory: string;
  readonly fallbacks: unknown[];
  /** What was said to the worker, and the worker. */
  readonly said: { readonly type: string }[];
  readonly worker: () => Worker;
}

/** The built executor in a directory of its own. */
async function start(): Promise<Started> {
  const built = (await import(BUILT.href)) as typeof WorkerExecutorModule;
  const fallbacks: unknown[] = [];
  const said: { readonly type: string }[] = [];
  const workers: Worker[] = [];
  const post = Reflect.get<Worker, 'postMessage'>(Worker.prototype, 'postMessage');
  vi.spyOn(Worker.prototype, 'postMessage').mockImplementation(function (this: Worker, message: { type: string }) {
    workers.push(this);
    said.push({ type: message.type });
    post.call(this, message);
  });
  const executor = new built.WorkerExecutor({
    fileSystem: new NodeFileSystem(),
    sliceMs: 4,
    now: () => performance.now(),
    yieldTurn,
    onFallback: (reason) => fallbacks.push(reason),
  });
  const theWorker = (): Worker => {
    const worker = workers.at(-1);
    if (worker === undefined) throw new Error('no worker was spoken to');
    return worker;
  };
  return { executor, directory: newDirectory(), fallbacks, said, worker: theWorker };
}

/** Resolves when something of the kind was said to the worker, so often. */
async function hasSaid({ said }: Started, type: string, times = 1): Promise<void> {
  const end = performance.now() + 10_000;
  while (said.filter((one) => one.type === type).length < times) {
    if (performance.now() > end) throw new Error(`it did not come to ${type}`);
    await yieldTurn();
  }
}

afterEach(() => vi.restoreAllMocks());

describe.skipIf(!existsSync(BUILT))('the worker', () => {
  it('flushes and compacts, off this thread', { timeout: 30_000 }, async () => {
    const started = await start();
    const { executor, directory, fallbacks, said } = started;
    const flush = flushOf(1, MANY, directory);
    let ticks = 0;
    const timer = setInterval(() => (ticks += 1), 1);
    const flushed = await executor.run(flush, numbersFrom(5));
    const output = await executor.run(compactionOf(2, [flushed.tables], directory), numbersFrom(10));
    clearInterval(timer);
    expect(flushed.tables).toMatchObject([{ fileNumber: 5, entryCount: MANY }]);
    expect(output).toMatchObject({ entriesRead: MANY, entriesDropped: 0 });
    expect(output.tables.map(({ fileNumber }) => fileNumber)).toEqual(output.tables.map((_, index) => 10 + index));
    expect(said.map(({ type }) => type)).toEqual(
      ['run', 'fileNumber', 'run', ...output.tables.map(() => 'fileNumber')], // prettier-ignore
    );
    expect(ticks).toBeGreaterThan(20);
    expect(fallbacks).toEqual([]);
    await executor.close();
    expect(fallbacks).toEqual([]);
    expect(readdirSync(directory)).toHaveLength(1 + output.tables.length);
  });

  it('is not started for a small flush', async () => {
    const { executor, directory, said } = await start();
    const { tables } = await executor.run(flushOf(1, 100, directory), numbersFrom(5));
    expect(tables).toHaveLength(1);
    expect(said).toEqual([]);
    await executor.close();
  });

  it('lets a flush go before a compaction', { timeout: 30_000 }, async () => {
    const started = await start();
    const { executor, directory } = started;
    const { tables } = await executor.run(flushOf(1, MANY, directory), numbersFrom(5));
    const ended: string[] = [];
    const compaction = executor
      .run(compactionOf(2, [tables], directory), numbersFrom(10))
      .then(() => ended.push('compaction'));
    await hasSaid(started, 'fileNumber', 2);
    const flush = executor.run(flushOf(3, 5000, directory), numbersFrom(50)).then(() => ended.push('flush'));
    await Promise.all([compaction, flush]);
    expect(ended).toEqual(['flush', 'compaction']);
    await executor.close();
  });

  it('calls off one job, and no other', { timeout: 30_000 }, async () => {
    const started = await start();
    const { executor, directory } = started;
    const { tables } = await executor.run(flushOf(1, MANY, directory), numbersFrom(5));
    const called = executor.run(compactionOf(2, [tables], directory), numbersFrom(10));
    await hasSaid(started, 'fileNumber', 2);
    const flush = executor.run(flushOf(3, 20_000, directory), numbersFrom(50));
    executor.callOff(2);
    await expect(called).rejects.toMatchObject({ code: 'ABORTED' });
    expect((await flush).tables).toHaveLength(1);
    executor.callOff(2); // has long ended
    expect(readdirSync(directory).sort()).toEqual(['000005.ldb', '000050.ldb']);
    await executor.close();
  });

  it('that dies in the middle of a job: the job is done here, and that is told once', { timeout: 30_000 }, async () => {
    const started = await start();
    const { executor, directory, fallbacks, worker } = started;
    const { tables } = await executor.run(flushOf(1, MANY, directory), numbersFrom(5));
    const jobs = [
      executor.run(compactionOf(2, [tables], directory), numbersFrom(10)),
      executor.run(flushOf(3, 20_000, directory), numbersFrom(50)),
    ];
    await hasSaid(started, 'fileNumber', 2);
    let ticks = 0;
    const timer = setInterval(() => (ticks += 1), 1);
    await worker().terminate();
    const [compacted, flushed] = await Promise.all(jobs);
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(5); // in slices
    expect(fallbacks).toHaveLength(1);
    expect(compacted).toMatchObject({ entriesRead: MANY });
    expect(flushed?.tables).toMatchObject([{ entryCount: 20_000 }]);
    // No number is given twice: the dead worker may have made the file of the first one.
    const [first] = compacted?.tables ?? [];
    expect(first?.fileNumber).toBeGreaterThanOrEqual(10);
    const cache = tableCacheOf(new NodeFileSystem(), 100, 1e6, directory);
    let entries = 0;
    for (const meta of compacted?.tables ?? []) {
      const table = await cache.acquire(meta);
      const iterator = table.iterator({ isCacheFilled: false, readAheadBytes: 100_000 });
      for (await iterator.seekToFirst(); iterator.isValid; await iterator.next()) entries += 1;
      cache.release(table);
    }
    await cache.closeAll();
    expect(entries).toBe(MANY);
    // And it stays so: no second worker.
    const later = await executor.run(flushOf(4, MANY, directory), numbersFrom(60));
    expect(later.tables).toHaveLength(1);
    expect(fallbacks).toHaveLength(1);
    await executor.close();
  });

  it('rejects with the error of the job, of its class', { timeout: 30_000 }, async () => {
    const { executor, directory } = await start();
    const missing = { ...compactionOf(1, [], directory), directory: `${directory}/nowhere` };
    const { tables } = await executor.run(flushOf(2, MANY, directory), numbersFrom(5));
    const error: unknown = await executor.run({ ...missing, runs: [tables] }, numbersFrom(10)).catch((e: unknown) => e);
    expect(error).toMatchObject({ name: 'IoError', code: 'IO', systemCode: 'ENOENT' });
    await executor.close();
  });

  it('is ended by close, and so are its jobs', { timeout: 30_000 }, async () => {
    const started = await start();
    const { executor, directory, fallbacks, worker } = started;
    const { tables } = await executor.run(flushOf(1, MANY, directory), numbersFrom(5));
    const outcome = executor.run(compactionOf(2, [tables], directory), numbersFrom(10)).catch((e: unknown) => e);
    await hasSaid(started, 'fileNumber', 2);
    await executor.close();
    expect(await outcome).toMatchObject({ code: 'ABORTED' });
    expect(worker().threadId).toBe(-1); // it has exited
    expect(fallbacks).toEqual([]);
  });
});

describe('without a worker', () => {
  it('the work is done here: from the sources there is none to start', async () => {
    const { WorkerExecutor: FromSource } = await import('../../../src/storage/compaction/worker-executor.ts');
    const fallbacks: unknown[] = [];
    const executor = new FromSource({
      fileSystem: new NodeFileSystem(),
      sliceMs: 4,
      now: () => performance.now(),
      yieldTurn,
      onFallback: (reason) => fallbacks.push(reason),
    });
    const { tables } = await executor.run(flushOf(1, MANY, newDirectory()), numbersFrom(5));
    expect(tables).toMatchObject([{ entryCount: MANY }]);
    expect(fallbacks).toHaveLength(1);
    await executor.close();
  });
});
