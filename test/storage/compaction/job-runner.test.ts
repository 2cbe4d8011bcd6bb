// Goal: on one thread, a flush goes before a compaction, a job that is called off stops, and nobody keeps the event loop.
import { describe, expect, it } from 'vitest';
import { AbortedError } from '../../../src/errors.ts';
import { InlineExecutor } from '../../../src/storage/compaction/executor.ts';
import { JobRunner } from '../../../src/storage/compaction/job-runner.ts';
import { compactionOf, flushOf } from '../../support/table-jobs.ts';
import { FaultFileSystem } from '../../support/fault-file-system.ts';

const yieldTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function setUp(sliceMs = 4): Promise<{ fileSystem: FaultFileSystem; runner: JobRunner; turns: () => number }> {
  const fileSystem = new FaultFileSystem();
  await fileSystem.makeDirectory('/db');
  let turns = 0;
  const runner = new JobRunner({
    fileSystem,
    sliceMs,
    now: () => performance.now(),
    yieldTurn: () => {
      turns += 1;
      return yieldTurn();
    },
  });
  return { fileSystem, runner, turns: () => turns };
}

const numbersFrom = (first: number): (() => number) => {
  let next = first;
  return () => next++;
};

describe('jobs on one thread', () => {
  it('write the tables that they say, and give the event loop its turns', async () => {
    const { fileSystem, runner, turns } = await setUp(1);
    let ticks = 0;
    const timer = setInterval(() => (ticks += 1), 1);
    const flushed = await runner.run(flushOf(1, 30_000), numbersFrom(5));
    clearInterval(timer);
    expect(flushed.tables).toMatchObject([{ fileNumber: 5, entryCount: 30_000 }]);
    expect(turns()).toBeGreaterThan(2);
    expect(ticks).toBeGreaterThan(0);
    const compacted = await runner.run(compactionOf(2, [flushed.tables]), numbersFrom(6));
    expect(compacted).toMatchObject({ entriesRead: 30_000, entriesDropped: 0 });
    expect(compacted.tables.length).toBeGreaterThan(1);
    expect(fileSystem.openPaths).toEqual([]);
  });

  it('of a flush go before a compaction that is under way, also when they are longer', async () => {
    const { runner } = await setUp(0.2);
    const { tables } = await runner.run(flushOf(1, 15_000), numbersFrom(5));
    const flushes = [flushOf(3, 40_000), flushOf(4, 40_000)];
    const ended: string[] = [];
    const compaction = runner.run(compactionOf(2, [tables]), numbersFrom(10)).then(() => ended.push('compaction'));
    await yieldTurn();
    const flushed = flushes.map((job) => runner.run(job, numbersFrom(100 + job.jobId)).then(() => ended.push('flush')));
    await Promise.all([compaction, ...flushed]);
    expect(ended).toEqual(['flush', 'flush', 'compaction']);
  });

  it('do not wait for ever behind a flush that fails', async () => {
    const { fileSystem, runner } = await setUp(1);
    const { tables } = await runner.run(flushOf(1, 20_000), numbersFrom(5));
    const compaction = runner.run(compactionOf(2, [tables]), numbersFrom(10));
    fileSystem.plan = { code: 'EIO', arrives: 0, isHit: ({ path }) => path.endsWith('000103.ldb') };
    await expect(runner.run(flushOf(3, 1000), numbersFrom(103))).rejects.toMatchObject({ code: 'IO' });
    expect((await compaction).entriesRead).toBe(20_000);
  });

  it('that are called off end with AbortedError, leave no file, and others go on', async () => {
    const { fileSystem, runner } = await setUp(1);
    const { tables } = await runner.run(flushOf(1, 30_000), numbersFrom(5));
    const files = fileSystem.memory.paths();
    const compaction = runner.run(compactionOf(2, [tables]), numbersFrom(10));
    await yieldTurn();
    runner.callOff(2);
    runner.callOff(99); // nobody
    await expect(compaction).rejects.toBeInstanceOf(AbortedError);
    expect(fileSystem.memory.paths()).toEqual(files);
    expect(fileSystem.openPaths).toEqual([]);
    expect((await runner.run(compactionOf(2, [tables]), numbersFrom(20))).entriesRead).toBe(30_000);
  });

  it('that are called off while they wait for a flush end, too', async () => {
    const { runner } = await setUp(1);
    const { tables } = await runner.run(flushOf(1, 20_000), numbersFrom(5));
    const compaction = runner.run(compactionOf(2, [tables]), numbersFrom(10));
    const flush = runner.run(flushOf(3, 20_000), numbersFrom(50));
    await yieldTurn();
    runner.callOff(2);
    await expect(compaction).rejects.toBeInstanceOf(AbortedError);
    expect((await flush).tables).toHaveLength(1);
  });
});

describe('the executor on the calling thread', () => {
  it('calls off what runs when it is closed, and waits for it', async () => {
    const { fileSystem } = await setUp();
    const executor = new InlineExecutor({ fileSystem, sliceMs: 1, now: () => performance.now(), yieldTurn });
    const { tables } = await executor.run(flushOf(1, 30_000), numbersFrom(5));
    const outcome = executor.run(compactionOf(2, [tables]), numbersFrom(10)).catch((error: unknown) => error);
    await yieldTurn();
    await executor.close();
    expect(fileSystem.openPaths).toEqual([]);
    expect(await outcome).toBeInstanceOf(AbortedError);
    executor.callOff(2); // nobody any more
  });
});
