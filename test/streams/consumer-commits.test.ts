// Goal: effects happen exactly once, whatever comes in the way of the commit: somebody else's writes, other deliveries of
// the same batch, a log that is being mended, a line that the store never takes.
import { describe, expect, it, vi } from 'vitest';
import {
  ClosedError,
  ConflictError,
  InvalidArgumentError,
  IoError,
  OutOfRangeError,
  ReadOnlyError,
  ConsumerError,
  ValueTooLargeError,
} from '../../src/errors.ts';
import type { Change } from '../../src/model.ts';
import type { Transaction } from '../../src/streams/consumer-options.ts';
import { DeliveryTransaction } from '../../src/streams/consumer-transaction.ts';
import { turns } from '../support/consumer-ports.ts';
import { fill, gate, keyOf, run, runOf, toArray, typesOf, valueOf, world } from '../support/consumer-runs.ts';

const text = (value: Uint8Array | undefined): string => (value === undefined ? '' : Buffer.from(value).toString());

/** Adds the change's value to a sum: loses nothing only if what it read still holds. */
const addUp = async (change: Change, tx: Transaction): Promise<void> => {
  const sum = Number(text(await tx.get('out:sum')));
  await turns(1);
  tx.set('out:sum', String(sum + Number(valueOf(change))));
};

describe('conditions', () => {
  it('handlers that read and write one key lose no update', async () => {
    const it = world();
    fill(it.store, 40);
    const handle = vi.fn(addUp);
    const { events } = run(it, { inFlightMax: 16, handle });
    await turns(400);
    expect(it.store.text('out:sum')).toBe(String((39 * 40) / 2));
    expect(events.some((event) => event.type === 'conflict')).toBe(true);
    expect(events.some((event) => event.type === 'failedAttempt')).toBe(false);
    expect(handle.mock.calls.length).toBeLessThan(40 * 5); // not the square of it
  });

  it("somebody else's write has the handler run again, and counts as no attempt", async () => {
    const it = world();
    fill(it.store, 3);
    let runs = 0;
    const { events } = run(it, {
      attemptsMax: 1,
      handle: async (change, tx, { attempt }) => {
        expect(attempt).toBe(1);
        if (keyOf(change) !== 'k1') return tx.set(`out:${keyOf(change)}`, 'x');
        runs += 1;
        const before = text(await tx.get('z'));
        if (runs <= 3) it.store.put('z', String(runs));
        tx.set('out:z', before);
      },
    });
    await turns(30);
    expect(runs).toBe(4);
    expect(it.store.text('out:z')).toBe('3');
    expect(it.store.text('out:k2')).toBe('x');
    expect(typesOf(events).filter((type) => type === 'conflict')).toHaveLength(3);
  });

  it('of a batch in which one conflicts, the others are not run again', async () => {
    const it = world();
    fill(it.store, 8);
    const runs = new Map<string, number>();
    run(it, {
      handle: async (change, tx) => {
        const key = keyOf(change);
        runs.set(key, (runs.get(key) ?? 0) + 1);
        await tx.get(`z${key}`);
        if (key === 'k3' && runs.get(key) === 1) it.store.put('zk3', 'x');
        tx.set(`out:${key}`, '');
      },
    });
    await turns(30);
    expect([...runs].filter(([, count]) => count !== 1)).toEqual([['k3', 2]]);
    expect([...it.store.entries.keys()].filter((key) => key.startsWith('out:'))).toHaveLength(8);
  });

  it('conflicts without end are failed attempts after a while, and a dead letter in the end', async () => {
    const it = world();
    fill(it.store, 1);
    let runs = 0;
    const { events, consumer } = run(it, {
      attemptsMax: 2,
      handle: (_change, tx) => {
        runs += 1;
        tx.write([{ type: 'check', key: 'never', sequence: 77 }]);
      },
    });
    for (let round = 0; round < 10; round += 1) {
      await turns(100);
      await it.clock.advance(100);
    }
    expect(runs).toBe(202);
    expect(events.filter((event) => event.type === 'failedAttempt')).toMatchObject([
      { error: expect.any(ConflictError) as unknown },
      { error: expect.any(ConflictError) as unknown },
    ]);
    expect(await toArray(consumer.deadLetters())).toMatchObject([{ error: { code: 'CONFLICT' }, attempts: 2 }]);
  });

  it('a check of what a fellow of the same batch writes does not hold', async () => {
    const it = world();
    fill(it.store, 2);
    const taken: string[] = [];
    run(it, {
      handle: (change, tx) => {
        if (it.store.text('out:once') !== undefined) return;
        tx.write([
          { type: 'check', key: 'out:once', sequence: 'absent' },
          { type: 'set', key: 'out:once', value: keyOf(change) },
        ]);
        taken.push(keyOf(change));
      },
    });
    await turns(30);
    expect(taken).toEqual(['k0', 'k1']); // both were run; one was run again, and saw
    expect(it.store.text('out:once')).toBe('k0');
  });
});

