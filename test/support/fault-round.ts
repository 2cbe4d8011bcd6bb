/** A small workload on a file system that fails as planned: what it is answered, and what is left of it afterwards. */
import { afterAll, beforeAll, expect } from 'vitest';
import type { CrashMode } from '../../src/storage/file-system/memory-crash.ts';
import { EngineError, type EngineEvent, open, type OpenOptions, type Store } from '../../src/index.ts';
import { changesUpTo, historyViolation } from './change-log.ts';
import { contentOf, DIRECTORY } from './crash-workload.ts';
import { FaultFileSystem, type FaultPlan } from './fault-file-system.ts';
import { strayFiles } from './file-census.ts';
import { randomOf } from './runs.ts';
import { type TextEntry, textOf } from './sorted-model.ts';
import { TrackedWrites, violation } from './tracked-writes.ts';

const OPTIONS: OpenOptions = {
  memtableBytesMax: 1024,
  waitingMemtablesMax: 1,
  level0CompactionTrigger: 2,
  level0SlowdownTrigger: 4,
  level0StopTrigger: 6,
  level1BytesMax: 1024,
  tableBytesMax: 1024,
  blockBytesMax: 100,
  manifestBytesMax: 1024,
  openTablesMax: 4,
  blockCacheBytesMax: 0,
  syncIntervalMs: 5,
};

/** Longest time, in milliseconds, that an operation may take: some retries, on a busy machine. */
const ANSWER_MS = 20_000;

/** Written after a crash. */
const AFTER = 'after';

const rejections: unknown[] = [];
const note = (reason: unknown): void => void rejections.push(reason);

