// Goal: groupCommit sends one group at a time, bounds what waits, and answers for every write.
// Method: marbles for the order in time; a probe, which is a Subject and lists of what came out, for the rest.
import { EMPTY, map, NEVER, range, Subject, take } from 'rxjs';
import { describe, expect, it } from 'vitest';
import { BufferOverflowError, OutOfRangeError } from '../../src/errors.ts';
import { groupCommit, type GroupCommitOptions, type WriteGroup } from '../../src/operators/index.ts';
import { marbles } from './marbles.ts';

const roomy: GroupCommitOptions<string> = {
  writesMax: 100,
  bytesMax: 1_000,
  groupWritesMax: 100,
  groupBytesMax: 1_000,
  onOverflow: 'wait',
  sizeOf: (write) => write.length,
  isCancelled: () => false,
  onRejected: () => undefined,
  gather: (open) => open(),
};

/** A source to push into, and what came of it. */
const probe = (options: Partial<GroupCommitOptions<string>> = {}) => {
  const source = new Subject<string>();
  const groups: WriteGroup<string>[] = [];
  const rejected: [string, BufferOverflowError][] = [];
  const cancelled = new Set<string>();
  const depths: [number, number, number][] = [];
  let ending: unknown = 'none';
  const subscription = source
    .pipe(
      groupCommit({
        ...roomy,
        isCancelled: (write) => cancelled.has(write),
        onRejected: (write, error) => rejected.push([write, error]),
        onDepth: (...depth) => depths.push(depth),
        ...options,
      }),
    )
    .subscribe({
      next: (group) => groups.push(group),
      error: (error: unknown) => (ending = error),
      complete: () => (ending = 'complete'),
    });
  return {
    source,
    groups,
    rejected,
    cancelled,
    depths,
    subscription,
    ending: () => ending,
    push: (...writes: string[]) => writes.forEach((write) => source.next(write)),
    release: () => groups.at(-1)?.release(),
    sent: () => groups.map((group) => group.writes.join('')),
  };
};

const joined = map((group: WriteGroup<string>) => group.writes.join(''));

