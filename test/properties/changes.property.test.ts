// Goal: whoever follows the changes, from wherever and however slowly, is given what was committed from that place on:
// each change once, in the one order, batches whole, whatever runs beside it: rotation, flush, compaction, retention,
// reopening, a killed process, a power cut. Its last cursor leads on after each of them, or says that its place was lost.
// Method: random commands on a store with tiny buffers and absurd options, and on a list of what was committed; once with
// a file system that answers at once, once with fc.scheduler deciding which file call happens next.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BufferOverflowError,
  type Change,
  type ChangesFrom,
  type ChangesOptions,
  type ChangesOverflow,
  ClosedError,
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
import { CommittedChanges, Follower, type Place, startOf, type Way } from '../support/change-followers.ts';
import { DelayedFileSystem } from '../support/delayed-file-system.ts';
import { randomOptions, TINY } from '../support/option-sets.ts';
import { PROPERTY_MS, randomOf, runsOf } from '../support/runs.ts';
import { SetClock } from '../support/set-clock.ts';
import { bytesOf, type ModelChange, textOf } from '../support/sorted-model.ts';
import { modelChangeOf, scanStore } from '../support/store-commands.ts';

type From = 'now' | 'start' | 'snapshot' | 'cursor' | 'number' | 'date';
type Until = 'none' | 'now' | 'cursor' | 'number';
type Command =
  | {
      readonly do: 'write';
      readonly lines: readonly Line[];
      readonly isSynced: boolean;
      readonly isAwaited: boolean;
    }
  | {
      readonly do: 'follow';
      readonly slot: number;
      readonly from: From;
      readonly until: Until;
      readonly pick: number;
      readonly how: How;
    }
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
  readonly way: Way;
  readonly durability: 'buffered' | 'synced';
  readonly overflow: ChangesOverflow;
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
  overflow: fc.constantFrom('replay', 'replay', 'replay', 'fail', 'dropOldest', 'dropNewest'),
  bufferChangesMax: fc.constantFrom(1, 2, 5, 1000),
  bufferBytesMax: fc.constantFrom(1, 300, 1_000_000),
  range: fc.oneof(
    { weight: 3, arbitrary: fc.constant({}) },
    {
      weight: 1,
      arbitrary: key.map((k) => ({ gte: bytesOf(k), lte: bytesOf(k) })),
    },
    {
      weight: 1,
      arbitrary: fc.record(
        {
          gt: key.map(bytesOf),
          gte: key.map(bytesOf),
          lt: key.map(bytesOf),
          lte: key.map(bytesOf),
        },
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
      until: fc.constantFrom<Until>('none', 'none', 'now', 'cursor', 'number'),
      pick: fc.nat(),
      how,
    }),
  },
  {
    weight: 20,
    arbitrary: fc.record({
      do: fc.constant('read'),
      slot,
      pages: fc.integer({ min: 1, max: 3 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('unfollow'), slot }) },
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant('tick'), ms: fc.constantFrom(1, 10, 25, -5) }),
  },
  {
    weight: 5,
    arbitrary: fc.record({ do: fc.constantFrom('flush', 'compact') }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constantFrom('reopen', 'kill') }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('powerCut'), seed: fc.nat() }),
  },
);
const commands = (maxLength: number): fc.Arbitrary<Command[]> => fc.array(command, { maxLength, size: 'max' });

