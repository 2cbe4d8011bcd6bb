import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { type ByteRange, InterestIndex } from '../../src/streams/interest-index.ts';
import { bytewiseOrd } from '../../src/storage/codec/compare.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const text = (key: string): Uint8Array => new TextEncoder().encode(key);
const at = (key: string): ByteRange => ({ lower: inclusive(key), upper: inclusive(key) });
const inclusive = (key: string): ByteRange['lower'] => ({ key: text(key), isInclusive: true });
const exclusive = (key: string): ByteRange['lower'] => ({ key: text(key), isInclusive: false });

function found<T>(index: InterestIndex<T>, key: Uint8Array): T[] {
  const values: T[] = [];
  // Not the whole array: bytes around the key must not count.
  const around = Uint8Array.from([0, ...key, 0]);
  index.find(around, 1, 1 + key.length, (value) => values.push(value));
  return values;
}

const byNumber = (a: number, b: number): number => a - b;

/** What the index is to be the same as. */
function holds({ lower, upper }: ByteRange, key: Uint8Array): boolean {
  const fromLower = lower === undefined ? 1 : bytewiseOrd.compare(key, lower.key);
  const fromUpper = upper === undefined ? -1 : bytewiseOrd.compare(key, upper.key);
  const isFrom = fromLower > 0 || (fromLower === 0 && lower?.isInclusive === true);
  return isFrom && (fromUpper < 0 || (fromUpper === 0 && upper?.isInclusive === true));
}

// Few different keys, so that bounds are equal, nested, crossing, and hit by the keys that are looked for.
const keyBytes = fc.array(fc.constantFrom(0, 1, 0x80, 0xff), { maxLength: 3 }).map((list) => Uint8Array.from(list));
const bound = fc.option(fc.record({ key: keyBytes, isInclusive: fc.boolean() }), { nil: undefined, freq: 6 });
const range: fc.Arbitrary<ByteRange> = fc.oneof(
  fc.record({ lower: bound, upper: bound }),
  keyBytes.map((key) => ({ lower: { key, isInclusive: true }, upper: { key, isInclusive: true } })),
);
type Step =
  | { readonly type: 'add'; readonly ranges: readonly ByteRange[] }
  | { readonly type: 'remove'; readonly picks: readonly number[] }
  | { readonly type: 'find'; readonly keys: readonly Uint8Array[] };
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ type: fc.constant('add' as const), ranges: fc.array(range, { maxLength: 60 }) }),
  fc.record({ type: fc.constant('remove' as const), picks: fc.array(fc.nat(), { maxLength: 60 }) }),
  fc.record({ type: fc.constant('find' as const), keys: fc.array(keyBytes, { minLength: 1, maxLength: 30 }) }),
);

it('finds, at every moment, exactly those whose range holds the key', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const index = new InterestIndex<number>();
      const model = new Map<number, ByteRange>();
      const removals: (() => void)[] = [];
      for (const one of steps) {
        if (one.type === 'add') {
          for (const added of one.ranges) {
            model.set(removals.length, added);
            removals.push(index.add(added, removals.length));
          }
        } else if (one.type === 'remove') {
          // Some are removed a second time by this, which must do nothing.
          for (const pick of one.picks.map((number) => number % Math.max(1, removals.length))) {
            model.delete(pick);
            removals[pick]?.();
          }
        } else {
          for (const key of one.keys) {
            const bounded = [...model].filter(([, { lower, upper }]) => lower !== undefined || upper !== undefined);
            const expected = bounded.filter(([, wanted]) => holds(wanted, key)).map(([number]) => number);
            expect(found(index, key).sort(byNumber)).toEqual(expected.sort(byNumber));
          }
        }
        const unbounded = [...model].filter(([, { lower, upper }]) => lower === undefined && upper === undefined);
        expect([...index.everything]).toEqual(unbounded.map(([number]) => number));
        expect(index.size).toBe(model.size);
      }
    }),
    { numRuns: 300 },
  );
});

it('stays the same as finds go on and nobody comes or goes', () => {
  // The waiting ones move into the table by and by, whatever the number of finds that takes.
  fc.assert(
    fc.property(fc.array(range, { minLength: 1, maxLength: 20 }), keyBytes, (ranges, key) => {
      const index = new InterestIndex<number>();
      ranges.forEach((one, number) => index.add(one, number));
      const first = found(index, key).sort(byNumber);
      for (let times = 0; times < 500; times += 1) expect(found(index, key).sort(byNumber)).toEqual(first);
    }),
    { numRuns: 20 },
  );
});

