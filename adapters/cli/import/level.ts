/** Entries of another database: one of LevelDB, `level` or Alluvium. It is read as a whole as it is now, and not changed. */
import type { Line } from '../batch-writer.ts';
import type { OpenStore } from '../open-store.ts';

export async function* readLevel(open: OpenStore, directory: string, signal: AbortSignal): AsyncGenerator<Line> {
  const { store, close } = await open(directory, 'read');
  try {
    for await (const page of store.scan({ signal }).pages()) {
      for (const { key, value } of page) yield { type: 'set', key, value };
    }
  } finally {
    await close();
  }
}
