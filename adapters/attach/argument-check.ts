/**
 * Arguments are refused at the call, by the same rules and with the same words, whoever has the store: every call is made on
 * a store in memory first, which is closed and so does nothing else.
 */
import { openInMemory, type Store } from 'alluvium';

let checker: Promise<Store> | undefined;

/** A closed store; one for the whole process. */
export function argumentCheck(): Promise<Store> {
  checker ??= make();
  return checker;
}

async function make(): Promise<Store> {
  const store = await openInMemory({ memtableBytesMax: 64 * 1024, worker: 'off' });
  await store.close();
  return store;
}