const KIB = 1024;
/** Longer than a run: then a sync comes when somebody asks for it, and the power takes what was only buffered. */
const NEVER_MS = 5_000;
/** Small memtables, so that there are many segments; history without a limit, or with hardly any. */
const storeOptions: fc.Arbitrary<OpenOptions> = fc
  .tuple(
    fc.oneof(fc.constant(TINY), randomOptions),
    fc.constantFrom(undefined, undefined, 0, 2 * KIB),
    fc.constantFrom(1, NEVER_MS),
  )
  .map(([options, historyBytesMax, syncIntervalMs]) => ({
    ...options,
    memtableBytesMax: KIB,
    syncIntervalMs,
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
  readonly #cursors: Place[] = [];
  readonly #times: { readonly timeMs: number; readonly sequence: number }[] = [];
  readonly #writes: Promise<void>[] = [];
  #durable = 0;
  #hasLostTimes = false;
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
        return this.#follow(one.slot, one);
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
      return {
        type: 'set',
        key: bytesOf(name),
        value: bytesOf(`${(this.#value += 1)}`.padEnd(valueBytes, '-')),
      };
    });
    // Tells every state from every other, so that what a power cut has left is known.
    operations.push({
      type: 'set',
      key: bytesOf('~'),
      value: bytesOf(`${(this.#value += 1)}`),
    });
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

  async #follow(
    where: number,
    { from: kind, until, pick, how: { range, way, ...rest } }: Extract<Command, { do: 'follow' }>,
  ): Promise<void> {
    const store = this.#opened;
    const isFromStart = kind === 'start';
    let bounds = isFromStart && this.#isHistoryShort ? { lowest: await startOf(store), highest: Infinity } : undefined;
    this.#noteTimes();
    const snapshot = store.snapshot();
    const { sequence: visible } = snapshot;
    snapshot.close();
    let from: ChangesFrom = 'now';
    let position: number | undefined = visible;
    const cursor = this.#cursors[pick % Math.max(1, this.#cursors.length)];
    const time = this.#times[pick % Math.max(1, this.#times.length)];
    if (kind === 'start' || kind === 'snapshot') {
      from = kind;
      position = isFromStart && !this.#isHistoryShort ? 0 : undefined;
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
      if (this.#hasLostTimes) {
        position = undefined; // it begins where it may have been, or before
        bounds = { lowest: 1, highest: first.sequence };
      }
    }
    meet(kind);
    // How many were dropped can be told only by who knows where it begins.
    const overflow = bounds === undefined ? rest.overflow : 'replay';
    const to = this.#untilOf(until, pick, visible);
    const options = { ...range, ...rest, overflow, from, until: to.until };
    const follower = new Follower(store, options, position, way, bounds);
    follower.end = to.end;
    this.#followers.set(where, follower);
  }

  #untilOf(kind: Until, pick: number, visible: number): Pick<ChangesOptions, 'until'> & { readonly end: number } {
    const cursor = this.#cursors[pick % Math.max(1, this.#cursors.length)];
    if (kind === 'now') return { until: kind, end: visible };
    if (kind === 'cursor' && cursor !== undefined) return { until: cursor.cursor, end: cursor.sequence };
    if (kind !== 'number') return { until: undefined, end: Infinity };
    const end = Math.max(0, visible + (pick % 24) - 12);
    return { until: end, end };
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
    const given = follower.events.length;
    await turn();
    expect(follower.events.length).toBe(given);
  }

  #check(follower: Follower): void {
    follower.check(this.#committed, this.#isHistoryShort);
    for (const { cursor, sequence } of follower.changes) {
      if (this.#cursors.length < 50) this.#cursors.push({ cursor, sequence });
    }
    if (follower.error instanceof HistoryGoneError) meet('history gone');
    if (follower.error instanceof BufferOverflowError) meet('overflow');
    if (follower.events.some(({ type }) => type === 'skipped')) meet('skipped');
    if (follower.hasCompleted && follower.end !== Infinity) meet('came to its end');
    if (follower.error instanceof ClosedError) meet('closed before its end');
  }

  async #open(): Promise<void> {
    const fileSystem = this.#wrap(this.#memory);
    const store = await open(DIRECTORY, { ...this.#options, fileSystem, clock: this.#clock });
    this.#store = store;
    // Where nothing of it is kept, nobody knows how late it was, and the clock may have been put back.
    if (this.#isHistoryShort) [this.#times.length, this.#hasLostTimes] = [0, true];
    const position = this.#committed.last;
    this.#witness = new Follower(store, { from: 'now' }, position, 'push');
  }

  /** Everybody resumes behind what it has, or is told that its place was lost. */
  async #reopen(end: () => Promise<void>, isPowerCut = false): Promise<void> {
    await this.#settle();
    await this.#drainWitness();
    // What comes after this moment is not in the image: the store goes on, and syncs, until it is closed.
    const before = [...this.#followers].map(([where, follower]) => ({ where, follower, place: follower.place }));
    this.#followers.clear();
    await end();
    for (const { follower } of before) {
      await follower.close();
      // Who was at the rows of a snapshot is told that there are no more.
      const isCut = follower.options.from === 'snapshot' && follower.snapshotSequence === undefined;
      if (isCut && follower.error !== undefined) expect(follower.error).toMatchObject({ code: 'CLOSED' });
      else this.#check(follower);
    }
    await this.#open();
    const firstLost = isPowerCut ? await this.#forgetLost() : Infinity;
    for (const { where, follower, place } of before) {
      if (follower.error === undefined && place !== undefined) await this.#resume(where, follower, place, firstLost);
    }
  }

  async #resume(
    where: number,
    { options, way, end }: Follower,
    { cursor, sequence }: Place,
    firstLost: number,
  ): Promise<void> {
    // What was 'now' is a number now.
    const until = end === Infinity ? undefined : end;
    const resumed = new Follower(this.#opened, { ...options, from: cursor, until }, sequence, way);
    resumed.end = end;
    if (sequence < firstLost) {
      meet('resumed');
      this.#followers.set(where, resumed);
      return;
    }
    if (options.durability === 'synced') throw new Error(`what was durable, ${sequence}, was lost`);
    await resumed.read(turn());
    await turn();
    expect(resumed.error).toBeInstanceOf(InvalidCursorError);
    expect(resumed.error).toMatchObject({ fault: 'droppedEpoch' });
    meet('dropped epoch');
  }

  /** Waits until the witness has everything that was committed. */
  async #drainWitness(): Promise<void> {
    const witness = this.#witness;
    if (witness === undefined) return;
    await witness.drain(this.#committed);
    witness.check(this.#committed, false);
    this.#noteTimes();
    await witness.close();
  }

  /** What the witness has seen since. */
  #noteTimes(): void {
    const last = this.#times.at(-1)?.sequence ?? 0;
    for (const { timeMs, sequence, cursor } of this.#witness?.changes ?? []) {
      if (sequence <= last) continue;
      this.#times.push({ timeMs, sequence });
      if (sequence % 3 === 0 && this.#cursors.length < 200) this.#cursors.push({ cursor, sequence });
    }
  }

  /** What the power took: never a part of a batch, never what was durable, never what others came behind. */
  async #forgetLost(): Promise<number> {
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
    // The index of times is not synced.
    this.#hasLostTimes = true;
    const kept = await this.#checkAll();
    this.#times.splice(0, Infinity, ...kept.map(({ timeMs, sequence }) => ({ timeMs, sequence })));
    return lost[0]?.sequence ?? Infinity;
  }

  /** Whoever begins at the start now is given everything there is. */
  async #checkAll(): Promise<readonly Change[]> {
    const bounds = this.#isHistoryShort ? { lowest: await startOf(this.#opened), highest: Infinity } : undefined;
    const position = this.#isHistoryShort ? undefined : 0;
    const all = new Follower(this.#opened, { from: 'start' }, position, 'pages', bounds);
    await all.drain(this.#committed);
    await all.close();
    all.check(this.#committed, this.#isHistoryShort);
    if (!this.#isHistoryShort) expect(all.changes.map(modelChangeOf)).toEqual(this.#committed.changes);
    return all.changes;
  }

  async #end(): Promise<void> {
    await this.#settle();
    await this.#write([{ key: 'a', valueBytes: 0 }], true); // there is nothing that is only buffered any more
    await this.#drainWitness();
    for (const [, follower] of this.#followers) {
      await follower.drain(this.#committed);
      await follower.close();
      this.#check(follower);
      if (follower.error === undefined) meet(`whole ${follower.way}`);
    }
    await this.#checkAll();
  }
}

describe('followers of the change stream', () => {
  it('are given what was committed, from every place, at every pace', { timeout: PROPERTY_MS * 2 }, async () => {
    met.clear();
    await fc.assert(
      fc.asyncProperty(commands(60), storeOptions, (list, options) => new Run(options, (memory) => memory).run(list)),
      { ...runsOf(300), interruptAfterTimeLimit: PROPERTY_MS },
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
      'came to its end',
    ]) {
      expect(met.get(what) ?? 0, what).toBeGreaterThan(0);
    }
    for (const way of ['values', 'pages', 'push']) expect(met.get(`whole ${way}`) ?? 0).toBeGreaterThan(0);
  });

  describe('are given what they were not once', () => {
    it('commit times that do not go back where the power took an index, and the clock was put back', async () => {
      const clock = new SetClock();
      let fileSystem = new MemoryFileSystem();
      const first = await open(DIRECTORY, { ...TINY, fileSystem, clock });
      await first.set('a', '1');
      await first.close();
      clock.dateMs += 1000;
      const second = await open(DIRECTORY, { ...TINY, fileSystem, clock });
      await second.set('a', '2');
      const image = fileSystem.crashImage('synced', () => 0.5);
      await second.close();
      fileSystem = image;
      clock.dateMs -= 5000;
      const third = await open(DIRECTORY, { ...TINY, fileSystem, clock });
      await third.set('a', '3');
      const all = new Follower(third, { from: 'start' }, 0, 'values');
      for (let turns = 0; turns < 1000 && all.events.length < 3; turns += 1) await all.read(turn());
      await all.close();
      const times = all.changes.map(({ timeMs }) => timeMs);
      expect(times).toHaveLength(3);
      expect(times).toEqual([...times].sort((a, b) => a - b));
      await third.close();
    });

    it('an error, if they began with the oldest, were given something live, and what came then is gone', async () => {
      const options = { ...TINY, fileSystem: new MemoryFileSystem(), historyBytesMax: 0, historyHardBytesMax: 0 };
      const store = await open(DIRECTORY, options);
      const follower = new Follower(store, { from: 'start', bufferChangesMax: 1 }, 0, 'pages');
      await follower.read(turn());
      await store.set('a', '1');
      for (let turns = 0; turns < 1000 && follower.events.length === 0; turns += 1) await follower.read(turn());
      for (let index = 0; index < 5; index += 1) await store.set('a', 'v'.repeat(300));
      await store.flush();
      for (let turns = 0; turns < 1000 && (await startOf(store)) < 7; turns += 1) await turn();
      await store.set('a', '7');
      for (let turns = 0; turns < 1000 && !follower.isOver; turns += 1) await follower.read(turn());
      expect(follower.changes.map(({ sequence }) => sequence)).toEqual([1]);
      expect(follower.error).toBeInstanceOf(HistoryGoneError);
      await store.close();
    });

    it('all that the state of history tells of, when the power goes while a log is put away and history is removed', async () => {
      const memory = new MemoryFileSystem();
      let [states, isLogHeld] = [Infinity, false];
      const fileSystem = new DelayedFileSystem(memory, async (call) => {
        const isState = /^create .*STATE\.tmp$/.test(call);
        while ((isState && states === 0) || (isLogHeld && /^remove \/data\/\d+\.log$/.test(call))) await turn();
        if (isState) states -= 1;
      });
      const turns = async (): Promise<void> => {
        for (let count = 0; count < 100; count += 1) await turn();
      };
      const store = await open(DIRECTORY, { ...TINY, fileSystem, historyBytesMax: 0, historyHardBytesMax: 0 });
      states = 0;
      await store.set('a', '1');
      await store.flush(); // the first log is to go, when the state says so
      await store.set('a', '2');
      isLogHeld = true;
      const flushed = store.flush().then(); // the second log is being put away
      await turns();
      states = 1; // the first one goes; then the second is found, and waits for the state
      await turns();
      isLogHeld = false;
      await turns();
      const image = memory.crashImage('zeros', () => 0.5);
      states = Infinity;
      await flushed;
      await store.close();
      const after = await open(DIRECTORY, { ...TINY, fileSystem: image });
      expect(await startOf(after)).toBe(2);
      const all = new Follower(after, { from: 'start' }, 1, 'pages');
      for (let count = 0; count < 1000 && all.events.length === 0; count += 1) await all.read(turn());
      await all.close();
      expect(all.changes.map(({ sequence }) => sequence)).toEqual([2]);
      await after.close();
    });

    it('an error, from a date at which the oldest change that is kept was committed, and some that are gone', async () => {
      const clock = new SetClock();
      const fileSystem = new MemoryFileSystem();
      const store = await open(DIRECTORY, { ...TINY, fileSystem, clock, historyBytesMax: 700 });
      for (let index = 0; index < 20; index += 1) await store.set(`k${index}`, 'v'.repeat(300));
      await store.flush();
      for (let turns = 0; turns < 1000 && (await startOf(store)) === 1; turns += 1) await turn();
      expect(await startOf(store)).toBeGreaterThan(1);
      const late = new Follower(store, { from: clock.date() }, 0, 'pages');
      for (let turns = 0; turns < 1000 && !late.isOver; turns += 1) await late.read(turn());
      expect(late.error).toBeInstanceOf(HistoryGoneError);
      await store.close();
    });
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
      { ...runsOf(200), interruptAfterTimeLimit: PROPERTY_MS },
    );
  });
});
