// Goal: whatever happens when, a subscriber is given everything from its place on, each once, in order, batches whole, and
// what is dropped is told exactly, at its place; what waits stays within its bounds; and no pull is ever left waiting.
// Method: fc.scheduler chooses who goes on: the publisher, the disk, the subscriber, the wake-ups, the end. Beside it a
// naive buffer of arrays says what has to wait, and which tokens a live page may be.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BufferOverflowError } from '../../src/errors.ts';
import {
  HandOver,
  type HandOverOptions,
  type HandOverPolicy,
  type HandOverPort,
  type LiveGroup,
  type ReplayedPage,
} from '../../src/operators/hand-over.ts';
import { PROPERTY_MS, runsOf } from '../support/runs.ts';

/** A position that was given, or what stands for those that were dropped. */
type Token = number | { readonly skipped: number; readonly last: number };

/** Positions that are committed together; only some are the subscriber's business. */
interface Batch {
  readonly first: number;
  readonly last: number;
  readonly wanted: readonly number[];
}
interface Entry {
  readonly tokens: readonly Token[];
  readonly last: number;
  readonly values: number;
  readonly bytes: number;
}
interface Gap {
  readonly skipped: number;
  readonly last: number;
}

const POLICIES = ['replay', 'fail', 'dropOldest', 'dropNewest'] as const;
const END = 'the end';

/** Everything around one hand-over; says what it must do. */
class World implements HandOverPort<Token> {
  readonly batches: Batch[] = [];
  readonly options: HandOverOptions;
  readonly soonLater: (work: () => void) => void;
  readonly disk: () => Promise<unknown>;
  last = 0;
  durable = 0;
  isSynced = false;
  handOver: HandOver<Token> | undefined;
  isListening = false;
  isPublishing = false;
  isStirWanted = false;
  batchesPerPage = 2;
  replays = 0;
  overflowed: 'values' | 'bytes' | undefined;
  /** What the naive buffer holds. */
  buffer: Entry[] = [];
  before: Gap | undefined;
  behind: Gap | undefined;
  readonly replayed = new WeakSet<readonly Token[]>();

  constructor(options: HandOverOptions, soon: (work: () => void) => void, disk: () => Promise<unknown>) {
    this.options = options;
    this.soonLater = soon;
    this.disk = disk;
  }

  begin(): HandOver<Token> {
    this.handOver = new HandOver<Token>(this, this.options);
    return this.handOver;
  }

  published(): number {
    return this.last;
  }
  ready(): number {
    return this.isSynced ? this.durable : this.last;
  }
  listen(isListening: boolean): void {
    expect(isListening).toBe(!this.isListening);
    this.isListening = isListening;
    if (isListening) expect(this.replays).toBe(0); // never in the midst of a reading
  }
  skipped(skipped: number, last: number): Token {
    return { skipped, last };
  }
  whenReady(): void {
    expect(this.ready()).toBeLessThan(this.last);
    this.isStirWanted = true;
  }
  soon(work: () => void): void {
    this.soonLater(() => {
      expect(this.isPublishing).toBe(false);
      work();
    });
  }

  async replay(position: number, bound: number): Promise<ReplayedPage<Token>> {
    expect(this.isListening).toBe(false);
    expect(bound).toBeLessThanOrEqual(this.ready());
    expect(position).toBeLessThan(bound);
    this.replays += 1;
    await this.disk();
    this.replays -= 1;
    const values: Token[] = [];
    let at = position;
    let batches = 0;
    for (const { last, wanted } of this.batches) {
      if (last <= position || last > bound) continue;
      values.push(...wanted.filter((value) => value > position));
      at = last;
      batches += 1;
      // A page ends with a batch; one without values must not be the last word.
      if (batches >= this.batchesPerPage && values.length > 0) break;
    }
    const isAll = this.batches.every(({ last }) => last <= at || last > bound);
    this.replayed.add(values);
    return { values, position: isAll ? bound : at };
  }

