// Goal: what a durable consumer promises, each promise alone: at least once, order per partition, effects with the
// position, every way in which a handler can end, bounds, and what bad handlers and bad records get.
// Method: the consumer over a store and a change stream in a Map, and a clock moved by hand (test/support/consumer-ports).
import { EMPTY, from, NEVER, Observable, of, throwError } from 'rxjs';
import { describe, expect, it, vi } from 'vitest';
import { ConsumerError } from '../../src/errors.ts';
import type { Change } from '../../src/model.ts';
import type { Delivery, Transaction } from '../../src/streams/consumer-options.ts';
import { cursorAt, turns } from '../support/consumer-ports.ts';
import { crash, fill, gate, keyOf, run, toArray, typesOf, valueOf, world } from '../support/consumer-runs.ts';

describe('handling', () => {
  it('delivers every change in order, and commits effects and position in one batch', async () => {
    const it = world();
    fill(it.store, 5);
    const seen: string[] = [];
    const { events, consumer } = run(it, {
      handle: (change, tx) => {
        seen.push(keyOf(change));
        tx.set(`seen:${keyOf(change)}`, valueOf(change));
      },
      lt: 'l',
    });
    await turns();
    expect(seen).toEqual(['k0', 'k1', 'k2', 'k3', 'k4']);
    expect(it.store.text('seen:k3')).toBe('3');
    const last = it.store.commits.at(-1) ?? [];
    expect(last.map((operation) => String(operation.key))).toEqual([
      ...['seen:k0', 'seen:k1', 'seen:k2', 'seen:k3', 'seen:k4'],
      '!_alluvium!!consumers!c',
    ]);
    expect(await consumer.position()).toMatchObject({ sequence: 5, settledBeyond: 0, isPaused: false });
    expect(events.filter((event) => event.type === 'acked')).toEqual([
      { type: 'acked', changes: 5, sequence: 5, cursor: cursorAt(5) },
    ]);
    it.store.put('k5', '5');
    await turns();
    expect(seen.at(-1)).toBe('k5');
  });

  it.each([
    ['nothing', () => undefined],
    ['a promise', () => Promise.resolve(1)],
    ['an observable that completes at once', () => of(1)],
    ['an observable without values', () => EMPTY],
    ['an iterable', () => [1, 2, 3]],
    [
      'an async generator',
      () =>
        (async function* () {
          yield await Promise.resolve(1);
        })(),
    ],
    [
      'a million values',
      () =>
        new Observable((subscriber) => {
          for (let value = 0; value < 1_000_000; value += 1) subscriber.next(value);
          subscriber.complete();
        }),
    ],
    [
      'a completion that comes twice',
      () =>
        new Observable((subscriber) => {
          subscriber.complete();
          // eslint-disable-next-line rxjs-x/no-redundant-notify -- the mistake that is looked at
          subscriber.complete();
          // eslint-disable-next-line rxjs-x/no-redundant-notify -- likewise
          subscriber.error(new Error('late'));
        }),
    ],
  ])('a handler that gives %s is done, once', async (_what, give) => {
    const it = world();
    fill(it.store, 1);
    const { events, consumer } = run(it, { handle: give });
    await turns();
    expect(typesOf(events)).toEqual(['delivered', 'acked']);
    expect((await consumer.position())?.sequence).toBe(1);
  });

  it('an ack inside of the handler and its completion are one', async () => {
    const it = world();
    fill(it.store, 2, () => 'k');
    const handle = vi.fn((_change: Change, tx: Transaction, delivery: Delivery) => {
      tx.set('out:done', 'yes');
      delivery.ack();
      delivery.ack();
      delivery.nack();
      delivery.term();
      return of(1);
    });
    const { events } = run(it, { handle });
    await turns();
    expect(handle).toHaveBeenCalledTimes(2);
    expect(typesOf(events)).toEqual(['delivered', 'acked', 'delivered', 'acked']);
    expect(it.store.text('out:done')).toBe('yes');
  });

  it('with manual acknowledgement, a completion is none', async () => {
    const it = world();
    fill(it.store, 1);
    let delivery: Delivery | undefined;
    const { consumer } = run(it, {
      ack: 'manual',
      handle: (_change, tx, given) => {
        tx.set('out:x', '1');
        delivery = given;
      },
    });
    await turns();
    expect((await consumer.position())?.sequence).toBe(0);
    expect(delivery?.signal.aborted).toBe(false);
    delivery?.ack();
    await turns();
    expect((await consumer.position())?.sequence).toBe(1);
    expect(delivery?.signal.aborted).toBe(true);
    expect(it.store.text('out:x')).toBe('1');
  });

  it('takes only its range, and its watermark moves over what is outside of it', async () => {
    const it = world();
    const seen: string[] = [];
    const { subscription, consumer } = run(it, {
      gte: 'b',
      lt: 'c',
      handle: (change) => void seen.push(keyOf(change)),
    });
    await turns();
    fill(it.store, 2_000, (index) => (index === 3 ? 'b' : 'a'));
    await turns();
    expect(seen).toEqual(['b']);
    expect((await consumer.position())?.sequence).toBe(5);
    await it.clock.advance(2_000);
    expect((await consumer.position())?.sequence).toBeGreaterThanOrEqual(2_001);
    expect(it.store.text('!_alluvium!!consumers!c')).toContain('"sequence":2002'); // so far is stored at once
    fill(it.store, 5, () => 'a');
    const { sequence } = it.store;
    subscription.unsubscribe();
    await turns();
    expect(it.store.text('!_alluvium!!consumers!c')).toContain(`"sequence":${sequence}`); // less, at the end
  });

  it('idle consumers do not keep each other writing', async () => {
    const it = world();
    for (const name of ['a', 'b']) run(it, { gte: 'x', handle: () => undefined }, name);
    await turns();
    const { length } = it.store.commits;
    await it.clock.advance(60_000);
    expect(it.store.commits.length).toBe(length);
  });

  it('a loop of handlers that never wait leaves turns to others', async () => {
    const it = world();
    it.store.hands.isPullSync = () => true;
    fill(it.store, 3_000);
    let handled = 0;
    let turnsBetween = 0;
    const look = (): void => {
      if (handled > 0 && handled < 3_000) turnsBetween += 1;
      if (handled < 3_000) setImmediate(look);
    };
    run(it, {
      handle: () => {
        handled += 1;
        it.clock.nowMs += 0.1; // each takes a tenth of a millisecond
      },
    });
    look();
    await turns(200);
    expect(handled).toBe(3_000);
    expect(turnsBetween).toBeGreaterThan(30);
  });
});

