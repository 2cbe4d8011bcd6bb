import { describe, expect, it } from 'vitest';
import { open, openInMemory } from '../../src/index.ts';

/** What a plain-JavaScript caller may pass, as nothing the compiler would take. */
const wrong = (value: unknown): never => value as never;

describe('settings of the wrong kind', () => {
  it('are refused at the call, with the code of the family', async () => {
    const store = await openInMemory();
    const snapshot = store.snapshot();
    const calls: (() => unknown)[] = [
      () => store.changes(wrong(null)),
      () => store.flush(wrong(null)),
      () => store.compact(wrong(null)),
      () => store.scan(wrong(null)),
      () => store.set('k', 'v', wrong(null)),
      () => store.set('k', 'v', { signal: wrong({}) }),
      () => snapshot.getMany(wrong('abc')),
      () => open('d', wrong(null)),
      () => open('d', { onEvent: wrong(5) }),
      () => open('d', { signal: wrong(5) }),
    ];
    for (const call of calls) expect(call).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }));
    snapshot.close();
    await store.close();
  });
});

it('lets hundreds of writes share a signal, with one listener on it', async () => {
  const store = await openInMemory();
  const aborting = new AbortController();
  let listeners = 0;
  const listen = aborting.signal.addEventListener.bind(aborting.signal);
  aborting.signal.addEventListener = (...args: Parameters<typeof listen>) => {
    listeners += 1;
    listen(...args);
  };
  const writes = Array.from({ length: 300 }, (_, index) =>
    store.set(`${index}`, '', { signal: aborting.signal }).then(),
  );
  aborting.abort();
  const outcomes = await Promise.allSettled(writes);
  expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(300);
  expect(listeners).toBe(1);
  await store.close();
});