it('keeps the few that stay of many that come and go', () => {
  const index = new InterestIndex<number>();
  for (let number = 0; number < 100; number += 1) {
    const remove = index.add(at('k'), number);
    if (number % 10 > 0) remove();
    const stayed = Array.from({ length: 1 + Math.floor(number / 10) }, (_, ten) => 10 * ten);
    expect(found(index, text('k'))).toEqual(stayed);
  }
});

/** Enough interests for a table, and a find that makes it. */
function withTable(key: string, count: number): { index: InterestIndex<number>; removals: (() => void)[] } {
  const index = new InterestIndex<number>();
  const removals = Array.from({ length: count }, (_, number) => index.add(at(key), number));
  found(index, text(key));
  return { index, removals };
}

it.each([
  ['in the table', 100],
  ['not in the table yet', 10],
])('does not visit any more who was removed during the visit, %s', (_where, count) => {
  const { index, removals } = withTable('k', count);
  const visited: number[] = [];
  index.find(text('k'), 0, 1, (value) => {
    visited.push(value);
    for (const remove of removals) remove();
  });
  expect(visited).toHaveLength(1);
  expect(found(index, text('k'))).toEqual([]);
  expect(index.size).toBe(0);
});

it.each([
  ['in the table', 100],
  ['not in the table yet', 10],
])('visits who was added during a visit from the next find on, %s', (_where, count) => {
  const { index } = withTable('k', count);
  let visits = 0;
  index.find(text('k'), 0, 1, () => {
    visits += 1;
    index.add(at('k'), count + visits);
  });
  expect(visits).toBe(count);
  expect(found(index, text('k'))).toHaveLength(2 * count);
});

it('can be asked within a visit, also when that makes the table anew', () => {
  const { index } = withTable('k', 100);
  const visited: number[] = [];
  index.find(text('k'), 0, 1, (value) => {
    visited.push(value);
    if (visited.length > 1) return;
    for (let more = 0; more < 100; more += 1) index.add(at('k'), 100 + more);
    expect(found(index, text('k'))).toHaveLength(200);
  });
  expect(visited.sort(byNumber)).toEqual(Array.from({ length: 100 }, (_, number) => number));
});

it('goes on after a visit that threw', () => {
  const { index } = withTable('k', 100);
  const failure = new Error('of the visit');
  expect(() =>
    index.find(text('k'), 0, 1, () => {
      throw failure;
    }),
  ).toThrow(failure);
  expect(found(index, text('k'))).toHaveLength(100);
});

it('keeps those without bounds apart, each once at a time', () => {
  const index = new InterestIndex<string>();
  const everything: ByteRange = { lower: undefined, upper: undefined };
  const remove = index.add(everything, 'all');
  expect(() => index.add(everything, 'all')).toThrow('already');
  expect(found(index, text('k'))).toEqual([]);
  expect([...index.everything]).toEqual(['all']);
  remove();
  const removeAgain = index.add(everything, 'all');
  remove(); // it has removed its own once, and is not about the second
  expect(index.size).toBe(1);
  removeAgain();
  expect(index.size).toBe(0);
});

it('visits a value once for each of its ranges that hold the key', () => {
  const index = new InterestIndex<string>();
  index.add({ lower: inclusive('a'), upper: exclusive('m') }, 'twice');
  const remove = index.add(at('c'), 'twice');
  expect(found(index, text('c'))).toEqual(['twice', 'twice']);
  remove();
  expect(found(index, text('c'))).toEqual(['twice']);
});

it('holds no key in ranges whose bounds meet or cross', () => {
  const index = new InterestIndex<string>();
  for (let times = 0; times < 50; times += 1) {
    index.add({ lower: inclusive('k'), upper: exclusive('k') }, 'met');
    index.add({ lower: exclusive('k'), upper: inclusive('k') }, 'met');
    index.add({ lower: inclusive('m'), upper: inclusive('c') }, 'crossed');
  }
  for (const key of ['', 'c', 'f', 'k', 'm', 'z']) expect(found(index, text(key))).toEqual([]);
  expect(index.size).toBe(150);
});

