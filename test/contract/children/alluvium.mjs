/** This engine, as it is published: the built package, with its worker thread. */
import { open } from 'alluvium';
import { serve } from './serve.mjs';

let store;

const collect = async (stream) => {
  const entries = [];
  for await (const page of stream.pages()) entries.push(...page.map(({ key, value }) => [key, value]));
  return entries;
};

serve({
  open: async ({ directory, options }) => {
    store = await open(directory, options);
  },
  close: async () => {
    await store.close();
  },
  write: async ({ operations, isSynced }) => {
    const durability = isSynced ? 'synced' : 'buffered';
    const [first, second] = operations;
    if (first === undefined || second !== undefined) await store.write(operations, { durability });
    else if (first.type === 'set') await store.set(first.key, first.value, { durability });
    else await store.delete(first.key, { durability });
  },
  flush: async () => {
    await store.flush();
  },
  compact: async ({ start, end }) => {
    await store.compact({ start, end });
  },
  read: async ({ probes }) => ({
    forwards: await collect(store.scan()),
    backwards: await collect(store.scan({ reverse: true })),
    gets: await Promise.all(probes.map((key) => store.get(key))),
  }),
});
