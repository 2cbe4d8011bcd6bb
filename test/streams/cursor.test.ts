// Goal: a place in the change stream leads on, or says why not: with a typed error, where the docstrings say it comes.
// Method: cursors of changes that were seen, carried over closes, copies, crashes and other databases; texts that are none;
// options that are wrong, as plain JavaScript gives them.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Change,
  type ChangesFrom,
  type ChangesOptions,
  type Cursor,
  InvalidArgumentError,
  InvalidCursorError,
  isCursor,
  MemoryFileSystem,
  open,
  openInMemory,
  OutOfRangeError,
  type Store,
} from '../../src/index.ts';
import { cursorPrefix, parseCursor } from '../../src/streams/cursor.ts';
import { ending, linesOf, taken } from '../support/change-lines.ts';
import { runsOf } from '../support/runs.ts';

const DIRECTORY = '/data';
const ID = '0123456789abcdef0123456789abcdef';
/** As a plain-JavaScript caller gives it. */
const wrong = (given: unknown): never => given as never;

/** Sets the keys, one write each, and gives the changes. */
async function setAll(store: Store, keys: string): Promise<Change[]> {
  const { sequence: before } = await store.write([]);
  for (const key of keys) await store.set(key, '');
  return taken(store.changes({ from: before + 1 }), keys.length);
}
const cursorsOf = (changes: readonly Change[]): Cursor[] => changes.map(({ cursor }) => cursor);
/** Lines of the first changes behind a place. */
const linesFrom = async (store: Store, from: ChangesFrom, count: number): Promise<string[]> =>
  linesOf(await taken(store.changes({ from }), count));

/** The error of a stream, pulled and pushed; the call itself must not throw. */
async function errorOf(store: Store, from: ChangesFrom): Promise<unknown> {
  const stream = store.changes({ from });
  const { values, error } = await ending(stream);
  expect(values).toEqual([]);
  const pushed = await new Promise((resolve) => void stream.subscribe({ error: resolve, complete: () => resolve(0) }));
  expect(pushed).toEqual(error);
  return error;
}
const fault = async (store: Store, from: ChangesFrom): Promise<string> => {
  const error = await errorOf(store, from);
  expect(error).toBeInstanceOf(InvalidCursorError);
  const { code, cursor, fault: reason, message } = error as InvalidCursorError;
  expect(code).toBe('INVALID_CURSOR');
  expect(cursor).toBe(String(from));
  expect(message).toContain('leads nowhere');
  return reason;
};

const MALFORMED = [
  '',
  'later',
  'NOW',
  'now ',
  '5',
  'al1.',
  `al2.${ID}.1.5`,
  `${ID}.1.5`,
  `al1.${ID}.1`,
  `al1.${ID}.1.`,
  `al1.${ID}..5`,
  `al1.${ID}.1.5.6`,
  `al1.${ID}.0.5`,
  `al1.${ID}.01.5`,
  `al1.${ID}.1.05`,
  `al1.${ID}.-1.5`,
  `al1.${ID}.1.-5`,
  `al1.${ID}.1.+5`,
  `al1.${ID}.1.5e3`,
  `al1.${ID}.1.0x5`,
  `al1.${ID}.1.5\n`,
  ` al1.${ID}.1.5`,
  `al1.${ID.toUpperCase()}.1.5`,
  `al1.${ID.slice(1)}.1.5`,
  `al1.${ID}0.1.5`,
  `al1.${ID.replace('a', 'g')}.1.5`,
  `al1.${ID}.1.9007199254740992`,
  `al1.${ID}.9007199254740992.1`,
  `al1.${ID}.1.99999999999999999999999999`,
  `al1.${ID}.1.\u0665`,
  `AL1.${ID}.1.5`,
  'x'.repeat(100_000),
] as const;

