import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Memtable } from '../../../src/storage/memtable/memtable.ts';
import { KIND_DELETE, KIND_SET, SEQUENCE_MAX } from '../../../src/storage/read/internal-iterator.ts';
import { runsOf } from '../../support/runs.ts';
import {
  add,
  collectBackwards,
  collectForwards,
  current,
  entryAt,
  entryOrd,
  expectSame,
  firstFrom,
  type ModelEntry,
} from './model.ts';

/** Few letters, so that keys collide, are prefixes of each other, and hold the bytes at both ends of the order. */
const letter = fc.constantFrom(0x00, 0x01, 0x61, 0x80, 0xff);
const beginning = fc.constantFrom('', 'user:', 'user:0000', 'user:0000/shared/longer/');
const tail = fc.oneof(
  fc.array(letter, { maxLength: 4 }),
  fc.array(letter, { minLength: 3, maxLength: 9 }),
  fc.nat(400).map((value) => [...Buffer.from(String(value).padStart(8, '0'))]),
);
const key: fc.Arbitrary<Uint8Array> = fc
  .tuple(beginning, tail)
  .map(([first, rest]) => Uint8Array.from([...Buffer.from(first), ...rest]));
const value = fc.oneof(
  { weight: 9, arbitrary: fc.uint8Array({ maxLength: 6 }) },
  { weight: 1, arbitrary: fc.uint8Array({ minLength: 120, maxLength: 1000, size: 'max' }) },
);
const write = fc.record({ key, value, isDelete: fc.boolean(), gap: fc.constantFrom(1, 1, 1, 2, 2 ** 31, 2 ** 40) });
type Write = typeof write extends fc.Arbitrary<infer T> ? T : never;
const writes = fc.array(write, { maxLength: 400, size: 'max' });

class Model {
  readonly table = Memtable.create(1 << 20);
  readonly entries: ModelEntry[] = [];
  sequence = 0;

  write({ key, value, isDelete, gap }: Write): ModelEntry {
    this.sequence += gap;
    const entry: ModelEntry = {
      key,
      sequence: this.sequence,
      kind: isDelete ? KIND_DELETE : KIND_SET,
      value: isDelete ? new Uint8Array() : value,
    };
    add(this.table, entry);
    this.entries.push(entry);
    return entry;
  }

  sorted(): ModelEntry[] {
    return this.entries.toSorted(entryOrd);
  }
}

