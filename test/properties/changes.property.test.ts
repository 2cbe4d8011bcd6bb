// Goal: whoever follows the changes, from wherever and however slowly, is given what was committed from that place on:
// each change once, in the one order, batches whole, whatever runs beside it: rotation, flush, compaction, retention,
// reopening, a killed process, a power cut. Its last cursor leads on after each of them, or says that its place was lost.
// Method: random commands on a store with tiny buffers and absurd options, and on a list of what was committed; once with
// a file system that answers at once, once with fc.scheduler deciding which file call happens next.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type ChangesFrom,
  type ChangesOptions,
  type Commit,
  type FileSystem,
  HistoryGoneError,
  InvalidCursorError,
  MemoryFileSystem,
  open,
  type OpenOptions,
  type Store,
  type WriteOperation,
} from '../../src/index.ts';
import { CommittedChanges, Follower } from '../support/change-followers.ts';
import { DelayedFileSystem } from '../support/delayed-file-system.ts';
import { randomOptions, TINY } from '../support/option-sets.ts';
import { PROPERTY_MS, randomOf, runsOf } from '../support/runs.ts';
import { SetClock } from '../support/set-clock.ts';
import { bytesOf, type ModelChange, textOf } from '../support/sorted-model.ts';
import { modelChangeOf, scanStore } from '../support/store-commands.ts';

type From = 'now' | 'start' | 'snapshot' | 'cursor' | 'number' | 'date';
type Command =
  | { readonly do: 'write'; readonly lines: readonly Line[]; readonly isSynced: boolean; readonly isAwaited: boolean }
  | { readonly do: 'follow'; readonly slot: number; readonly from: From; readonly pick: number; readonly how: How }
  | { readonly do: 'read'; readonly slot: number; readonly pages: number }
  | { readonly do: 'unfollow'; readonly slot: number }
  | { readonly do: 'tick'; readonly ms: number }
  | { readonly do: 'flush' | 'compact' | 'reopen' | 'kill' }
  | { readonly do: 'powerCut'; readonly seed: number };
interface Line {
  readonly key: string;
  readonly valueBytes: number | undefined;
}
interface How {
  readonly way: 'values' | 'pages' | 'push';
  readonly durability: 'buffered' | 'synced';
  readonly bufferChangesMax: number;
  readonly bufferBytesMax: number;
  readonly range: Pick<ChangesOptions, 'gt' | 'gte' | 'lt' | 'lte'>;
}

const key = fc.constantFrom('', 'a', 'ab', 'b', 'c', 'c\0', '\xff');
const slot = fc.integer({ min: 0, max: 3 });
const line: fc.Arbitrary<Line> = fc.record({
  key,
  valueBytes: fc.option(fc.constantFrom(0, 3, 40, 400), { nil: undefined, freq: 4 }),
});
const how: fc.Arbitrary<How> = fc.record({
  way: fc.constantFrom('values', 'pages', 'push'),
  durability: fc.constantFrom('buffered', 'buffered', 'synced'),
  bufferChangesMax: fc.constantFrom(1, 2, 5, 1000),
  bufferBytesMax: fc.constantFrom(1, 300, 1_000_000),
  range: fc.oneof(
    { weight: 3, arbitrary: fc.constant({}) },
    { weight: 1, arbitrary: key.map((k) => ({ gte: bytesOf(k), lte: bytesOf(k) })) },
    {
      weight: 1,
      arbitrary: fc.record(
        { gt: key.map(bytesOf), gte: key.map(bytesOf), lt: key.map(bytesOf), lte: key.map(bytesOf) },
        { requiredKeys: [] },
      ),
    },
  ),
});
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 40,
    arbitrary: fc.record({
      do: fc.constant('write'),
      lines: fc.array(line, { minLength: 1, maxLength: 5 }),
      isSynced: fc.boolean(),
      isAwaited: fc.boolean(),
    }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      do: fc.constant('follow'),
      slot,
      from: fc.constantFrom<From>('now', 'start', 'snapshot', 'cursor', 'number', 'date'),
      pick: fc.nat(),
      how,
    }),
  },
  { weight: 20, arbitrary: fc.record({ do: fc.constant('read'), slot, pages: fc.integer({ min: 1, max: 3 }) }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('unfollow'), slot }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('tick'), ms: fc.constantFrom(1, 10, 25, -5) }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constantFrom('flush', 'compact') }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('reopen', 'kill') }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('powerCut'), seed: fc.nat() }) },
);
const commands = (maxLength: number): fc.Arbitrary<Command[]> => fc.array(command, { maxLength, size: 'max' });

