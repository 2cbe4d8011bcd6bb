// Goal: each wish for a replay is fulfilled, or told why it cannot be and taken away; none is lost by a failure or a close.
// Method: the search for wishes alone, over a store in a Map, with a host that only notes what it is given.
import { describe, expect, it } from 'vitest';
import { ClosedError, ConsumerError, IoError } from '../../src/errors.ts';
import { ConsumerReplays } from '../../src/streams/consumer-replays.ts';
import { Work } from '../../src/streams/consumer-work.ts';
import {
  type DeadLetter,
  deadLetterIdOf,
  encodeDeadLetter,
  letterKeyOf,
  wishKeyOf,
} from '../../src/streams/dead-letters.ts';
import { cursorAt, HandClock, ModelStore, turns } from '../support/consumer-ports.ts';
import { gate } from '../support/consumer-runs.ts';

const letterOf = (sequence: number): DeadLetter => ({
  id: deadLetterIdOf(sequence),
  change: {
    type: 'delete',
    key: Uint8Array.of(sequence),
    sequence,
    batchIndex: 0,
    batchSize: 1,
    timeMs: 0,
    cursor: cursorAt(sequence),
  },
  error: { name: 'Error', message: 'no', code: undefined },
  attempts: 1,
  firstAtMs: 0,
  lastAtMs: 0,
});

/** Letters with these numbers, a wish for each. */
function world(...sequences: readonly number[]) {
  const store = new ModelStore(new HandClock());
  const [admitted, dropped, faults] = [[] as Work[], [] as Work[], [] as unknown[]];
  const replays = new ConsumerReplays('c', store, {
    admitReplay: (letter) => {
      const work = new Work([{ change: letter.change, state: 'open' }], letter.id, letter.attempts, letter);
      admitted.push(work);
      return work;
    },
    dropped: (work) => void dropped.push(work),
    fault: (error) => void faults.push(error),
  });
  const wish = (sequence: number): void => {
    store.entries.set(wishKeyOf('c', deadLetterIdOf(sequence)), { value: new Uint8Array(0), sequence: 1 });
  };
  const park = (sequence: number, value = encodeDeadLetter(letterOf(sequence))): void => {
    store.entries.set(letterKeyOf('c', deadLetterIdOf(sequence)), { value, sequence: 1 });
  };
  for (const sequence of sequences) {
    park(sequence);
    wish(sequence);
  }
  const numbers = (): number[] => admitted.map(({ sequence }) => sequence);
  /** As the commit does that settles the work. */
  const settle = (work: Work | undefined): void => {
    if (work?.replayOf === undefined) throw new Error('no replay');
    store.entries.delete(wishKeyOf('c', work.replayOf.id));
    store.entries.delete(letterKeyOf('c', work.replayOf.id));
    replays.settled(work);
  };
  return { store, replays, admitted, dropped, faults, wish, park, numbers, settle };
}

describe('wishes for replays', () => {
  it('are taken in the order of their changes, at most 64 at a time, until there is none', async () => {
    const it = world(...Array.from({ length: 150 }, (_, index) => 150 - index));
    it.replays.look();
    await turns(20);
    expect(it.numbers()).toEqual(Array.from({ length: 64 }, (_, index) => index + 1));
    it.replays.look(); // somebody wishes while these are at work
    it.replays.settled(new Work([], 'none')); // no replay
    for (let next = 0; next < 150; next += 1) {
      it.settle(it.admitted[next]);
      await turns(5);
    }
    expect(it.numbers()).toEqual(Array.from({ length: 150 }, (_, index) => index + 1));
    expect(it.faults).toEqual([]);
  });

  it('that come while others are looked for are found, also before these', async () => {
    const it = world(5);
    const opened = gate();
    it.store.hands.beforeEntry = () => opened.opened;
    it.replays.look();
    await turns();
    it.park(2);
    it.wish(2);
    it.replays.look();
    opened.open();
    await turns();
    expect(it.numbers()).toEqual([5]);
    it.settle(it.admitted[0]);
    await turns();
    expect(it.numbers()).toEqual([5, 2]);
  });

  it('for letters that are gone, or cannot be read, are taken away, and the latter are told', async () => {
    const it = world(1, 2, 3);
    it.park(1, Uint8Array.of(1));
    it.store.entries.delete(letterKeyOf('c', deadLetterIdOf(2)));
    it.replays.look();
    await turns();
    expect(it.numbers()).toEqual([3]);
    expect(it.faults).toHaveLength(1);
    expect(it.faults[0]).toBeInstanceOf(ConsumerError);
    expect(String(it.faults[0])).toContain('00000000000001 cannot be read: it is cut short');
    const wishes = [...it.store.entries.keys()].filter((key) => key.includes('!r'));
    expect(wishes).toEqual([wishKeyOf('c', deadLetterIdOf(3))]);
  });

  it('stay where a read fails, which is told, and the next look finds them', async () => {
    const it = world(1);
    const error = new IoError('read', 'x', 'EIO', 'failed');
    it.store.hands.beforeEntry = () => Promise.reject(error);
    it.replays.look();
    await turns();
    expect(it.faults).toEqual([error]);
    expect(it.numbers()).toEqual([]);
    it.store.hands.beforeEntry = () => Promise.resolve();
    it.replays.look();
    await turns();
    expect(it.numbers()).toEqual([1]);
  });

  it('stay where the store or the run ends, which is no fault', async () => {
    const closed = world(1);
    closed.store.hands.beforeEntry = () => Promise.reject(new ClosedError('store'));
    closed.replays.look();
    await turns();
    expect([closed.faults, closed.numbers()]).toEqual([[], []]);

    for (const isFailing of [false, true]) {
      const over = world(1);
      const opened = gate();
      over.store.hands.beforeEntry = async () => {
        await opened.opened;
        if (isFailing) throw new IoError('read', 'x', 'EIO', 'failed');
      };
      over.replays.look();
      await turns();
      over.replays.close();
      opened.open();
      await turns();
      expect([over.faults, over.numbers()]).toEqual([[], []]);
      expect(over.store.entries.size).toBe(2);
    }
  });
});

describe('letters that are dropped', () => {
  it('while one is read are not at work: what was read is read again', async () => {
    const it = world(1);
    const opened = gate();
    let reads = 0;
    it.store.hands.beforeEntry = () => ((reads += 1) === 1 ? opened.opened : Promise.resolve());
    it.replays.look();
    await turns();
    it.store.entries.clear();
    it.replays.dropped(undefined);
    opened.open();
    await turns();
    expect(reads).toBe(2);
    expect(it.numbers()).toEqual([]);
    expect(it.faults).toEqual([]);
  });

  it('while they are at work are told to whoever has them: one alone, or all', async () => {
    const it = world(1, 2, 3);
    it.replays.look();
    await turns();
    it.replays.dropped(deadLetterIdOf(2));
    expect(it.dropped).toEqual([it.admitted[1]]);
    it.replays.dropped(undefined);
    expect(it.dropped).toEqual([it.admitted[1], ...it.admitted]);
  });
});
