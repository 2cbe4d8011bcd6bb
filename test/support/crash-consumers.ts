/**
 * Two durable consumers of the markers of tracked writes, and the check of what a crash made of them: of each marker there is
 * an effect if, and only if, the consumer's position is behind it (I5).
 *
 *     effects := o/<consumer>/<marker> = <sequence number of the marker>
 */
import type { BatchConsumerOptions, Change, Consumer, ConsumerOptions, Durability, Store } from '../../src/index.ts';
import { randomOf } from './runs.ts';
import { bytesOf, type TextEntry, textOf } from './sorted-model.ts';

const EFFECTS = 'o/';
const MARKERS = { gte: bytesOf('w/'), lt: bytesOf('w0') };
export const isEffect = (key: string): boolean => key.startsWith(EFFECTS);
const effectOf = (consumer: string, marker: string): string => `${EFFECTS}${consumer}/${marker}`;

/** What was known of the consumers when the crash came. */
export interface ConsumersDemand {
  /** By name: the position that they were told to be durable, and the one that outlives only the process. */
  readonly acked: ReadonlyMap<string, { readonly synced: number; readonly buffered: number }>;
  /** Deliveries that a handler had been given, by effect. Nothing else can have an effect. */
  readonly handled: ReadonlySet<string>;
}

/** Turns of the event loop in which what is left is handled. */
const TURNS_MAX = 20_000;
const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

export class CrashConsumers {
  readonly #random: () => number;
  readonly #durability: Durability;
  #acked: ReadonlyMap<string, { readonly synced: number; readonly buffered: number }> = new Map();
  #handled: ReadonlySet<string> = new Set();
  readonly failures: string[] = [];

  constructor(seed: number) {
    this.#random = randomOf(seed);
    this.#durability = this.#random() < 0.5 ? 'synced' : 'buffered';
  }

  demand(): ConsumersDemand {
    return { acked: this.#acked, handled: this.#handled };
  }

  start(store: Store): void {
    const isSynced = this.#durability === 'synced';
    for (const consumer of this.#consumersOf(store)) {
      const { name } = consumer;
      consumer.run().subscribe({
        next: (event) => {
          if (event.type === 'acked') {
            const before = this.#acked.get(name)?.synced ?? 0;
            const now = { synced: isSynced ? event.sequence : before, buffered: event.sequence };
            this.#acked = new Map(this.#acked).set(name, now);
          } else if (event.type !== 'delivered') this.failures.push(`${name} told ${event.type}`);
        },
        error: (error: unknown) => this.failures.push(`${name}: ${String(error)}`),
      });
    }
  }

  /** A close makes all durable. */
  closed(): void {
    const durable = [...this.#acked].map(([name, { buffered }]) => [name, { synced: buffered, buffered }] as const);
    this.#acked = new Map(durable);
  }

  #consumersOf(store: Store): readonly Consumer[] {
    const settings = { ...MARKERS, durability: this.#durability, backOff: { firstMs: 1, longestMs: 2 } };
    const inFlightMax = 1 + Math.floor(this.#random() * 4);
    const single: ConsumerOptions = {
      ...settings,
      inFlightMax,
      handle: (change, transaction) => {
        const work = (): void => transaction.set(bytesOf(this.#note('single', change)), bytesOf(`${change.sequence}`));
        // Later, and not in their order: then something behind the position is settled, too.
        return this.#random() < 0.5 ? work() : turn().then(work);
      },
    };
    const batch: BatchConsumerOptions = {
      ...settings,
      batch: { changesMax: 1 + Math.floor(this.#random() * 5) },
      handle: (changes, transaction) => {
        for (const change of changes) {
          transaction.set(bytesOf(this.#note('batch', change)), bytesOf(`${change.sequence}`));
        }
      },
    };
    return [store.consumer('single', single), store.consumer('batch', batch)];
  }

  #note(consumer: string, { key }: Change): string {
    const effect = effectOf(consumer, textOf(key));
    this.#handled = new Set(this.#handled).add(effect);
    return effect;
  }

  /** What is wrong with positions and effects in a store that has recovered from a crash. */
  async violation(
    store: Store,
    entries: readonly TextEntry[],
    isKill: boolean,
    demand: ConsumersDemand,
  ): Promise<string | undefined> {
    const sequences = await markerSequences(store, entries);
    const effects = new Map(entries.filter(([key]) => isEffect(key)));
    for (const [effect] of effects) if (!demand.handled.has(effect)) return `${effect} was never made`;
    for (const consumer of this.#consumersOf(store)) {
      const { name } = consumer;
      const at = await consumer.position();
      const acked = demand.acked.get(name);
      const floor = (isKill ? acked?.buffered : acked?.synced) ?? 0;
      const reached = at?.sequence ?? 0;
      if (reached < floor) return `${name} is at ${reached}, and was told that ${floor} is settled`;
      let beyond = 0;
      for (const [marker, sequence] of sequences) {
        const effect = effects.get(effectOf(name, marker));
        effects.delete(effectOf(name, marker));
        if (effect === undefined && sequence <= reached) return `${name} at ${reached}: no effect of ${marker}`;
        if (effect !== undefined && effect !== `${sequence}`) return `${name}: ${marker} at ${sequence} had ${effect}`;
        if (effect !== undefined && sequence > reached) beyond += 1;
      }
      if (beyond !== (at?.settledBeyond ?? 0)) return `${name} at ${reached}: ${beyond} effects beyond its position`;
    }
    const [effect] = effects.keys();
    return effect === undefined ? undefined : `${effect} is there, and its event is not`;
  }

  /** Lets the consumers go on to the end. @returns what is wrong then: each event has each of its effects, once */
  async drained(store: Store, entries: readonly TextEntry[]): Promise<string | undefined> {
    const consumers = this.#consumersOf(store);
    const isKnown = new Set<string>();
    for (const consumer of consumers) if ((await consumer.position()) !== undefined) isKnown.add(consumer.name);
    this.start(store);
    const markers = [...(await markerSequences(store, entries))];
    for (const consumer of consumers) {
      for (let turns = 0; (await consumer.lag()).changes > 0; turns += 1) {
        if (this.failures.length > 0) return this.failures.splice(0).join('; ');
        if (turns === TURNS_MAX) return `${consumer.name} does not come to its end`;
        await turn();
      }
      // One whose record did not survive begins anew, at the oldest change that is kept: of what it missed, nothing is known.
      let isBegun = isKnown.has(consumer.name);
      for (const [marker, sequence] of markers) {
        const value = await store.get(bytesOf(effectOf(consumer.name, marker)));
        if (value === undefined && !isBegun) continue;
        isBegun = true;
        const effect = value === undefined ? 'none' : textOf(value);
        if (effect !== `${sequence}`) return `${consumer.name}, drained: ${marker} at ${sequence} has ${effect}`;
      }
    }
    return undefined;
  }
}

async function markerSequences(store: Store, entries: readonly TextEntry[]): Promise<Map<string, number>> {
  const sequences = new Map<string, number>();
  for (const [key] of entries) {
    if (!key.startsWith('w/')) continue;
    sequences.set(key, (await store.entry(bytesOf(key)))?.sequence ?? 0);
  }
  return sequences;
}