// The time is for a busy machine; alone, each takes less than a second.
describe('Memtable against a sorted array', { timeout: 60_000 }, () => {
  it('holds the same entries in the same order, both ways', () => {
    fc.assert(
      fc.property(writes, (list) => {
        const model = new Model();
        for (const each of list) model.write(each);
        expect(model.table.entryCount).toBe(list.length);
        expectSame(collectForwards(model.table), model.sorted());
        expectSame(collectBackwards(model.table), model.sorted().toReversed());
      }),
    );
  });

  it('finds the same version of every key at every sequence number', () => {
    fc.assert(
      fc.property(writes, fc.array(key, { maxLength: 20 }), (list, others) => {
        const model = new Model();
        for (const each of list) model.write(each);
        const sorted = model.sorted();
        const sequences = [0, SEQUENCE_MAX, ...model.entries.slice(-5).flatMap(({ sequence: at }) => [at - 1, at])];
        for (const wanted of [...others, ...list.slice(-20).map((each) => each.key)]) {
          for (const sequence of sequences) {
            const expected = firstFrom(sorted, { key: wanted, sequence });
            const isFound = expected !== undefined && Buffer.compare(expected.key, wanted) === 0;
            const found = entryAt(model.table, model.table.find(wanted, 0, wanted.length, sequence));
            expectSame([found], [isFound ? expected : undefined]);
          }
        }
      }),
    );
  });

  it('seeks to the same entry', () => {
    fc.assert(
      fc.property(writes, fc.array(fc.tuple(key, fc.nat(500)), { maxLength: 30 }), (list, targets) => {
        const model = new Model();
        for (const each of list) model.write({ ...each, gap: 1 });
        const sorted = model.sorted();
        const iterator = model.table.iterator();
        for (const [wanted, sequence] of [...targets, ...sorted.map((entry) => [entry.key, entry.sequence] as const)]) {
          void iterator.seek(wanted, sequence);
          expectSame([current(iterator)], [firstFrom(sorted, { key: wanted, sequence })]);
        }
      }),
      runsOf(50),
    );
  });

  it('iterates over what was there, once each and in order, while more is added', () => {
    type Action =
      | { type: 'next' | 'previous' | 'first' | 'last' }
      | { type: 'seek'; key: Uint8Array }
      | { type: 'write'; writes: Write[] };
    const action: fc.Arbitrary<Action> = fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom<Action[]>({ type: 'next' }, { type: 'previous' }) },
      { weight: 1, arbitrary: fc.constantFrom<Action[]>({ type: 'first' }, { type: 'last' }) },
      { weight: 1, arbitrary: key.map((wanted): Action => ({ type: 'seek', key: wanted })) },
      {
        weight: 6,
        arbitrary: fc
          .array(write, { minLength: 1, maxLength: 40 })
          .map((list): Action => ({ type: 'write', writes: list })),
      },
    );
    fc.assert(
      fc.property(writes, fc.array(action, { maxLength: 80, size: 'max' }), (list, actions) => {
        const model = new Model();
        for (const each of list) model.write(each);
        const iterator = model.table.iterator();
        void iterator.seekToFirst();
        let at = model.sorted()[0];
        expectSame([current(iterator)], [at]);
        for (const step of actions) {
          if (step.type === 'write') for (const each of step.writes) model.write(each);
          const sorted = model.sorted();
          if (step.type === 'first') void iterator.seekToFirst();
          if (step.type === 'last') void iterator.seekToLast();
          if (step.type === 'seek') void iterator.seek(step.key, SEQUENCE_MAX);
          if (step.type === 'first') at = sorted[0];
          if (step.type === 'last') at = sorted.at(-1);
          if (step.type === 'seek') at = sorted.find((entry) => Buffer.compare(entry.key, step.key) >= 0);
          const here = at;
          if (here !== undefined && step.type === 'next') {
            void iterator.next();
            at = sorted.find((entry) => entryOrd(entry, here) > 0);
          }
          if (here !== undefined && step.type === 'previous') {
            void iterator.previous();
            at = sorted.findLast((entry) => entryOrd(entry, here) < 0);
          }
          expectSame([current(iterator)], [at]);
        }
      }),
      runsOf(100),
    );
  });

  it('never skips or repeats an entry when a scan and the writer take turns', () => {
    const table = Memtable.create(4 << 20);
    const keyOf = (number: number): Uint8Array => Buffer.from(`user:${String(number).padStart(12, '0')}`);
    const put = (number: number, sequence: number): void =>
      add(table, { key: keyOf(number), sequence, kind: KIND_SET, value: new Uint8Array(3) });
    for (let at = 0; at < 5_000; at += 1) put(((at * 7919) % 5_000) * 2, at + 1);
    const iterator = table.iterator();
    const seen: number[] = [];
    void iterator.seekToFirst();
    for (let turn = 0; iterator.isValid; turn += 1) {
      if (iterator.sequence <= 5_000)
        seen.push(
          Number(
            Buffer.from(current(iterator)?.key ?? [])
              .toString()
              .slice(5),
          ),
        );
      if (turn < 5_000) put(((turn * 2 + 1 + ((turn * 104_729) % 9_973)) % 10_000) | 1, 10_000 + turn);
      void iterator.next();
    }
    expect(seen).toEqual(Array.from({ length: 5_000 }, (_, at) => at * 2));
  });
});