describe('a cursor', () => {
  it.each(MALFORMED.map((text) => [text.slice(0, 60), text]))('is none: %j', async (_name, text) => {
    expect(isCursor(text)).toBe(false);
    const store = await openInMemory();
    expect(await fault(store, text as Cursor)).toBe('malformed');
    const { message } = (await errorOf(store, text as Cursor)) as Error;
    expect(message.length).toBeLessThan(300);
    await store.close();
  });

  it('is no other value than a text', () => {
    for (const value of [undefined, null, 5, {}, [`al1.${ID}.1.5`], new Date(), Symbol('al1')]) {
      expect(isCursor(value)).toBe(false);
    }
  });

  it('is what it was made of, and nothing else is one', () => {
    const number = fc.maxSafeNat();
    fc.assert(
      fc.property(
        number.map((epoch) => Math.max(1, epoch)),
        number,
        fc.nat(),
        fc.string(),
        (epoch, sequence, at, text) => {
          const cursor = `${cursorPrefix(ID, epoch)}${sequence}`;
          expect(isCursor(cursor)).toBe(true);
          expect(parseCursor(cursor)).toEqual({ databaseId: ID, epoch, sequence });
          // With a character taken out or put in it is another place or none; never the same.
          const place = at % cursor.length;
          for (const other of [
            cursor.slice(0, place) + cursor.slice(place + 1),
            cursor.slice(0, place) + text + cursor.slice(place),
          ]) {
            if (other !== cursor && isCursor(other)) expect(parseCursor(other)).not.toEqual(parseCursor(cursor));
          }
          if (!text.startsWith('al1.')) expect(() => parseCursor(text)).toThrow(InvalidCursorError);
        },
      ),
      runsOf(500),
    );
  });

  it('leads on behind the change that had it, in the middle of a batch too', async () => {
    const store = await openInMemory();
    await store.write(['a', 'b', 'c'].map((key) => ({ type: 'set', key, value: '1' })));
    await store.delete('b');
    const changes = await taken(store.changes({ from: 'start' }), 4);
    for (const [index, cursor] of cursorsOf(changes).entries()) {
      const rest = changes.slice(index + 1);
      expect(await taken(store.changes({ from: cursor }), rest.length)).toEqual(rest);
    }
    const [last] = cursorsOf(changes).slice(-1);
    const live = taken(store.changes({ from: last }), 1);
    await store.set('d', '2');
    expect(linesOf(await live)).toEqual(['5 set d=2']);
    await store.close();
  });

  it('leads on after a close, in a copy of the directory, and after a killed process', async () => {
    const fileSystem = new MemoryFileSystem();
    const first = await open(DIRECTORY, { fileSystem });
    const [a, b] = cursorsOf(await setAll(first, 'ab'));
    await first.close();

    const copy = await open(DIRECTORY, { fileSystem: fileSystem.crashImage('all', () => 0) });
    expect(await linesFrom(copy, a as Cursor, 1)).toEqual(['2 set b=']);
    await copy.close();

    const second = await open(DIRECTORY, { fileSystem });
    expect(await linesFrom(second, a as Cursor, 1)).toEqual(['2 set b=']);
    await second.set('c', '', { durability: 'buffered' });
    expect(await linesFrom(second, b as Cursor, 1)).toEqual(['3 set c=']);

    // Nothing that was written is lost when only the process dies; but numbers go on behind a gap.
    const third = await open(DIRECTORY, { fileSystem: fileSystem.crashImage('all', () => 0) });
    const [d] = await setAll(third, 'd');
    expect(d?.sequence).toBeGreaterThan(2 ** 30);
    expect(await linesFrom(third, a as Cursor, 3)).toEqual(['2 set b=', '3 set c=', `${d?.sequence} set d=`]);
    // A number in the gap is before the next change; so is a cursor that a stream of the present time gives there.
    expect(await linesFrom(third, 1000, 1)).toEqual([`${d?.sequence} set d=`]);
    await Promise.all([second.close(), third.close()]);
  });

  it('of another database, or of one that was here before, is refused', async () => {
    const [one, other] = [await openInMemory(), await openInMemory()];
    const [change] = await setAll(one, 'a');
    await setAll(other, 'a');
    expect(await fault(other, change?.cursor as Cursor)).toBe('otherDatabase');
    expect(await fault(one, `al1.${ID}.1.0`)).toBe('otherDatabase');
    await Promise.all([one.close(), other.close()]);
  });

  it('of the future is refused: of a later number, and of a later epoch', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open(DIRECTORY, { fileSystem });
    const [, b] = await setAll(store, 'ab');
    const [prefix, id, epoch, sequence] = (b?.cursor ?? '').split('.') as [string, string, string, string];
    expect([prefix, sequence]).toEqual(['al1', '2']);
    expect(await fault(store, `al1.${id}.${epoch}.3`)).toBe('future');
    expect(await fault(store, `al1.${id}.${Number(epoch) + 1}.1`)).toBe('future');
    expect(await fault(store, `al1.${id}.${Number.MAX_SAFE_INTEGER}.${Number.MAX_SAFE_INTEGER}`)).toBe('future');
    // What an older copy of the directory has not got to yet.
    const image = fileSystem.crashImage('all', () => 0);
    await store.close();
    const again = await open(DIRECTORY, { fileSystem });
    const [c] = await setAll(again, 'c');
    await again.close();
    const older = await open(DIRECTORY, { fileSystem: image });
    expect(await fault(older, c?.cursor as Cursor)).toMatch(/^(future|droppedEpoch)$/);
    await older.close();
  });

  it('behind a change that a power cut took is refused; one behind a change that survived leads on', async () => {
    const fileSystem = new MemoryFileSystem();
    const store = await open(DIRECTORY, { fileSystem, syncIntervalMs: 60_000 });
    await store.set('kept', '', { durability: 'synced' });
    await store.set('lost', '', { durability: 'buffered' });
    const [kept, lost] = cursorsOf(await taken(store.changes({ from: 'start' }), 2));
    const image = fileSystem.crashImage('synced', () => 0);
    const after = await open(DIRECTORY, { fileSystem: image });
    expect(await fault(after, lost as Cursor)).toBe('droppedEpoch');
    const [next] = await setAll(after, 'n');
    expect(await fault(after, lost as Cursor)).toBe('droppedEpoch'); // also when there are more numbers than it
    expect(await linesFrom(after, kept as Cursor, 1)).toEqual([`${next?.sequence} set n=`]);
    expect(next?.sequence).toBeGreaterThan(2 ** 30);
    await after.close();

    // And over the next crash, and the one after that.
    const later = await open(DIRECTORY, { fileSystem: image.crashImage('synced', () => 0) });
    expect(await fault(later, lost as Cursor)).toBe('droppedEpoch');
    expect(await linesFrom(later, kept as Cursor, 1)).toEqual([`${next?.sequence} set n=`]);
    await Promise.all([store.close(), later.close()]);
  });

  it('of a store that is opened for reading only leads on up to its end, or is of the future', async () => {
    const fileSystem = new MemoryFileSystem();
    const writer = await open(DIRECTORY, { fileSystem });
    const [a, b] = cursorsOf(await setAll(writer, 'ab'));
    await writer.close();
    const store = await open(DIRECTORY, { fileSystem, readOnly: true });
    expect(await linesFrom(store, a as Cursor, 1)).toEqual(['2 set b=']);
    expect(await fault(store, (b ?? '').replace(/2$/, '3') as Cursor)).toBe('future');
    expect(await fault(store, 4)).toBe('future');
    const atEnd = ending(store.changes({ from: b }));
    expect(linesOf(await taken(store.changes({ from: 'snapshot' }), 3))).toEqual([
      '1 entry a=',
      '2 entry b=',
      'snapshotEnd 2',
    ]);
    await store.close();
    expect(await atEnd).toEqual({ values: [], error: undefined });
  });
});