describe('failing', () => {
  it.each([
    [
      'a throw',
      () => {
        throw new TypeError('broken');
      },
    ],
    ['a rejection', () => Promise.reject(new TypeError('broken'))],
    ['an error', () => throwError(() => new TypeError('broken'))],
    ['an async error', () => from(Promise.reject(new TypeError('broken')))],
  ])('%s is a failed attempt; the next one comes after a back-off', async (_what, fail) => {
    const it = world();
    fill(it.store, 1);
    const attempts: number[] = [];
    const { events } = run(it, {
      backOff: { firstMs: 100, longestMs: 250 },
      handle: (_change, tx, { attempt }) => {
        tx.set('out:effect', String(attempt));
        attempts.push(attempt);
        return attempt < 4 ? fail() : undefined;
      },
    });
    await it.clock.advance(49);
    expect(attempts).toEqual([1]);
    await it.clock.advance(600);
    expect(attempts).toEqual([1, 2, 3, 4]);
    const pauses = events.flatMap((event) => (event.type === 'failedAttempt' ? [event.retryInMs ?? NaN] : []));
    [100, 200, 250].forEach((full, index) => {
      expect(pauses[index]).toBeGreaterThanOrEqual(full / 2);
      expect(pauses[index]).toBeLessThanOrEqual(full);
    });
    expect(it.store.text('out:effect')).toBe('4'); // and nothing of the failed ones
    expect(it.store.commits.filter((batch) => batch.some(({ key }) => key === 'out:effect'))).toHaveLength(1);
  });

  it('a nack may say when', async () => {
    const it = world();
    fill(it.store, 1);
    const times: number[] = [];
    run(it, {
      handle: (_change, _tx, delivery) => {
        times.push(it.clock.nowMs);
        if (delivery.attempt === 1) delivery.nack({ delayMs: 7_000 });
        return NEVER;
      },
    });
    await it.clock.advance(8_000);
    expect(times).toEqual([0, 7_000]);
  });

  it('what never completes is ended after ackWaitMs, and has failed', async () => {
    const it = world();
    fill(it.store, 1);
    let ended = 0;
    let signal: AbortSignal | undefined;
    let late: Transaction | undefined;
    const { events } = run(it, {
      ackWaitMs: 1_000,
      handle: (_change, tx, delivery) => {
        if (delivery.attempt > 1) return undefined;
        ({ signal } = delivery);
        late = tx;
        return new Observable(() => () => (ended += 1));
      },
    });
    await it.clock.advance(999);
    expect(ended).toBe(0);
    await it.clock.advance(1);
    expect(ended).toBe(1);
    expect(signal?.aborted).toBe(true);
    const [failure] = events.filter((event) => event.type === 'failedAttempt');
    expect(failure?.error).toBeInstanceOf(ConsumerError);
    expect(() => late?.set('x', 'y')).toThrow(ConsumerError);
    expect(() => late?.delete('x')).toThrow(ConsumerError);
    expect(() => late?.write([])).toThrow(ConsumerError);
    await expect(late?.get('x')).rejects.toBeInstanceOf(ConsumerError);
    await it.clock.advance(1_000);
    expect(typesOf(events).at(-1)).toBe('acked');
  });

  it('working() gives it its time anew', async () => {
    const it = world();
    fill(it.store, 1);
    let delivery: Delivery | undefined;
    const { events } = run(it, { ackWaitMs: 1_000, handle: (_change, _tx, given) => ((delivery = given), NEVER) });
    for (let round = 0; round < 5; round += 1) {
      await it.clock.advance(900);
      delivery?.working();
    }
    expect(events.some((event) => event.type === 'failedAttempt')).toBe(false);
    await it.clock.advance(1_000);
    expect(events.some((event) => event.type === 'failedAttempt')).toBe(true);
  });

  it('each delivery has its own time', async () => {
    const it = world();
    const { events } = run(it, { ackWaitMs: 1_000, attemptsMax: 1, handle: () => NEVER });
    await turns();
    it.store.put('a', '');
    await it.clock.advance(600);
    it.store.put('b', '');
    await it.clock.advance(400);
    const failures = (): number => events.filter((event) => event.type === 'failedAttempt').length;
    expect(failures()).toBe(1);
    await it.clock.advance(599);
    expect(failures()).toBe(1);
    await it.clock.advance(1);
    expect(failures()).toBe(2);
  });

  it('a late answer of an attempt that is over changes nothing', async () => {
    const it = world();
    fill(it.store, 1);
    const first = gate();
    const deliveries: Delivery[] = [];
    const { events } = run(it, {
      ackWaitMs: 1_000,
      backOff: { firstMs: 0 },
      handle: (_change, _tx, delivery) => {
        deliveries.push(delivery);
        return deliveries.length === 1 ? first.opened : NEVER;
      },
    });
    await it.clock.advance(1_100);
    expect(deliveries).toHaveLength(2);
    first.open();
    deliveries[0]?.ack();
    deliveries[0]?.nack();
    await turns();
    expect(events.some((event) => event.type === 'acked')).toBe(false);
    expect(deliveries).toHaveLength(2);
  });

  it('a teardown that throws is told, and ends nothing', async () => {
    const it = world();
    fill(it.store, 1);
    const { events } = run(it, {
      ackWaitMs: 1_000,
      attemptsMax: 1,
      handle: () =>
        new Observable(() => () => {
          throw new Error('teardown');
        }),
    });
    await it.clock.advance(1_100);
    expect(typesOf(events)).toEqual(['delivered', 'fault', 'failedAttempt', 'parked']);
  });

  it('what is no ObservableInput is a failed attempt', async () => {
    const it = world();
    fill(it.store, 1);
    const { events } = run(it, { attemptsMax: 1, handle: (() => 5) as unknown as () => undefined });
    await turns();
    expect(events.find((event) => event.type === 'failedAttempt')?.error).toBeInstanceOf(TypeError);
  });

  it('a change that cannot be mapped is parked, and the others go on', async () => {
    const it = world();
    fill(it.store, 3);
    const handle = vi.fn();
    const consumer = it.consumers.consumer<string>('c', { attemptsMax: 2, handle }, (change) => {
      if (keyOf(change) === 'k1') throw new RangeError('no such thing');
      return keyOf(change);
    });
    consumer.run().subscribe();
    await it.clock.advance(1_000);
    expect(handle.mock.calls.map(([key]) => key as string)).toEqual(['k0', 'k2']);
    const [letter] = await toArray(consumer.deadLetters());
    expect(letter).toMatchObject({ error: { name: 'RangeError', message: 'no such thing' }, attempts: 2 });
  });

  it.each([
    [
      'throws',
      () => {
        throw new Error('p');
      },
    ],
    ['gives nothing', () => undefined as unknown as string],
  ])('a partitionBy that %s is a failed attempt', async (_what, partitionBy) => {
    const it = world();
    fill(it.store, 1);
    const handle = vi.fn();
    const { events } = run(it, { attemptsMax: 2, partitionBy, handle });
    await it.clock.advance(1_000);
    expect(handle).not.toHaveBeenCalled();
    expect(typesOf(events).at(-1)).toBe('parked');
  });
});