describe('groupCommit', () => {
  it('sends one group at a time, while the next gathers', () => {
    marbles(({ hot, expectObservable, expectSubscriptions }) => {
      const source = hot('   a-b-c-----d|');
      const releases = hot(' -----r--r----r');
      const sourceSubs = '   ^----------!';
      const expected = '     x----y----z--|';
      let out: WriteGroup<string> | undefined;
      releases.subscribe(() => out?.release());

      const result = source.pipe(
        groupCommit(roomy),
        map((group) => (out = group).writes.join('')),
      );

      expectObservable(result).toBe(expected, { x: 'a', y: 'bc', z: 'd' });
      expectSubscriptions(source.subscriptions).toBe(sourceSubs);
    });
  });

  it('never emits and never ends with a source that never does', () => {
    marbles(({ expectObservable }) => expectObservable(NEVER.pipe(groupCommit(roomy))).toBe('-'));
  });

  it('completes at once with an empty source', () => {
    marbles(({ expectObservable }) => expectObservable(EMPTY.pipe(groupCommit(roomy))).toBe('|'));
  });

  it('passes on an error of the source, also with a group out and writes waiting', () => {
    marbles(({ hot, expectObservable }) => {
      expectObservable(hot('a-b-#').pipe(groupCommit(roomy), joined)).toBe('a---#');
    });
  });

  it('lets go of the source, and forgets what waits', () => {
    marbles(({ hot, expectObservable, expectSubscriptions }) => {
      const source = hot('   a-b-c-');
      const unsub = '        ---!';
      const sourceSubs = '   ^--!';
      expectObservable(source.pipe(groupCommit(roomy), joined), unsub).toBe('a--');
      expectSubscriptions(source.subscriptions).toBe(sourceSubs);
    });
    const { push, release, subscription, sent } = probe();
    push('a', 'b');
    subscription.unsubscribe();
    release();
    expect(sent()).toEqual(['a']);
  });

  it('lets go of a synchronous source in its midst', () => {
    let last = 0;
    const source = range(1, 1_000_000).pipe(map((value) => String((last = value))));
    source.pipe(groupCommit(roomy), take(1)).subscribe();
    expect(last).toBe(1);
  });

  it('waits for the release of the last group before it completes', () => {
    const { source, push, release, ending } = probe();
    push('a', 'b');
    source.complete();
    release();
    expect(ending()).toBe('none');
    release();
    expect(ending()).toBe('complete');
  });

  it('counts a release once', () => {
    const { push, groups, sent } = probe();
    push('a', 'b', 'c');
    groups[0]?.release();
    push('d');
    groups[0]?.release();
    expect(sent()).toEqual(['a', 'bc']);
  });

  it('bounds a group in writes and in bytes, but always takes one', () => {
    const byWrites = probe({ groupWritesMax: 2 });
    byWrites.push('x', 'a', 'b', 'c');
    byWrites.release();
    byWrites.release();
    expect(byWrites.sent()).toEqual(['x', 'ab', 'c']);

    const byBytes = probe({ groupBytesMax: 4 });
    byBytes.push('x', 'aa', 'bb', 'c', 'ddddddd', 'e');
    for (let round = 0; round < 4; round += 1) byBytes.release();
    expect(byBytes.sent()).toEqual(['x', 'aabb', 'c', 'ddddddd', 'e']);
    expect(byBytes.groups.map(({ bytes }) => bytes)).toEqual([1, 4, 1, 7, 1]);
  });

  describe('gather', () => {
    it('lets the writes of one turn join, and is told the first of them', () => {
      const opens: (() => void)[] = [];
      const firsts: string[] = [];
      const { push, release, sent } = probe({
        gather: (open, first) => {
          opens.push(open);
          firsts.push(first);
        },
      });
      push('a', 'b');
      expect(sent()).toEqual([]);
      opens[0]?.();
      expect(sent()).toEqual(['ab']);
      push('c', 'd');
      expect(opens).toHaveLength(1); // not while a group is out
      release();
      expect(opens).toHaveLength(2);
      opens[1]?.();
      expect(sent()).toEqual(['ab', 'cd']);
      expect(firsts).toEqual(['a', 'c']);
    });

    it('opens once: a second call does not open the gate of the next group', () => {
      const opens: (() => void)[] = [];
      const { push, release, sent } = probe({ gather: (open) => opens.push(open) });
      push('a');
      opens[0]?.();
      push('b');
      release();
      opens[0]?.();
      expect(sent()).toEqual(['a']);
    });

    it('may open after the end', () => {
      const opens: (() => void)[] = [];
      const { push, subscription, sent } = probe({ gather: (open) => opens.push(open) });
      push('a');
      subscription.unsubscribe();
      opens[0]?.();
      expect(sent()).toEqual([]);
    });

    it('errors the stream with its throw', () => {
      const boom = new Error('boom');
      const { push, ending } = probe({
        gather: () => {
          throw boom;
        },
      });
      push('a');
      expect(ending()).toBe(boom);
    });
  });

  describe('cancelled writes', () => {
    it('are skipped, and their room is free again', () => {
      const { push, release, cancelled, depths, sent } = probe();
      push('x', 'a', 'bbb', 'c');
      cancelled.add('a').add('bbb');
      release();
      expect(sent()).toEqual(['x', 'c']);
      expect(depths.at(-1)).toEqual([0, 0, 0]);
    });

    it('make no group when nothing else waits', () => {
      const { source, push, release, cancelled, sent, ending } = probe();
      push('x', 'a');
      cancelled.add('a');
      source.complete();
      release();
      expect(sent()).toEqual(['x']);
      expect(ending()).toBe('complete');
    });

    it('make no group when they are cancelled while it gathers', () => {
      const opens: (() => void)[] = [];
      const { source, push, cancelled, sent, ending } = probe({ gather: (open) => opens.push(open) });
      push('a');
      cancelled.add('a');
      source.complete();
      expect(ending()).toBe('none');
      opens[0]?.();
      expect(sent()).toEqual([]);
      expect(ending()).toBe('complete');
    });

    it('are not let in from the door', () => {
      const { push, release, cancelled, sent, depths } = probe({ writesMax: 1 });
      push('x', 'a', 'b', 'c');
      cancelled.add('b');
      release();
      release();
      expect(sent()).toEqual(['x', 'a', 'c']);
      expect(depths.at(-1)).toEqual([0, 0, 0]);
    });

    it('are neither dropped nor failed when they stand in the way', () => {
      const oldest = probe({ writesMax: 1, onOverflow: 'dropOldest' });
      oldest.push('x', 'a');
      oldest.cancelled.add('a');
      oldest.push('b');
      expect(oldest.rejected).toEqual([]);

      const fail = probe({ writesMax: 1, onOverflow: 'fail' });
      fail.cancelled.add('b');
      fail.push('x', 'a', 'b');
      expect(fail.rejected).toEqual([]);
    });
  });

  describe("'wait'", () => {
    it('keeps the rest at the door, and lets it in as room appears', () => {
      const { push, release, depths, sent, rejected } = probe({ writesMax: 2 });
      push('x', 'a', 'b', 'c', 'd', 'e');
      expect(depths.at(-1)).toEqual([2, 2, 3]);
      release();
      expect(depths.at(-1)).toEqual([2, 2, 1]);
      release();
      release();
      expect(sent()).toEqual(['x', 'ab', 'cd', 'e']);
      expect(rejected).toEqual([]);
      expect(Math.max(...depths.map(([writes]) => writes))).toBe(2);
    });

    it('is fair: a small write does not overtake a large one at the door', () => {
      const { push, release, depths, sent } = probe({ bytesMax: 4 });
      push('x', 'aaa', 'bbb', 'c');
      expect(depths.at(-1)).toEqual([1, 3, 2]);
      release();
      release();
      expect(sent()).toEqual(['x', 'aaa', 'bbbc']);
    });

    it('takes a write larger than the queue when nothing else waits', () => {
      const { push, release, depths, sent } = probe({ bytesMax: 4 });
      push('x', 'a', 'bbbbbbbb', 'c');
      expect(depths.at(-1)).toEqual([1, 1, 2]);
      release();
      expect(depths.at(-1)).toEqual([1, 8, 1]);
      release();
      release();
      expect(sent()).toEqual(['x', 'a', 'bbbbbbbb', 'c']);
    });
  });

  it.each(['fail', 'dropNewest'] as const)("'%s' rejects the newcomer, and goes on", (onOverflow) => {
    const { push, release, rejected, sent } = probe({ writesMax: 2, onOverflow });
    push('x', 'a', 'b', 'c');
    expect(rejected).toEqual([['c', new BufferOverflowError(2, 'values')]]);
    release();
    push('d');
    release();
    expect(sent()).toEqual(['x', 'ab', 'd']);
  });

  it("'dropOldest' rejects as many as it takes", () => {
    const { push, release, rejected, sent } = probe({ bytesMax: 4, onOverflow: 'dropOldest' });
    push('x', 'a', 'bb', 'c', 'ddd');
    const error = new BufferOverflowError(4, 'bytes');
    expect(rejected).toEqual([
      ['a', error],
      ['bb', error],
    ]);
    release();
    expect(sent()).toEqual(['x', 'cddd']);
  });

  it('holds together when a rejected write comes again at once', () => {
    let tries = 0;
    const { source, push, release, sent } = probe({
      writesMax: 2,
      onOverflow: 'dropOldest',
      onRejected: (write) => {
        tries += 1;
        if (tries < 4) source.next(write);
      },
    });
    push('x', 'a', 'b', 'c');
    release();
    expect(sent()).toEqual(['x', 'bc']);
    expect(tries).toBe(4);
  });

  it('does not grow the stack with 100,000 synchronous groups', () => {
    const source = new Subject<string>();
    let held: WriteGroup<string> | undefined;
    let count = 0;
    source
      .pipe(groupCommit({ ...roomy, writesMax: 200_000, bytesMax: 200_000, groupWritesMax: 1 }))
      .subscribe((group) => {
        count += 1;
        if (count === 1) held = group;
        else group.release();
      });
    for (let write = 0; write <= 100_000; write += 1) source.next('a');
    held?.release();
    expect(count).toBe(100_001);
  });

  it('keeps the order through bursts larger than the ring', () => {
    const { push, release, sent } = probe({ writesMax: 7, groupWritesMax: 5, bytesMax: 1_000_000 });
    const writes = Array.from({ length: 10_000 }, (_, index) => `${index},`);
    push(...writes.slice(0, 6_000));
    for (let round = 0; round < 500; round += 1) release();
    push(...writes.slice(6_000));
    for (let round = 0; round < 10_000; round += 1) release();
    expect(sent().join('')).toBe(writes.join(''));
  });

  it.each(['writesMax', 'bytesMax', 'groupWritesMax', 'groupBytesMax'] as const)('refuses a %s below 1', (bound) => {
    for (const value of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => groupCommit({ ...roomy, [bound]: value })).toThrow(OutOfRangeError);
    }
  });
});