  /** A group of batches, each of so many operations, of which those that `isWanted` says are asked for; a hole before it. */
  publish(sizes: readonly number[], isWanted: (position: number) => boolean, hole: number, bytes: number): void {
    let next = this.last + 1 + hole;
    const batches = sizes.map((size) => {
      const first = next;
      next += size;
      const positions = Array.from({ length: size }, (_, index) => first + index);
      return { first, last: next - 1, wanted: positions.filter(isWanted) };
    });
    const first = batches[0]?.first ?? next;
    this.batches.push(...batches);
    this.last = next - 1;
    const values = batches.flatMap(({ wanted }) => wanted);
    if (!this.isListening || (values.length === 0 && bytes % 2 === 0)) return; // a port may push an empty one, or not
    this.#push({ values, first, last: this.last, bytes });
  }

  #push(group: LiveGroup<Token>): void {
    const { onOverflow, valuesMax, bytesMax } = this.options;
    const { values, bytes, last } = group;
    const entry: Entry = { tokens: values, values: values.length, bytes, last };
    const waits = (name: 'values' | 'bytes'): number => this.buffer.reduce((sum, one) => sum + one[name], 0);
    const isFull = (): boolean =>
      this.buffer.length > 0 &&
      (waits('values') + values.length + (this.behind === undefined ? 0 : 1) > valuesMax ||
        waits('bytes') + bytes > bytesMax);
    if (values.length > 0) {
      if (!isFull() || onOverflow === 'dropOldest') {
        while (isFull()) this.before = this.#gap(this.before, this.buffer.shift());
        if (this.behind !== undefined)
          this.buffer.push({ tokens: [this.behind], values: 1, bytes: 0, last: this.behind.last });
        this.behind = undefined;
        this.buffer.push(entry);
      } else if (onOverflow === 'dropNewest') {
        this.behind = this.#gap(this.behind, entry);
      } else if (onOverflow === 'replay') {
        this.buffer = [];
      } else {
        this.overflowed = waits('values') + values.length > valuesMax ? 'values' : 'bytes';
      }
    }
    const wasListening = this.isListening;
    this.isPublishing = true;
    this.handOver?.push(group);
    this.isPublishing = false;
    const isOverflow =
      onOverflow === 'fail' ? this.overflowed !== undefined : onOverflow === 'replay' && this.buffer.length === 0;
    expect(this.isListening).toBe(wasListening && !(isOverflow && values.length > 0));
  }

  #gap(gap: Gap | undefined, entry: Entry | undefined): Gap {
    return { skipped: (gap?.skipped ?? 0) + (entry?.values ?? 0), last: entry?.last ?? 0 };
  }

  /** Stirs only whoever asked for it: who has nothing that is not ready must not be woken by every sync. */
  sync(position = this.last): void {
    this.durable = Math.max(this.durable, position);
    if (this.isStirWanted) this.handOver?.stir();
    this.isStirWanted = false;
  }

  /** A page that came live must be the front of the naive buffer, and ready. */
  take(page: readonly Token[]): void {
    if (page.length === 0 || this.replayed.has(page)) return;
    const rest = [...page];
    const takeFront = (tokens: readonly Token[], last: number): void => {
      expect(rest.splice(0, tokens.length)).toEqual(tokens);
      expect(last).toBeLessThanOrEqual(this.ready());
    };
    if (this.before !== undefined) takeFront([this.before], this.before.last);
    this.before = undefined;
    while (rest.length > 0) {
      const front = this.buffer.shift();
      if (front === undefined) {
        expect(this.behind).toBeDefined();
        if (this.behind !== undefined) takeFront([this.behind], this.behind.last);
        this.behind = undefined;
        expect(rest).toEqual([]);
      } else takeFront(front.tokens, front.last);
    }
    // A page is what waits: it leaves nothing that was ready, unless it is full.
    if (page.length < 1024 && !this.isSynced) expect(this.buffer).toEqual([]);
  }

  /** What is asked for, from the place on where it began. */
  wanted(): number[] {
    return this.batches.flatMap(({ wanted }) => wanted).filter((value) => value > this.options.position);
  }

  /** How far the tokens go, if they are what they should be: each value once, in order, and gaps exactly where told. */
  lengthOf(tokens: readonly Token[]): number {
    const wanted = this.wanted();
    let at = 0;
    for (const token of tokens) {
      if (typeof token === 'number') {
        expect(token).toBe(wanted[at]);
        at += 1;
      } else {
        expect(token.skipped).toBeGreaterThan(0);
        at += token.skipped;
        expect(wanted[at - 1]).toBeLessThanOrEqual(token.last);
        expect(wanted[at] ?? Infinity).toBeGreaterThan(token.last);
      }
    }
    return at;
  }

  /** A page ends where a batch ends. */
  checkWhole(page: readonly Token[]): void {
    const last = page.at(-1);
    if (typeof last !== 'number') return;
    const batch = this.batches.find((one) => one.first <= last && last <= one.last);
    expect(batch?.wanted.at(-1)).toBe(last);
  }
}

