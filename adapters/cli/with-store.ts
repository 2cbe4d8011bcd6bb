/** A store for as long as a piece of work takes. */
import type { OpenOptions } from 'alluvium';
import type { Context } from './command.ts';
import type { CommandStore, OpenMode } from './open-store.ts';

/** Opens the database that the first positional names, and closes it in any case; the first error is the one that counts. */
export async function withStore<Result>(
  { open, positionals }: Context,
  mode: OpenMode,
  work: (store: CommandStore) => Promise<Result>,
  options?: OpenOptions,
): Promise<Result> {
  const { store, close } = await open(positionals[0] ?? '', mode, options);
  let result: Result;
  try {
    result = await work(store);
  } catch (error) {
    await close().catch(() => undefined);
    throw error;
  }
  await close();
  return result;
}