describe('a transaction', () => {
  it('sees its own writes, and copies what it is given', async () => {
    const it = world();
    it.store.put('k0', '0');
    it.store.put('z', 'before');
    const seen: string[] = [];
    run(it, {
      handle: async (_change, tx) => {
        seen.push(text(await tx.get('z')));
        const key = Buffer.from('out:a');
        const value = Buffer.from('value');
        tx.set(key, value);
        key.fill(0);
        value.fill(0);
        seen.push(text(await tx.get('out:a')));
        tx.delete('z');
        seen.push(String(await tx.get(Buffer.from('z'))));
        tx.write([{ type: 'set', key: 'z', value: 'again' }]);
        seen.push(text(await tx.get('z')));
      },
    });
    await turns(30);
    expect(seen).toEqual(['before', 'value', 'undefined', 'again']);
    expect(it.store.text('out:a')).toBe('value');
    expect(it.store.text('z')).toBe('again');
  });

  it('refuses at the call what is no line, what is ours, and what is too much', () => {
    const { store } = world();
    const tx = new DeliveryTransaction(store, 'c');
    expect(() => tx.set(1 as unknown as string, '')).toThrow(InvalidArgumentError);
    expect(() => tx.set('k', undefined as unknown as string)).toThrow(InvalidArgumentError);
    expect(() => tx.set('!_alluvium!x', '')).toThrow(InvalidArgumentError);
    expect(() => tx.delete('!_alluvium!x')).toThrow(InvalidArgumentError);
    expect(() => tx.write([{ type: 'delete', key: '!_alluvium!x' }])).toThrow(InvalidArgumentError);
    expect(() => tx.get(7 as unknown as string)).toThrow(InvalidArgumentError);
    const many = Array.from({ length: 1_048_576 }, () => ({ type: 'delete', key: 'k' }) as const);
    expect(tx.lines).toHaveLength(0);
    tx.write(many);
    expect(() => tx.delete('k')).toThrow(OutOfRangeError);
  });
});