describe('a number as a place', () => {
  it('is the first change of at least it; 0 and 1 are the beginning; one beyond the next is of the future', async () => {
    const store = await openInMemory();
    await setAll(store, 'abc');
    for (const from of [0, 1]) expect(await linesFrom(store, from, 3)).toEqual(['1 set a=', '2 set b=', '3 set c=']);
    expect(await linesFrom(store, 3, 1)).toEqual(['3 set c=']);
    const live = linesFrom(store, 4, 1);
    for (const from of [5, Number.MAX_SAFE_INTEGER]) expect(await fault(store, from)).toBe('future');
    await store.set('d', '');
    expect(await live).toEqual(['4 set d=']);
    await store.close();
  });
});

describe('what is wrong is refused at the call', () => {
  const cases: readonly [
    name: string,
    options: ChangesOptions,
    error: typeof InvalidArgumentError | typeof OutOfRangeError,
    argument: string,
  ][] = [
    ['a negative number', { from: -1 }, InvalidArgumentError, 'from'],
    ['half a number', { from: 1.5 }, InvalidArgumentError, 'from'],
    ['NaN', { from: NaN }, InvalidArgumentError, 'from'],
    ['Infinity', { from: Infinity }, InvalidArgumentError, 'from'],
    ['a number beyond all numbers', { from: 2 ** 53 }, InvalidArgumentError, 'from'],
    ['no date', { from: new Date(NaN) }, InvalidArgumentError, 'from'],
    ['null', { from: wrong(null) }, InvalidArgumentError, 'from'],
    ['an object', { from: wrong({}) }, InvalidArgumentError, 'from'],
    ['a bigint', { from: wrong(5n) }, InvalidArgumentError, 'from'],
    ['bytes', { from: wrong(new Uint8Array(5)) }, InvalidArgumentError, 'from'],
    ['a truth', { from: wrong(true) }, InvalidArgumentError, 'from'],
    ['another policy', { overflow: wrong('wait') }, InvalidArgumentError, 'overflow'],
    ['no policy', { overflow: wrong(null) }, InvalidArgumentError, 'overflow'],
    ['another durability', { durability: wrong('durable') }, InvalidArgumentError, 'durability'],
    ['no changes', { bufferChangesMax: 0 }, OutOfRangeError, 'bufferChangesMax'],
    ['half a change', { bufferChangesMax: 1.5 }, OutOfRangeError, 'bufferChangesMax'],
    ['too many changes', { bufferChangesMax: 2 ** 24 + 1 }, OutOfRangeError, 'bufferChangesMax'],
    ['changes without end', { bufferChangesMax: Infinity }, OutOfRangeError, 'bufferChangesMax'],
    ['changes in words', { bufferChangesMax: wrong('5') }, InvalidArgumentError, 'bufferChangesMax'],
    ['no bytes', { bufferBytesMax: 0 }, OutOfRangeError, 'bufferBytesMax'],
    ['too many bytes', { bufferBytesMax: 2 ** 30 + 1 }, OutOfRangeError, 'bufferBytesMax'],
    ['bytes in words', { bufferBytesMax: wrong('5') }, InvalidArgumentError, 'bufferBytesMax'],
    ['a bound that is no key', { gte: wrong(5) }, InvalidArgumentError, 'gte'],
    ['a signal that is none', { signal: wrong({ aborted: false }) }, InvalidArgumentError, 'options.signal'],
  ];
  it.each(cases)('%s', async (_name, options, error, argument) => {
    const store = await openInMemory();
    const call = (): unknown => store.changes(options);
    expect(call).toThrow(error);
    expect(call).toThrow(expect.objectContaining({ argument }));
    await store.close();
  });

  it('no options at all, but for none given', async () => {
    const store = await openInMemory();
    for (const options of [null, 5, 'start']) expect(() => store.changes(wrong(options))).toThrow(InvalidArgumentError);
    const given = { from: undefined, overflow: undefined, durability: undefined, signal: undefined };
    const live = taken(store.changes({ ...given, bufferChangesMax: undefined, bufferBytesMax: undefined }), 1);
    const largest = taken(store.changes({ bufferChangesMax: 2 ** 24, bufferBytesMax: 2 ** 30 }), 1);
    const smallest = taken(store.changes({ bufferChangesMax: 1, bufferBytesMax: 1 }), 1);
    await store.set('a', '');
    for (const one of [live, largest, smallest]) expect(linesOf(await one)).toEqual(['1 set a=']);
    await store.close();
  });

  it('a stream of a closed store fails with CLOSED, when it is read', async () => {
    const store = await openInMemory();
    const before = store.changes({ from: 'start' });
    await store.close();
    for (const stream of [before, store.changes()]) {
      expect(() => stream[Symbol.asyncIterator]()).toThrow(expect.objectContaining({ code: 'CLOSED' }));
      const error = await new Promise((resolve) => void stream.subscribe({ error: resolve }));
      expect(error).toMatchObject({ code: 'CLOSED' });
    }
  });
});