describe('order and bounds', () => {
  it('keeps the order of a key, also across retries, while other keys go on', async () => {
    const it = world();
    for (const [key, value] of [
      ['a', '1'],
      ['b', '1'],
      ['a', '2'],
      ['c', '1'],
      ['a', '3'],
      ['b', '2'],
    ] as const)
      it.store.put(key, value);
    const done: string[] = [];
    run(it, {
      handle: (change, _tx, { attempt }) => {
        if (keyOf(change) === 'a' && valueOf(change) === '1' && attempt < 3) throw new Error('not yet');
        done.push(keyOf(change) + valueOf(change));
      },
    });
    await turns();
    expect(done).toEqual(['b1', 'c1', 'b2']);
    await it.clock.advance(1_000);
    expect(done).toEqual(['b1', 'c1', 'b2', 'a1', 'a2', 'a3']);
  });

  it('partitionBy widens what is in order', async () => {
    const it = world();
    fill(it.store, 4);
    const gates = [gate(), gate(), gate(), gate()];
    const begun: string[] = [];
    run(it, {
      partitionBy: (change) => Number(valueOf(change)) % 2,
      handle: (change) => {
        begun.push(keyOf(change));
        return gates[Number(valueOf(change))]?.opened;
      },
    });
    await turns();
    expect(begun).toEqual(['k0', 'k1']);
    gates[1]?.open();
    await turns();
    expect(begun).toEqual(['k0', 'k1', 'k3']);
    gates[0]?.open();
    await turns();
    expect(begun).toEqual(['k0', 'k1', 'k3', 'k2']);
  });

  it('never has more at work than inFlightMax, nor more before it than aheadMax', async () => {
    const it = world();
    fill(it.store, 50);
    let running = 0;
    let most = 0;
    const gates: (() => void)[] = [];
    const { consumer } = run(it, {
      inFlightMax: 4,
      aheadMax: 10,
      handle: (change) => {
        running += 1;
        most = Math.max(most, running);
        const { opened, open } = gate();
        if (keyOf(change) === 'k0') return opened.then(() => (running -= 1));
        gates.push(open);
        return opened.then(() => (running -= 1));
      },
    });
    for (let round = 0; round < 30; round += 1) {
      await turns(2);
      gates.splice(0).forEach((open) => open());
    }
    expect(most).toBe(4);
    expect(await consumer.position()).toMatchObject({ sequence: 0, settledBeyond: 9 }); // k1 to k9
  });

  it('settled changes beyond an open one are left out after a restart', async () => {
    const it = world();
    fill(it.store, 6);
    const first = run(it, { handle: (change) => (keyOf(change) === 'k2' ? NEVER : undefined) });
    await turns();
    expect(await first.consumer.position()).toMatchObject({ sequence: 2, settledBeyond: 3 });
    expect(await first.consumer.lag()).toMatchObject({ changes: 1 });
    crash(it);
    const seen: string[] = [];
    const second = run(it, { handle: (change) => void seen.push(keyOf(change)) });
    await turns();
    it.store.put('k6', '6');
    await turns();
    expect(seen).toEqual(['k2', 'k6']);
    expect(await second.consumer.position()).toMatchObject({ settledBeyond: 0 });
  });

  it('tells when the window is full and nothing is settled', async () => {
    const it = world();
    fill(it.store, 10);
    const deliveries: Delivery[] = [];
    const { events } = run(it, {
      inFlightMax: 2,
      ackWaitMs: 3_000,
      handle: (_change, _tx, delivery) => (deliveries.push(delivery), NEVER),
    });
    for (let round = 0; round < 5; round += 1) {
      await it.clock.advance(1_000);
      deliveries.forEach((delivery) => delivery.working());
    }
    const [stuck, ...others] = events.filter((event) => event.type === 'windowStuck');
    expect(stuck).toMatchObject({ inFlight: 2, ahead: 10 });
    expect(others).toHaveLength(0);
  });
});