const KIB = 1024;
/** Small memtables, so that there are many segments; history without a limit, or with hardly any. */
const storeOptions: fc.Arbitrary<OpenOptions> = fc
  .tuple(fc.oneof(fc.constant(TINY), randomOptions), fc.constantFrom(undefined, undefined, 0, 2 * KIB))
  .map(([options, historyBytesMax]) => ({
    ...options,
    memtableBytesMax: KIB,
    syncIntervalMs: 1,
    ...(historyBytesMax === undefined ? {} : { historyBytesMax, historyHardBytesMax: historyBytesMax }),
  }));

const DIRECTORY = '/data';
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

/** How often each of the rarer things happened, over all runs: a property that never met them would say nothing. */
const met = new Map<string, number>();
const meet = (what: string): void => void met.set(what, (met.get(what) ?? 0) + 1);

class Run {
  readonly #options: OpenOptions;
  readonly #isHistoryShort: boolean;
  readonly #wrap: (memory: MemoryFileSystem) => FileSystem;
  readonly #clock = new SetClock();
  readonly #committed = new CommittedChanges();
  readonly #followers = new Map<number, Follower>();
  /** Follows everything, from the beginning, over every reopening. */
  #witness: Follower | undefined;
  /** Cursors and times that were seen, with the sequence number that they stand behind or for. */
  readonly #cursors: { readonly cursor: ChangesFrom; readonly sequence: number }[] = [];
  readonly #times: { readonly timeMs: number; readonly sequence: number }[] = [];
  readonly #writes: Promise<void>[] = [];
  #durable = 0;
  #memory = new MemoryFileSystem();
  #store: Store | undefined;
  #value = 0;

  constructor(options: OpenOptions, wrap: (memory: MemoryFileSystem) => FileSystem) {
    this.#options = options;
    this.#isHistoryShort = options.historyBytesMax !== undefined;
    this.#wrap = wrap;
  }

  get #opened(): Store {
    if (this.#store === undefined) throw new Error('the store is not open');
    return this.#store;
  }

  async run(list: readonly Command[]): Promise<void> {
    await this.#open();
    for (const one of list) await this.#step(one);
    await this.#end();
    await this.#opened.close();
  }