/** The next page, as streams get it: asks again when it is told to. */
async function pulled(handOver: HandOver<Token>): Promise<readonly Token[]> {
  for (;;) {
    let wakes = 0;
    let wake: (() => void) | undefined;
    const woken = new Promise<void>((resolve) => {
      wake = () => {
        wakes += 1;
        expect(wakes).toBe(1);
        resolve();
      };
    });
    const page = handOver.pull(() => wake?.());
    if (page === undefined) await woken;
    else {
      const values = await page;
      if (values !== undefined) return values;
    }
  }
}

type Act =
  | {
      readonly do: 'publish';
      readonly sizes: readonly number[];
      readonly mask: number;
      readonly hole: number;
      readonly bytes: number;
    }
  | { readonly do: 'sync' | 'complete' | 'fail' | 'close' };

const publish: fc.Arbitrary<Act> = fc.record({
  do: fc.constant('publish'),
  sizes: fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 }),
  mask: fc.integer({ min: 0, max: 31 }).map((mask) => (mask < 16 ? 31 : mask)),
  hole: fc.constantFrom(0, 0, 0, 1, 7),
  bytes: fc.integer({ min: 0, max: 12 }),
});
const acts = fc
  .tuple(
    fc.array(fc.oneof({ weight: 5, arbitrary: publish }, { weight: 2, arbitrary: fc.constant<Act>({ do: 'sync' }) }), {
      maxLength: 25,
      size: 'max',
    }),
    fc.option(fc.record({ do: fc.constantFrom('complete', 'fail', 'close') }), { nil: undefined }),
    fc.nat(),
  )
  .map(([list, end, place]): Act[] => (end === undefined ? list : list.toSpliced(place % (list.length + 1), 0, end)));

const setting = fc.record({
  onOverflow: fc.constantFrom<HandOverPolicy>(...POLICIES),
  valuesMax: fc.integer({ min: 1, max: 12 }),
  bytesMax: fc.integer({ min: 1, max: 30 }),
  batchesBefore: fc.integer({ min: 0, max: 6 }),
  position: fc.nat({ max: 12 }),
  isSynced: fc.boolean(),
  batchesPerPage: fc.integer({ min: 1, max: 4 }),
  isSoonAtOnce: fc.boolean(),
});

const FAILURE = new Error('failed by the test');

