/** All consumers of a store: one group per name, for as long as it has anything to do. */
import * as E from 'fp-ts/lib/Either.js';
import { ClosedError, ConsumerError } from '../errors.ts';
import type { Change, KeyRange } from '../model.ts';
import { CONSUMERS_PREFIX } from '../storage/reserved.ts';
import { Consumer, workerMaker } from './consumer.ts';
import { ConsumerDesk, type ConsumerPosition, positionOf } from './consumer-desk.ts';
import { ConsumerGroup, type ConsumerPorts } from './consumer-group.ts';
import {
  type BatchConsumerOptions,
  checkConsumerName,
  checkConsumerOptions,
  type ConsumerOptions,
} from './consumer-options.ts';
import { decodeRecord } from './consumer-record.ts';
import { keyText } from './key-text.ts';
import { mapStream } from './map-stream.ts';
import { Stream } from './stream.ts';

/** What is known of a consumer of this store. */
export interface ConsumerInfo {
  readonly name: string;
  /** As it is stored. */
  readonly position: ConsumerPosition | undefined;
  /** Why its position cannot be read. */
  readonly error: ConsumerError | undefined;
  /** Whether it has workers in this process. */
  readonly isRunning: boolean;
}

const RECORDS: KeyRange = { gt: CONSUMERS_PREFIX, lt: `${CONSUMERS_PREFIX.slice(0, -1)}"` };

export class Consumers {
  readonly #ports: ConsumerPorts;
  readonly #groups = new Map<string, ConsumerGroup>();
  #isClosed = false;

  constructor(ports: ConsumerPorts) {
    this.#ports = ports;
  }

  /**
   * @param map - makes what the handler is given; what it throws is a failed attempt
   * @throws InvalidArgumentError, OutOfRangeError
   */
  consumer<C>(
    name: string,
    options: ConsumerOptions<C> | BatchConsumerOptions<C>,
    map: (change: Change) => C,
  ): Consumer<C> {
    const checkedName = checkConsumerName(name);
    const settings = checkConsumerOptions(options);
    const { store } = this.#ports;
    const groupOf = (): ConsumerGroup => this.#groupOf(checkedName);
    return new Consumer<C>({ name: checkedName, settings, store, groupOf, workerOf: workerMaker(options, map) });
  }

  /** @throws InvalidArgumentError */
  desk(name: string): ConsumerDesk {
    const checkedName = checkConsumerName(name);
    const groupOf = (): ConsumerGroup => this.#groupOf(checkedName);
    return new ConsumerDesk({ name: checkedName, settings: undefined, store: this.#ports.store, groupOf });
  }

  /** All that ever ran and were not deleted, by name. */
  list(signal?: AbortSignal): Stream<ConsumerInfo> {
    const { store } = this.#ports;
    const records = new Stream(() => store.scanReserved(RECORDS, signal), store.clock);
    return mapStream(records, ({ key, value }): ConsumerInfo => {
      const name = keyText(key).slice(CONSUMERS_PREFIX.length);
      const isRunning = this.#groups.get(name)?.isRunning ?? false;
      const record = decodeRecord(value);
      if (E.isRight(record)) return { name, position: positionOf(record.right), error: undefined, isRunning };
      return { name, position: undefined, error: new ConsumerError(name, `${record.left}.`), isRunning };
    });
  }

  /** Tells the source what each consumer still needs: to be called when the store has been opened. */
  async retain(): Promise<void> {
    for await (const { name, position } of this.list()) {
      if (position !== undefined) this.#ports.source.retain(name, position);
    }
  }

  /** Ends all runs, what they did committed: to be called while the store still takes writes. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#groups.values()].map((group) => group.close()));
  }

  #groupOf(name: string): ConsumerGroup {
    const known = this.#groups.get(name);
    if (known !== undefined) return known;
    if (this.#isClosed) throw new ClosedError('store');
    const group = new ConsumerGroup(name, this.#ports, () => {
      if (this.#groups.get(name) === group) this.#groups.delete(name);
    });
    this.#groups.set(name, group);
    return group;
  }
}