  async #step(one: Command): Promise<void> {
    const store = this.#opened;
    switch (one.do) {
      case 'write': {
        const written = this.#write(one.lines, one.isSynced);
        this.#writes.push(written);
        return one.isAwaited ? written : undefined;
      }
      case 'follow':
        await this.#unfollow(one.slot);
        return this.#follow(one.slot, one.from, one.pick, one.how);
      case 'read': {
        for (let page = 0; page < one.pages; page += 1) await this.#followers.get(one.slot)?.read(turn());
        return;
      }
      case 'unfollow':
        return this.#unfollow(one.slot);
      case 'tick':
        this.#clock.dateMs += one.ms;
        return;
      case 'flush':
        return store.flush();
      case 'compact':
        return store.compact();
      case 'reopen':
        return this.#reopen(async () => store.close());
      case 'kill':
        return this.#reopen(async () => {
          const image = this.#memory.crashImage('all', () => 0.5);
          await store.close();
          this.#memory = image;
        });
      case 'powerCut': {
        const random = randomOf(one.seed);
        const modes = ['synced', 'zeros', 'prefix', 'sectors'] as const;
        const mode = modes[one.seed % modes.length] ?? 'synced';
        return this.#reopen(async () => {
          const image = this.#memory.crashImage(mode, random);
          await store.close();
          this.#memory = image;
        }, true);
      }
    }
  }

  async #write(lines: readonly Line[], isSynced: boolean): Promise<void> {
    const operations = lines.map(({ key: name, valueBytes }): WriteOperation => {
      if (valueBytes === undefined) return { type: 'delete', key: bytesOf(name) };
      return { type: 'set', key: bytesOf(name), value: bytesOf(`${(this.#value += 1)}`.padEnd(valueBytes, '-')) };
    });
    // Tells every state from every other, so that what a power cut has left is known.
    operations.push({ type: 'set', key: bytesOf('~'), value: bytesOf(`${(this.#value += 1)}`) });
    const commit = await this.#opened.write(operations, { durability: isSynced ? 'synced' : 'buffered' });
    this.#note(operations, commit);
  }

  #note(operations: readonly WriteOperation[], { sequence: last, durability }: Commit): void {
    const first = last - operations.length + 1;
    expect(first).toBeGreaterThan(this.#committed.last);
    operations.forEach((operation, batchIndex) => {
      if (operation.type === 'check') return;
      const value = operation.type === 'set' ? textOf(operation.value) : undefined;
      const batchSize = operations.length;
      const change: ModelChange = {
        type: operation.type,
        key: textOf(operation.key),
        value,
        sequence: first + batchIndex,
        batchIndex,
        batchSize,
      };
      this.#committed.changes.push(change);
    });
    if (durability === 'synced') this.#durable = last;
  }

  #follow(where: number, kind: From, pick: number, { range, way, ...rest }: How): void {
    const store = this.#opened;
    const snapshot = store.snapshot();
    const { sequence: visible } = snapshot;
    snapshot.close();
    let from: ChangesFrom = 'now';
    let position: number | undefined = visible;
    const cursor = this.#cursors[pick % Math.max(1, this.#cursors.length)];
    const time = this.#times[pick % Math.max(1, this.#times.length)];
    if (kind === 'start' || kind === 'snapshot') {
      from = kind;
      position = undefined;
    } else if (kind === 'cursor' && cursor !== undefined) {
      from = cursor.cursor;
      position = cursor.sequence;
    } else if (kind === 'number') {
      // Any number, or one around a change: most numbers may have been burnt.
      const change = this.#committed.changes[pick % Math.max(1, this.#committed.changes.length)];
      from = pick % 3 === 0 ? pick % (visible + 2) : Math.min(visible + 1, (change?.sequence ?? 0) + (pick % 2));
      position = Math.max(from, 1) - 1;
    } else if (kind === 'date' && time !== undefined) {
      const wanted = time.timeMs + (pick % 3) - 1;
      const first = this.#times.find(({ timeMs }) => timeMs >= wanted);
      // What the witness has not seen yet may be early enough.
      if (first === undefined || first.sequence > this.#committed.last) return;
      from = new Date(wanted);
      position = first.sequence - 1;
    }
    meet(kind);
    this.#followers.set(where, new Follower(store, { ...range, ...rest, from }, position, way));
  }

  async #settle(): Promise<void> {
    await Promise.all(this.#writes.splice(0));
  }

  /** Stops it; it was right so far. */
  async #unfollow(where: number): Promise<void> {
    const follower = this.#followers.get(where);
    if (follower === undefined) return;
    this.#followers.delete(where);
    await follower.close();
    await this.#settle();
    this.#check(follower);
    const given = follower.changes.length;
    await turn();
    expect(follower.changes.length).toBe(given);
  }

  #check(follower: Follower): void {
    follower.check(this.#committed);
    for (const { cursor, sequence } of follower.changes) {
      if (this.#cursors.length < 50) this.#cursors.push({ cursor, sequence });
    }
    if (follower.error === undefined) return;
    if (!(follower.error instanceof HistoryGoneError) || !this.#isHistoryShort) throw follower.error;
    expect(follower.error.sequence).toBeLessThan(follower.error.oldest);
    meet('history gone');
  }

  async #open(): Promise<void> {
    const fileSystem = this.#wrap(this.#memory);
    const store = await open(DIRECTORY, { ...this.#options, fileSystem, clock: this.#clock });
    this.#store = store;
    const position = this.#committed.last;
    this.#witness = new Follower(store, { from: 'now' }, position, 'push');
  }

  /** Everybody resumes behind what it has, or is told that its place was lost. */
  async #reopen(end: () => Promise<void>, isPowerCut = false): Promise<void> {
    await this.#settle();
    await this.#drainWitness();
    const before = [...this.#followers];
    this.#followers.clear();
    await end();
    for (const [, follower] of before) {
      await follower.close();
      // Who was at the rows of a snapshot is told that there are no more.
      const isCut = follower.options.from === 'snapshot' && follower.snapshotSequence === undefined;
      if (isCut && follower.error !== undefined) expect(follower.error).toMatchObject({ code: 'CLOSED' });
      else this.#check(follower);
    }
    await this.#open();
    if (isPowerCut) await this.#forgetLost();
    for (const [where, follower] of before) {
      if (follower.error !== undefined || follower.cursor === undefined || follower.position === undefined) continue;
      const { from: _before, ...options } = follower.options;
      const sequence = follower.changes.at(-1)?.sequence ?? follower.position;
      const resumed = new Follower(this.#opened, { ...options, from: follower.cursor }, sequence, follower.way);
      await resumed.read(turn());
      const isLost = sequence > this.#committed.last && isPowerCut;
      if (isLost) {
        if (options.durability === 'synced') throw new Error(`what was durable, ${sequence}, was lost`);
        await resumed.drain(new CommittedChanges(), false).catch(() => undefined);
        for (let wait = 0; wait < 1000 && !resumed.isOver; wait += 1) await resumed.read(turn()).then(turn);
        expect(resumed.error).toBeInstanceOf(InvalidCursorError);
        expect(resumed.error).toMatchObject({ fault: 'droppedEpoch' });
        meet('dropped epoch');
      } else {
        meet('resumed');
        this.#followers.set(where, resumed);
      }
    }
  }

  async #drainWitness(): Promise<void> {
    const witness = this.#witness;
    if (witness === undefined) return;
    await witness.drain(this.#committed, false);
    for (const { timeMs, sequence, cursor } of witness.changes) {
      this.#times.push({ timeMs, sequence });
      if (sequence % 3 === 0 && this.#cursors.length < 200) this.#cursors.push({ cursor, sequence });
    }
    await witness.close();
  }

  /** What the power took: never a part of a batch, never what was durable, never what others came behind. */
  async #forgetLost(): Promise<void> {
    const { changes } = this.#committed;
    const content = await scanStore(this.#opened, { way: 'pull' });
    const ends = changes
      .filter(({ batchIndex, batchSize }) => batchIndex === batchSize - 1)
      .map(({ sequence }) => sequence);
    const candidates = [0, ...ends].filter((sequence) => sequence >= this.#durable);
    const fitting = candidates.filter(
      (sequence) => JSON.stringify(this.#committed.entriesAt(sequence).entries) === JSON.stringify(content),
    );
    expect(fitting).toHaveLength(1);
    const last = fitting[0] ?? 0;
    const lost = changes.filter(({ sequence }) => sequence > last);
    if (lost.length > 0) meet('lost');
    this.#committed.changes = changes.filter(({ sequence }) => sequence <= last);
    const isKept = ({ sequence }: { readonly sequence: number }): boolean => sequence <= last;
    this.#cursors.splice(0, Infinity, ...this.#cursors.filter(isKept));
    const all = new Follower(this.#opened, { from: 'start' }, this.#isHistoryShort ? undefined : 0, 'pages');
    await all.drain(this.#committed, this.#isHistoryShort);
    await all.close();
    // The index is not synced: times may have become less exact.
    this.#times.length = 0;
  }

  async #end(): Promise<void> {
    await this.#settle();
    await this.#drainWitness();
    for (const [, follower] of this.#followers) {
      await follower.drain(this.#committed, this.#isHistoryShort);
      if (follower.error === undefined) meet(`whole ${follower.way}`);
    }
    if (this.#isHistoryShort) return;
    const all = new Follower(this.#opened, { from: 'start' }, 0, 'pages');
    await all.drain(this.#committed, false);
    expect(all.changes.map(modelChangeOf)).toEqual(this.#committed.changes);
    await all.close();
  }
}

describe('followers of the change stream', () => {
  it('are given what was committed, from every place, at every pace', { timeout: PROPERTY_MS * 2 }, async () => {
    met.clear();
    await fc.assert(
      fc.asyncProperty(commands(60), storeOptions, (list, options) => new Run(options, (memory) => memory).run(list)),
      runsOf(300),
    );
    for (const what of [
      'now',
      'start',
      'snapshot',
      'cursor',
      'number',
      'date',
      'resumed',
      'history gone',
      'lost',
      'dropped epoch',
    ]) {
      expect(met.get(what) ?? 0, what).toBeGreaterThan(0);
    }
    for (const way of ['values', 'pages', 'push']) expect(met.get(`whole ${way}`) ?? 0).toBeGreaterThan(0);
  });

  it('are so however the file system answers', { timeout: PROPERTY_MS * 2 }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), commands(30), storeOptions, async (scheduler, list, options) => {
        const later = (call: string): Promise<unknown> => scheduler.schedule(Promise.resolve(), call);
        const state = { isDone: false };
        const run = new Run(options, (memory) => new DelayedFileSystem(memory, later)).run(list);
        const finished = run.finally(() => (state.isDone = true));
        finished.catch(() => undefined);
        while (!state.isDone) {
          if (scheduler.count() > 0) await scheduler.waitNext(1);
          await turn();
        }
        await finished;
      }),
      runsOf(100),
    );
  });
});