describe('a hand-over', () => {
  it('gives everything once, in order, under every interleaving', { timeout: PROPERTY_MS }, async () => {
    let replayedLate = 0;
    const seen = new Set<string>();
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), setting, acts, async (scheduler, given, list) => {
        const step = (label: string): Promise<unknown> => scheduler.schedule(Promise.resolve(), label);
        const soon = (work: () => void): void => {
          if (given.isSoonAtOnce) queueMicrotask(work);
          else void step('soon').then(work);
        };
        const world = new World({ ...given, position: 0 }, soon, () => step('disk'));
        world.isSynced = given.isSynced;
        world.batchesPerPage = given.batchesPerPage;
        for (let batch = 0; batch < given.batchesBefore; batch += 1) world.publish([1 + (batch % 3)], () => true, 0, 1);
        world.durable = world.batches.at(-2)?.last ?? world.last;
        // Somewhere in what is there already, also within a batch.
        const options = { ...given, position: Math.min(given.position, world.last) };
        Object.assign(world, { options });
        const handOver = world.begin();

        const tokens: Token[] = [];
        const state = {
          ended: undefined as unknown,
          endAsked: undefined as string | undefined,
          wasLive: false,
          tokensAtClose: 0,
        };
        const reader = (async (): Promise<void> => {
          try {
            for (;;) {
              await step('read');
              const page = await pulled(handOver);
              if (page.length === 0) break;
              expect(state.endAsked).not.toBe('close');
              if (world.replayed.has(page) && world.last > 30) replayedLate += 1;
              world.take(page);
              world.checkWhole(page);
              tokens.push(...page);
              const position = handOver.position;
              expect(position).toBeLessThanOrEqual(Math.max(world.ready(), options.position));
              // Where another one would go on: behind what was given, and before what was not.
              const length = world.lengthOf(tokens);
              expect(position).toBeGreaterThanOrEqual(world.wanted()[length - 1] ?? 0);
              expect(position).toBeLessThan(world.wanted()[length] ?? Infinity);
            }
            state.ended = END;
          } catch (error) {
            state.ended = error;
          }
        })();
        const writer = (async (): Promise<void> => {
          for (const act of list) {
            await step('write');
            if (act.do === 'publish')
              world.publish(act.sizes, (at) => ((act.mask >> (at % 5)) & 1) === 1, act.hole, act.bytes);
            else if (act.do === 'sync') world.sync();
            else {
              state.endAsked = act.do;
              state.wasLive = handOver.isLive;
              if (act.do === 'fail') handOver.fail(FAILURE);
              else handOver[act.do]();
              if (act.do !== 'fail') break;
            }
          }
        })();
        await scheduler.waitIdle();
        await writer;
        // In the end everything becomes durable; whoever has something to come gets it, and nothing hangs.
        if (state.endAsked !== 'complete' && state.endAsked !== 'close') world.sync();
        await scheduler.waitIdle();
        const given0 = world.lengthOf(tokens);
        if (state.endAsked === undefined && state.ended === undefined) {
          expect(given0).toBe(world.wanted().length);
          handOver.complete();
          await scheduler.waitIdle();
        }
        await reader;

        seen.add(
          `${given.onOverflow} ${state.endAsked ?? 'none'} ${state.ended instanceof Error ? state.ended.name : 'end'}`,
        );
        expect(tokens.length).toBeGreaterThanOrEqual(0);
        if (world.overflowed !== undefined && state.ended !== END) {
          const isFirst = state.endAsked !== 'fail' || state.ended !== FAILURE;
          if (isFirst) expect(state.ended).toBeInstanceOf(BufferOverflowError);
          if (isFirst) expect((state.ended as BufferOverflowError).unit).toBe(world.overflowed);
          if (state.endAsked !== 'complete') expect(world.buffer).toEqual([]); // all that fitted was given first
        } else if (state.endAsked === 'fail') {
          expect(state.ended).toBe(FAILURE);
          if (state.wasLive) expect(world.buffer).toEqual([]);
        } else expect(state.ended).toBe(END);
        if (state.endAsked === 'complete' && state.wasLive && !given.isSynced) expect(world.buffer).toEqual([]);
        expect(world.isListening).toBe(
          state.endAsked === 'complete' || state.endAsked === undefined ? handOver.isLive : false,
        );
        handOver.close();
        expect(world.isListening).toBe(false);
      }),
      runsOf(3000),
    );
    // The property is worth little if these never happened.
    expect(replayedLate).toBeGreaterThan(0);
    for (const policy of POLICIES) expect(seen).toContain(`${policy} none end`);
    expect(seen).toContain('fail none BufferOverflowError');
  });
});

