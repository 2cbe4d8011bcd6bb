/**
 * Watching: the present value, then each new one. For caches and screens, which want the newest and not every one: whoever
 * is too slow gets the last value of each key, and how many it did not see.
 */
import type { Change, SequenceNumber } from '../model.ts';
import type { ChangeEvent } from './change-stream.ts';
import { pullOrWaitAsPull, type Waited, type WaitingPageSource } from './stream.ts';

/** What a key has now. */
export interface WatchedValue {
  readonly key: Uint8Array;
  /** `undefined`: it has none. */
  readonly value: Uint8Array | undefined;
  /** Of the change that made it so; for the first value of a single key, if it is absent: of the moment. */
  readonly sequence: SequenceNumber;
  /** Changes of the key between the value before and this one, which were not shown. */
  readonly skipped: number;
}

type AbortableEvents = WaitingPageSource<ChangeEvent> & { readonly failure: Error | undefined };

/** The events of one range, as the last value of each key that a page of them leaves. */
export class WatchSource implements WaitingPageSource<WatchedValue> {
  readonly #events: AbortableEvents;
  #first: (() => Promise<WatchedValue>) | undefined;
  /** Changes that were dropped since the last value. */
  #skipped = 0;

  /** @param first - gives the value that comes before all events, if there is to be one */
  constructor(events: AbortableEvents, first?: () => Promise<WatchedValue>) {
    this.#events = events;
    this.#first = first;
  }

  pull(): readonly WatchedValue[] | Promise<readonly WatchedValue[]> {
    return pullOrWaitAsPull(this);
  }

  pullOrWait(wake: () => void): Waited<WatchedValue> {
    const first = this.#first;
    if (first !== undefined) {
      this.#first = undefined;
      this.#check();
      return first().then((value) => {
        this.#check();
        return [value];
      });
    }
    for (;;) {
      const page = this.#events.pullOrWait(wake);
      if (page === undefined) return undefined;
      if (page instanceof Promise) return page.then((events) => this.#settle(events));
      if (page.length === 0) return [];
      const values = this.#conflate(page);
      if (values.length > 0) return values;
    }
  }

  close(): void {
    this.#events.close();
  }

  /** The first value does not come from the events, which know of an abort. */
  #check(): void {
    if (this.#events.failure !== undefined) throw this.#events.failure;
  }

  /** An empty page is the end: after one that leaves no value the next is asked for. */
  #settle(events: readonly ChangeEvent[] | undefined): readonly WatchedValue[] | undefined {
    if (events === undefined || events.length === 0) return events === undefined ? undefined : [];
    const values = this.#conflate(events);
    return values.length > 0 ? values : undefined;
  }

  #conflate(events: readonly ChangeEvent[]): readonly WatchedValue[] {
    const last = new Map<string, WatchedValue>();
    for (const event of events) {
      if (event.type === 'skipped') this.#skipped += event.count;
      else if (event.type === 'entry') last.set(nameOf(event.key), { ...event, skipped: 0 });
      else if (event.type !== 'snapshotEnd') this.#take(event, last);
    }
    return [...last.values()].map(({ key, value, sequence, skipped }) => ({ key, value, sequence, skipped }));
  }

  #take(change: Change, last: Map<string, WatchedValue>): void {
    const { key, sequence } = change;
    const name = nameOf(key);
    const before = last.get(name);
    const skipped = (before === undefined ? 0 : before.skipped + 1) + this.#skipped;
    this.#skipped = 0;
    last.delete(name); // the order is that of the last changes
    last.set(name, { key, value: change.type === 'set' ? change.value : undefined, sequence, skipped });
  }
}

/** The bytes of a key as a string that no other key has. */
const nameOf = (key: Uint8Array): string => Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
