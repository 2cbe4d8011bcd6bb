/** Entries of another database: one of LevelDB, `level` or Alluvium. It is read as a whole as it is now, and not changed. */
import type { Line } from '../batch-writer.ts';
import { escapeBytes } from '../escape.ts';
import { Failure } from '../failure.ts';
import type { OpenStore } from '../open-store.ts';
import { refusalOf } from './import-line.ts';

/** Of a key that is named. */
const SHOWN_BYTES = 40;

export async function* readLevel(open: OpenStore, directory: string, signal: AbortSignal): AsyncGenerator<Line> {
  const { store, close } = await open(directory, 'read');
  try {
    for await (const page of store.scan({ signal }).pages()) {
      for (const { key, value } of page) {
        const refusal = refusalOf({ type: 'set', key });
        if (refusal !== undefined)
          throw new Failure(`the entry ${escapeBytes(key.subarray(0, SHOWN_BYTES))}...: ${refusal}`);
        yield { type: 'set', key, value };
      }
    }
  } finally {
    await close();
  }
}