/** A world without a scheduler: history and wake-ups come in microtasks. */
function world(options: Partial<HandOverOptions>, isSynced = false): World {
  const made = new World(
    { position: 0, onOverflow: 'replay', valuesMax: 4, bytesMax: 100, ...options },
    (work) => queueMicrotask(work),
    () => Promise.resolve(),
  );
  made.isSynced = isSynced;
  return made;
}
const one = (made: World, bytes = 1): void => made.publish([1], () => true, 0, bytes);
const group = (made: World, size: number, bytes = 1): void => made.publish([size], () => true, 0, bytes);
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

describe('a hand-over that overflows', () => {
  it('reads on from history, and comes back to life when it has caught up', async () => {
    const made = world({});
    const handOver = made.begin();
    expect(handOver.isLive).toBe(true);
    for (let count = 0; count < 4; count += 1) one(made);
    expect(handOver.isLive).toBe(true);
    one(made);
    expect([handOver.isLive, handOver.position]).toEqual([false, 0]);
    expect(await pulled(handOver)).toEqual([1, 2]);
    expect(await pulled(handOver)).toEqual([3, 4]);
    expect(await pulled(handOver)).toEqual([5]);
    expect(handOver.isLive).toBe(false);
    const next = pulled(handOver); // at the end of history it listens
    expect(handOver.isLive).toBe(true);
    one(made);
    expect(await next).toEqual([6]);
  });

  it('takes one group that is larger than the bounds, alone, under each policy', async () => {
    for (const onOverflow of POLICIES) {
      const made = world({ onOverflow });
      const handOver = made.begin();
      group(made, 10, 1000);
      expect(await pulled(handOver)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      expect(handOver.isLive).toBe(true);
    }
  });

  it('fails when what waited was given, and says which bound it was', async () => {
    for (const [unit, size, bytes] of [
      ['values', 4, 1],
      ['bytes', 1, 100],
    ] as const) {
      const made = world({ onOverflow: 'fail' });
      const handOver = made.begin();
      one(made);
      group(made, size, bytes);
      one(made); // is not heard of any more
      expect(await pulled(handOver)).toEqual([1]);
      await expect(pulled(handOver)).rejects.toMatchObject({ code: 'BUFFER_OVERFLOW', unit });
      await expect(pulled(handOver)).rejects.toMatchObject({ code: 'BUFFER_OVERFLOW' }); // and so it stays
    }
  });

  it('gives what waits for the disk before it fails', async () => {
    const made = world({ onOverflow: 'fail' }, true);
    const handOver = made.begin();
    for (let count = 0; count < 5; count += 1) one(made);
    const page = pulled(handOver);
    await turn();
    made.sync(3);
    expect(await page).toEqual([1, 2, 3]);
    const rest = pulled(handOver);
    made.sync();
    expect(await rest).toEqual([4]);
    await expect(pulled(handOver)).rejects.toBeInstanceOf(BufferOverflowError);
  });

  it('drops the oldest, and tells of them before what is left', async () => {
    const made = world({ onOverflow: 'dropOldest' });
    const handOver = made.begin();
    for (let count = 0; count < 6; count += 1) one(made);
    expect(handOver.position).toBe(0);
    expect(await pulled(handOver)).toEqual([{ skipped: 2, last: 2 }, 3, 4, 5, 6]);
    group(made, 3);
    group(made, 4);
    group(made, 9);
    expect(await pulled(handOver)).toEqual([{ skipped: 7, last: 13 }, 14, 15, 16, 17, 18, 19, 20, 21, 22]);
  });

  it('drops the newest, and tells of them behind what was there', async () => {
    const made = world({ onOverflow: 'dropNewest' });
    const handOver = made.begin();
    for (let count = 0; count < 6; count += 1) one(made);
    expect(await pulled(handOver)).toEqual([1, 2, 3, 4]);
    expect(handOver.position).toBe(4);
    expect(await pulled(handOver)).toEqual([{ skipped: 2, last: 6 }]);
    expect(handOver.position).toBe(6);
    group(made, 3);
    group(made, 2); // no room
    one(made); // there would be room, but for the word about the one before
    expect(await pulled(handOver)).toEqual([7, 8, 9]);
    one(made);
    expect(await pulled(handOver)).toEqual([{ skipped: 3, last: 12 }, 13]);
  });

  it('says nothing of dropped ones that may be lost yet', async () => {
    for (const onOverflow of ['dropOldest', 'dropNewest'] as const) {
      const made = world({ onOverflow, valuesMax: 1 }, true);
      const handOver = made.begin();
      one(made);
      one(made);
      made.sync(1);
      const first = onOverflow === 'dropNewest' ? await pulled(handOver) : [1];
      expect(first).toEqual([1]);
      let page: readonly Token[] | undefined;
      const next = pulled(handOver).then((values) => (page = values));
      await turn();
      expect(page).toBeUndefined();
      made.sync();
      expect(await next).toEqual(
        onOverflow === 'dropNewest' ? [{ skipped: 1, last: 2 }] : [{ skipped: 1, last: 1 }, 2],
      );
    }
  });
});

describe('the end of a hand-over', () => {
  const ends = {
    complete: (handOver: HandOver<Token>) => handOver.complete(),
    fail: (handOver: HandOver<Token>) => handOver.fail(FAILURE),
    close: (handOver: HandOver<Token>) => handOver.close(),
  };
  for (const [name, end] of Object.entries(ends)) {
    it(`by ${name} answers a pull that waits, live or for the disk`, async () => {
      for (const where of ['live', 'disk', 'not durable'] as const) {
        let resolveDisk = (): void => undefined;
        const made = new World(
          { position: 0, onOverflow: 'replay', valuesMax: 4, bytesMax: 100 },
          (work) => queueMicrotask(work),
          () => new Promise<void>((resolve) => (resolveDisk = resolve)),
        );
        made.isSynced = where === 'not durable';
        if (where === 'disk') one(made);
        const handOver = made.begin();
        if (where === 'not durable') one(made);
        const page = pulled(handOver);
        page.catch(() => undefined);
        end(handOver);
        resolveDisk();
        if (name === 'fail' && where === 'not durable') made.sync(); // that comes first
        if (name === 'fail' && where === 'not durable') expect(await page).toEqual([1]);
        if (name === 'fail') await expect(pulled(handOver)).rejects.toBe(FAILURE);
        else expect([where, await page]).toEqual([where, []]);
        handOver.close();
        expect(made.isListening).toBe(false);
      }
    });
  }

  it('gives what waits first when it completes, and nothing when it is closed', async () => {
    for (const name of ['complete', 'close'] as const) {
      const made = world({});
      const handOver = made.begin();
      one(made);
      handOver[name]();
      one(made);
      expect(await pulled(handOver)).toEqual(name === 'complete' ? [1] : []);
      expect(await pulled(handOver)).toEqual([]);
      let closed = 0;
      handOver.onClose = () => (closed += 1);
      handOver.close();
      handOver.close();
      expect(closed).toBe(1);
    }
  });

  it('passes on what history fails with, and lets go of what it has', async () => {
    const made = world({});
    one(made);
    Object.assign(made, { disk: () => Promise.reject(FAILURE) });
    const handOver = made.begin();
    await expect(pulled(handOver)).rejects.toBe(FAILURE);
    handOver.close();
    expect(await pulled(handOver)).toEqual([]);
  });

  it('refuses bounds that are none', () => {
    for (const wrong of [0, -1, 1.5, Number.NaN, Infinity]) {
      expect(() => world({ valuesMax: wrong }).begin()).toThrow(RangeError);
      expect(() => world({ bytesMax: wrong }).begin()).toThrow(RangeError);
    }
  });
});