describe('what a transaction reads', () => {
  it('is what it has written, from its first read on and before', async () => {
    const { store } = world();
    for (const key of ['a', 'b', 'c']) store.put(key, 'old');
    const tx = new DeliveryTransaction(store, 'c');
    tx.set('a', '1');
    tx.delete('b');
    expect([text(await tx.get('a')), await tx.get('b'), text(await tx.get('c'))]).toEqual(['1', undefined, 'old']);
    tx.delete('a');
    tx.write([
      { type: 'set', key: 'b', value: '2' },
      { type: 'delete', key: 'c' },
    ]);
    expect([await tx.get('a'), text(await tx.get('b')), await tx.get('c')]).toEqual([undefined, '2', undefined]);
    expect(tx.checks).toMatchObject([{ type: 'check', sequence: 3 }]); // what it wrote itself is no condition
  });

  it('becomes one condition of each key, by its first answer', async () => {
    const { store } = world();
    const tx = new DeliveryTransaction(store, 'c');
    expect(await tx.get('a')).toBeUndefined();
    store.put('a', '1');
    expect(text(await tx.get('a'))).toBe('1');
    expect(tx.checks).toMatchObject([{ type: 'check', sequence: 'absent' }]);
  });

  it('comes too late when the delivery is over, fails with the store, and may be too much', async () => {
    const { store } = world();
    const tx = new DeliveryTransaction(store, 'c');
    const error = new IoError('read', 'x', 'EIO', 'failed');
    store.hands.beforeEntry = () => Promise.reject(error);
    await expect(tx.get('a').then()).rejects.toBe(error);
    store.hands.beforeEntry = () => Promise.resolve();
    tx.write(Array.from({ length: 1_048_576 }, () => ({ type: 'delete', key: 'k' }) as const));
    await expect(tx.get('a').then()).rejects.toThrow(OutOfRangeError);
    tx.discard();
    expect([tx.lines, tx.checks, tx.bytes]).toEqual([[], [], 0]);
    const over = new DeliveryTransaction(store, 'c');
    const opened = gate();
    store.hands.beforeEntry = () => opened.opened;
    const late = over.get('a').then();
    over.end();
    opened.open();
    await expect(late).rejects.toThrow(ConsumerError);
    expect(over.checks).toEqual([]);
    await expect(over.get('a').then()).rejects.toThrow(ConsumerError);
  });

  it('is asked for no more when nobody waits for it', async () => {
    const { store } = world();
    const tx = new DeliveryTransaction(store, 'c');
    const opened = gate();
    store.hands.beforeEntry = () => opened.opened;
    tx.get('a')
      .subscribe(() => expect.unreachable())
      .unsubscribe();
    opened.open();
    await turns();
    expect(tx.checks).toEqual([]);
  });
});