/** Comparisons, counted by reads of a key's bytes: how long it takes depends on the machine, this does not. */
function countReads(key: Uint8Array): { key: Uint8Array; reads: () => number } {
  let reads = 0;
  const counted = new Proxy(key, {
    get: (target, name) => {
      if (typeof name === 'string' && /^\d+$/.test(name)) reads += 1;
      const value: unknown = Reflect.get(target, name, target);
      return value;
    },
  });
  return { key: counted, reads: () => reads };
}

const COUNT = 10_000;
const number = (value: number): string => String(value).padStart(6, '0');

it('looks at few of many: for a key in the table, and while some wait', () => {
  const index = new InterestIndex<number>();
  for (let value = 0; value < COUNT; value += 1) index.add(at(number(value)), value);
  found(index, text(number(0)));
  for (let extra = 0; extra < 20; extra += 1) index.add(at(`x${extra}`), COUNT + extra);
  const { key, reads } = countReads(text(number(7777)));
  const visited: number[] = [];
  index.find(key, 0, key.length, (value) => visited.push(value));
  expect(visited).toEqual([7777]);
  // Two sorted bounds to halve by, 20 waiting ones, six bytes each: three hundred at most, of sixty thousand.
  expect(reads()).toBeLessThan(300);
});

it.each([
  ['equal ranges', (): ByteRange => ({ lower: inclusive('a'), upper: inclusive('b') })],
  ['nested ranges', (value: number): ByteRange => ({ lower: inclusive(`a${number(value)}`), upper: inclusive('b') })],
  ['ranges up to a key', (value: number): ByteRange => ({ lower: undefined, upper: exclusive(`a${number(value)}`) })],
])('stays quick with very many %s that do not hold the key', (_what, rangeOf) => {
  const count = 50_000;
  const index = new InterestIndex<number>();
  for (let value = 0; value < count; value += 1) index.add(rangeOf(value), value);
  found(index, text('z'));
  const before = performance.now();
  for (let times = 0; times < 20_000; times += 1) index.find(text('z'), 0, 1, () => expect.unreachable());
  // If each find went through all, this were a thousand million visits: many seconds, and not some hundredths of one.
  expect(performance.now() - before).toBeLessThan(2_000);
});

/** How many are alive still. A reference that was looked at in this turn counts as used until its end. */
async function countAlive(references: readonly WeakRef<object>[]): Promise<number> {
  await new Promise((resolve) => setImmediate(resolve));
  collectGarbage();
  return references.filter((reference) => reference.deref() !== undefined).length;
}

it('lets go of a value as soon as it is removed, even if its removal is kept', async () => {
  const index = new InterestIndex<object>();
  const comeAndGo = (): { references: WeakRef<object>[]; removals: (() => void)[] } => {
    const values = Array.from({ length: 100 }, () => ({}));
    const removals = values.map((value) => index.add(at('k'), value));
    found(index, text('k')); // they are in the table
    for (const remove of removals.slice(1)) remove(); // too few to make the table anew
    return { references: values.slice(1).map((value) => new WeakRef(value)), removals };
  };
  const { references, removals } = comeAndGo();
  expect(await countAlive(references)).toBe(0);
  expect(index.size).toBe(1);
  expect(removals).toHaveLength(100);
});

it('does not grow with those who came and went, while others are looked for', async () => {
  const index = new InterestIndex<number>();
  index.add(at('k'), -1);
  const comeAndGo = (): WeakRef<object>[] =>
    Array.from({ length: 2_000 }, (_, value) => {
      const lower = { key: text('k'), isInclusive: true };
      index.add({ lower, upper: lower }, value)();
      index.find(lower.key, 0, 1, () => undefined);
      return new WeakRef(lower);
    });
  // Those who went last may wait to be forgotten, but they are few.
  expect(await countAlive(comeAndGo())).toBeLessThan(100);
  expect(index.size).toBe(1);
});

it('does not grow with those who came and went where nobody is ever looked for', async () => {
  const index = new InterestIndex<number>();
  const comeAndGo = (): WeakRef<object>[] =>
    Array.from({ length: 2_000 }, (_, value) => {
      const lower = { key: text('k'), isInclusive: true };
      index.add({ lower, upper: lower }, value)();
      return new WeakRef(lower);
    });
  expect(await countAlive(comeAndGo())).toBeLessThan(100);
});
