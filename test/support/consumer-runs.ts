// Consumers of a store in a Map, run and looked at.
import type { Subscription } from 'rxjs';
import type { Change } from '../../src/model.ts';
import type { Consumer } from '../../src/streams/consumer.ts';
import type { ConsumerEvent } from '../../src/streams/consumer-events.ts';
import type { BatchConsumerOptions, ConsumerOptions } from '../../src/streams/consumer-options.ts';
import { Consumers } from '../../src/streams/consumers.ts';
import { HandClock, ModelStore } from './consumer-ports.ts';

export interface Run {
  readonly consumer: Consumer;
  readonly events: ConsumerEvent[];
  error: unknown;
  isComplete: boolean;
  readonly subscription: Subscription;
}

export interface World {
  readonly clock: HandClock;
  readonly store: ModelStore;
  consumers: Consumers;
}

export function world(): World {
  const clock = new HandClock();
  const store = new ModelStore(clock);
  return { clock, store, consumers: new Consumers({ store, source: store }) };
}

export type Options = ConsumerOptions | BatchConsumerOptions;

/** What handlers write begins with `out:`, outside of the range: a consumer that follows its own writes has no end. */
export const consumerOf = ({ consumers }: World, options: Options, name = 'c'): Consumer =>
  consumers.consumer(name, { lt: 'l', ...options }, (change) => change);

export function run(it: World, options: Options, name = 'c'): Run {
  return runOf(consumerOf(it, options, name));
}

export function runOf(consumer: Consumer, signal?: AbortSignal): Run {
  const result = { consumer, events: [] as ConsumerEvent[], error: undefined as unknown, isComplete: false };
  const subscription = consumer.run({ signal }).subscribe({
    next: (event) => result.events.push(event),
    error: (error: unknown) => (result.error = error),
    complete: () => (result.isComplete = true),
  });
  return Object.assign(result, { subscription });
}

export const keyOf = (change: Change): string => Buffer.from(change.key).toString();
export const valueOf = (change: Change): string => (change.type === 'set' ? Buffer.from(change.value).toString() : '-');
export const typesOf = (events: readonly ConsumerEvent[]): string[] => events.map((event) => event.type);

/** A promise that the test fulfils. */
export function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

export function fill(
  store: ModelStore,
  count: number,
  keyFor: (index: number) => string = (index) => `k${index}`,
): void {
  for (let index = 0; index < count; index += 1) store.put(keyFor(index), String(index));
}

/** All that runs is dropped, as by a crash; the store stays. */
export function crash(it: World): void {
  it.consumers = new Consumers({ store: it.store, source: it.store });
}

export async function toArray<T>(values: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const value of values) all.push(value);
  return all;
}
