/**
 * Watching from afar: the present values, then the last value of each key that a page of changes leaves. It is made of a
 * change stream that begins with the present state, so it outlives the owner as that does.
 */
import type { ChangeEvent, WatchedValue } from 'alluvium';
import type { Pages } from './operation.ts';

export class RemoteWatch implements Pages<WatchedValue> {
  readonly #events: Pages<ChangeEvent>;
  /** The single key, until its first value is known. */
  #firstOf: Uint8Array | undefined;

  /** @param key - where it is one key and not a range: its first value is given even if it has none */
  constructor(events: Pages<ChangeEvent>, key?: Uint8Array) {
    this.#events = events;
    this.#firstOf = key;
  }

  async next(): Promise<readonly WatchedValue[]> {
    for (;;) {
      const page = await this.#events.next();
      if (page.length === 0) return [];
      const values = this.#conflate(page);
      if (values.length > 0) return values;
    }
  }

  close(): void {
    this.#events.close();
  }

  #conflate(page: readonly ChangeEvent[]): readonly WatchedValue[] {
    const last = new Map<string, WatchedValue>();
    for (const event of page) {
      if (event.type === 'skipped') continue; // such a stream drops nothing
      if (event.type === 'snapshotEnd') {
        const key = this.#firstOf;
        this.#firstOf = undefined;
        if (key !== undefined) last.set(nameOf(key), { key, value: undefined, sequence: event.sequence, skipped: 0 });
        continue;
      }
      if (event.type === 'entry') this.#firstOf = undefined;
      const name = nameOf(event.key);
      const before = event.type === 'entry' ? undefined : last.get(name);
      const value = event.type === 'delete' ? undefined : event.value;
      last.delete(name); // the order is that of the last changes
      last.set(name, {
        key: event.key,
        value,
        sequence: event.sequence,
        skipped: before === undefined ? 0 : before.skipped + 1,
      });
    }
    return [...last.values()];
  }
}

/** The bytes of a key as a string that no other key has. */
const nameOf = (key: Uint8Array): string => Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