describe('commits that fail', () => {
  it.each([
    ['an input or output error', new IoError('sync', 'x', 'EIO', 'unknown')],
    ['a store that takes no writes', new ReadOnlyError('the log is being mended')],
  ])('%s: tried again, and no handler for it', async (_what, error) => {
    const it = world();
    fill(it.store, 3);
    const handle = vi.fn((change: Change, tx: Transaction) => tx.set(`out:${keyOf(change)}`, 'x'));
    const { consumer, events } = run(it, { handle });
    let failures = 0;
    it.store.hands.beforeCommit = (operations) =>
      operations.length > 1 && (failures += 1) <= 4 ? Promise.reject(error) : Promise.resolve();
    await it.clock.advance(5_000);
    expect(failures).toBe(5);
    expect(handle).toHaveBeenCalledTimes(3);
    expect(it.store.text('out:k2')).toBe('x');
    expect((await consumer.position())?.sequence).toBeGreaterThanOrEqual(3);
    expect(typesOf(events).filter((type) => type === 'commitDelayed')).toHaveLength(4);
  });

  it('a line that the store never takes is found, and its fellows commit', async () => {
    const it = world();
    fill(it.store, 5);
    const { consumer, events } = run(it, {
      attemptsMax: 2,
      handle: (change, tx) => tx.set(`out:${keyOf(change)}`, keyOf(change) === 'k2' ? 'huge' : 'small'),
    });
    it.store.hands.beforeCommit = (operations) =>
      operations.some((operation) => operation.type === 'set' && operation.value === 'huge')
        ? Promise.reject(new ValueTooLargeError('batch', 2, 1))
        : Promise.resolve();
    await it.clock.advance(5_000);
    const written = [...it.store.entries.keys()].filter((key) => key.startsWith('out:'));
    expect(written.sort()).toEqual(['out:k0', 'out:k1', 'out:k3', 'out:k4']);
    expect(await toArray(consumer.deadLetters())).toMatchObject([{ error: { code: 'VALUE_TOO_LARGE' }, attempts: 2 }]);
    expect((await consumer.position())?.sequence).toBeGreaterThanOrEqual(5);
    expect(events.filter((event) => event.type === 'failedAttempt')).toHaveLength(2);
  });

  it('a dead letter that the store never takes ends the run with the error', async () => {
    const it = world();
    fill(it.store, 1);
    const refused = new ValueTooLargeError('batch', 2, 1);
    const result = run(it, { attemptsMax: 1, handle: () => Promise.reject(new Error('broken')) });
    it.store.hands.beforeCommit = (operations) => (operations.length > 1 ? Promise.reject(refused) : Promise.resolve());
    await turns(30);
    // It names the change, and says what to do.
    expect(result.error).toBeInstanceOf(ConsumerError);
    expect(result.error).toMatchObject({
      message: expect.stringMatching(/change 1 .*[Ss]eek/) as string,
      cause: refused,
    });
    expect(it.store.openSources).toBe(0);
  });

  it('a closed store completes the run; what was not committed is delivered by the next', async () => {
    const it = world();
    fill(it.store, 2);
    const result = run(it, { handle: () => undefined });
    it.store.hands.beforeCommit = (operations) =>
      operations.length >= 1 && it.store.isClosed ? Promise.reject(new ClosedError('store')) : Promise.resolve();
    await turns();
    it.store.put('k2', '');
    it.store.close();
    await turns();
    expect(result).toMatchObject({ isComplete: true, error: undefined });
  });

  it('what was done when the last worker leaves is committed', async () => {
    const it = world();
    fill(it.store, 4);
    const { opened, open } = gate();
    const { subscription, consumer } = run(it, { handle: (change, tx) => tx.set(`out:${keyOf(change)}`, 'x') });
    it.store.hands.beforeCommit = (operations) => (operations.length > 1 ? opened : Promise.resolve());
    await turns();
    it.store.put('k4', '');
    await turns(); // done, and waits for the commit under way
    subscription.unsubscribe();
    open();
    await turns();
    expect(it.store.text('out:k4')).toBe('x');
    expect((await consumer.position())?.sequence).toBeGreaterThanOrEqual(5);
    expect(it.store.openSources).toBe(0);
    expect(it.clock.timers.size).toBe(0);
  });

  it('a run that ends while commits fail ends, and the next one delivers again', async () => {
    const it = world();
    fill(it.store, 2);
    const handle = vi.fn((change: Change, tx: Transaction) => tx.set(`out:${keyOf(change)}`, 'x'));
    const first = run(it, { handle });
    it.store.hands.beforeCommit = (operations) =>
      operations.length > 1 ? Promise.reject(new ReadOnlyError('no')) : Promise.resolve();
    await turns();
    first.subscription.unsubscribe();
    await turns();
    expect(it.store.openSources).toBe(0);
    expect(it.clock.timers.size).toBe(0);
    it.store.hands.beforeCommit = () => Promise.resolve();
    runOf(first.consumer);
    await turns();
    expect(handle).toHaveBeenCalledTimes(4);
    expect(it.store.text('out:k1')).toBe('x');
  });

  it('one commit at a time, gathering what is done meanwhile', async () => {
    const it = world();
    let underWay = 0;
    let most = 0;
    it.store.hands.beforeCommit = async () => {
      underWay += 1;
      most = Math.max(most, underWay);
      await turns(2);
      underWay -= 1;
    };
    fill(it.store, 200);
    run(it, { handle: (_change, tx) => turns(1).then(() => tx.set('out:x', '')) });
    await turns(60);
    expect(most).toBe(1);
    expect(it.store.commits.length).toBeLessThan(20);
    expect(it.store.text('!_alluvium!!consumers!c')).toContain('"sequence":200');
  });
});