/** Notes what nobody caught, from before the tests of the file until after them. */
export function watchRejections(): void {
  beforeAll(() => void process.on('unhandledRejection', note));
  afterAll(() => void process.off('unhandledRejection', note));
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function inTime<T>(what: string, work: PromiseLike<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no answer within ${ANSWER_MS} ms`)), ANSWER_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** An error that a caller may get while the disk fails: where bytes are missing, it looks like damage. */
function expectTyped(error: unknown, isShort: boolean): void {
  expect(error).toBeInstanceOf(EngineError);
  const codes = ['IO', 'NO_SPACE', 'READ_ONLY', 'CLOSED', 'ABORTED', ...(isShort ? ['CORRUPTION'] : [])];
  expect(codes).toContain((error as EngineError).code);
}

/** What one round did and found. */
export class Round {
  readonly fileSystem: FaultFileSystem = new FaultFileSystem();
  readonly tracked: TrackedWrites;
  readonly events: EngineEvent[] = [];
  /** Failures of anything but writes, which keep theirs. */
  readonly failures: unknown[] = [];
  readonly #random: () => number;
  readonly #isPassing: boolean;
  /** Whether reads give too few bytes: then an error may say that they are damaged. */
  #isShort = false;

  /** @param isPassing - whether the disk is sound again after the failure */
  constructor(seed: number, isPassing: boolean) {
    this.#isPassing = isPassing;
    this.#random = randomOf(seed);
    this.tracked = new TrackedWrites(this.#random);
  }

  async #try<T>(what: string, work: () => PromiseLike<T>): Promise<T | undefined> {
    try {
      return await inTime(what, work());
    } catch (error) {
      this.failures.push(error);
      return undefined;
    }
  }

  open(): Promise<Store | undefined> {
    this.events.length = 0; // what a store before this one said is over
    const onEvent = (event: EngineEvent): void => void this.events.push(event);
    return this.#try('open', () => open(DIRECTORY, { ...OPTIONS, fileSystem: this.fileSystem, onEvent }));
  }

  async run(): Promise<void> {
    this.#isShort = this.fileSystem.plan?.code === 'short';
    for (let opening = 0; opening < 2; opening += 1) {
      const store = await this.open();
      if (store === undefined) continue;
      for (let burst = 0; burst < 4; burst += 1) await this.#burst(store);
      const flushed = this.#try('flush', () => store.flush());
      await this.#burst(store);
      const compacted = this.#try('compact', () => store.compact());
      await this.#burst(store);
      // A disk that is broken for good lets neither end; the close does.
      await Promise.race([Promise.all([flushed, compacted]), pause(40)]);
      await this.#checkReads(store);
      if (this.#isPassing) await this.#resume(store);
      const last = this.#burst(store);
      const closed = this.#try('close', () => store.close());
      await Promise.all([last, closed, flushed, compacted]);
    }
  }

  /** After a failure that has passed: soon writes are taken again, and if there was an event before, there is one now. */
  async #resume(store: Store): Promise<void> {
    const { plan } = this.fileSystem;
    const isRefused = (): boolean =>
      this.events.findLast(({ type }) => type.startsWith('writes'))?.type === 'writesRefused';
    const hasResumed = async (): Promise<void> => {
      while (isRefused() || (await this.tracked.issue(store, 'synced')).state === 'failed') await pause(5);
    };
    await inTime('a write after the failure has passed', hasResumed());
    const hadFailed = this.events.some(({ type }) => type === 'writesRefused');
    for (let burst = 0; burst < 4; burst += 1) {
      await this.#burst(store); // a flush that failed may still be waiting
      if (hadFailed) await this.#checkCrash(burst, ['all']); // each of the next logs is of the time after the failure
    }
    await inTime('a write after a rotation', hasResumed());
    this.fileSystem.plan = undefined; // what has not failed by now is not to fail in the check
    await this.#checkHistory(store, await contentOf(store), this.tracked.writes.at(-1)?.sequence ?? 0);
    this.fileSystem.plan = plan;
    await this.#checkCrash(this.tracked.writes.length, ['all', 'synced']); // with logs and manifests of the time after it
  }

  async #burst(store: Store): Promise<void> {
    const writes = Array.from({ length: 3 }, (_, index) =>
      this.tracked.issue(store, index === 1 ? 'buffered' : 'synced'),
    );
    for (const write of await inTime('a write', Promise.all(writes))) {
      if (write.state === 'failed') expectTyped(write.failure, this.#isShort);
    }
  }

  /** What can be read is what was acknowledged. */
  async #checkReads(store: Store): Promise<void> {
    const entries = await this.#try('scan', () => contentOf(store));
    if (entries === undefined) return;
    const states = this.tracked.states();
    expect(violation(this.tracked.writes, { states, isKill: true, durableSequence: 0 }, entries)).toBeUndefined();
  }

  /** After the close: nothing is left, and what was acknowledged survives. */
  async checkRemains(seed: number): Promise<void> {
    const { fileSystem } = this;
    for (const failure of this.failures) expectTyped(failure, this.#isShort);
    expect(fileSystem.openPaths, 'open files').toEqual([]);
    expect(fileSystem.locks, 'locks').toBe(0);
    fileSystem.isFinished = true;
    await pause(2);
    expect(fileSystem.lateCalls, 'calls after the close').toEqual([]);
    await this.#checkCrash(seed, ['all', 'synced', 'prefix', 'sectors']);
  }

  /** The changes from the start on are those of the writes that are there. */
  async #checkHistory(store: Store, entries: readonly TextEntry[], last: number): Promise<void> {
    const changes = await inTime('changes', changesUpTo(store, 'start', last));
    const ofWrites = changes.filter(({ key }) => textOf(key) !== AFTER);
    expect(historyViolation(this.tracked.writes, entries, ofWrites)).toBeUndefined();
  }

  /** What was acknowledged survives a crash now, when no write waits. */
  async #checkCrash(seed: number, modes: readonly CrashMode[]): Promise<void> {
    const { fileSystem, tracked } = this;
    for (const mode of modes) {
      const image = fileSystem.memory.crashImage(mode, randomOf(seed));
      const store = await open(DIRECTORY, { ...OPTIONS, fileSystem: image });
      expect(await strayFiles(image, DIRECTORY), mode).toBeUndefined();
      const demand = { states: tracked.states(), isKill: mode === 'all', durableSequence: 0 };
      const entries = await contentOf(store);
      expect(violation(tracked.writes, demand, entries), mode).toBeUndefined();
      const commit = await store.set(AFTER, 'all');
      expect(commit.durability).toBe('synced');
      await this.#checkHistory(store, entries, commit.sequence);
      await store.close();
    }
  }
}

/** Runs it, and checks what is left. @throws what is wrong */
export async function round(
  what: string,
  seed: number,
  plan: (fileSystem: FaultFileSystem) => FaultPlan,
  isPassing = false,
): Promise<Round> {
  const one = new Round(seed, isPassing);
  one.fileSystem.plan = plan(one.fileSystem);
  try {
    await one.run();
    one.fileSystem.plan = undefined;
    await one.checkRemains(seed);
    await new Promise(setImmediate);
    expect(rejections.splice(0), 'unhandled rejections').toEqual([]);
  } catch (error) {
    throw new Error(`${what}: ${String(error)}`, { cause: error });
  }
  return one;
}
