/**
 * Durable consumers, as their users see them: at least once, in order per partition, with effects exactly once.
 *
 * What the handler writes through its transaction and the consumer's position are one batch. So after any crash the
 * position is just behind the effects: a change is delivered again only if its effects are not there.
 */
import { Observable } from 'rxjs';
import { AbortedError } from '../errors.ts';
import type { Change } from '../model.ts';
import { onAbort } from './abort.ts';
import { checkSettings } from './check-settings.ts';
import { ConsumerDesk, type DeskSetup, type Signalled } from './consumer-desk.ts';
import type { ConsumerEvent } from './consumer-events.ts';
import type { ConsumerGroup } from './consumer-group.ts';
import type {
  BatchConsumerOptions,
  CheckedSettings,
  ConsumerOptions,
  Delivery,
  Transaction,
} from './consumer-options.ts';
import type { Partition, Worker } from './consumer-work.ts';

/** A desk with a handler: it can be run. */
export class Consumer<C = Change> extends ConsumerDesk {
  readonly #setup: ConsumerSetup<C>;

  /** @internal */
  constructor(setup: ConsumerSetup<C>) {
    super(setup);
    this.#setup = setup;
  }

  /**
   * Handles changes for as long as it is subscribed to; tells what happens. Cold: each subscription is a worker of its own,
   * and workers of one name share the work. Unsubscribing ends the deliveries that are at work; their changes are
   * delivered again, later.
   *
   * Completes when the store closes. An abort waits for what was done to be committed. A consumer that is slow holds back
   * nobody: what it has not read stays in the history.
   *
   * @returns errors with ConsumerError (other settings than its fellow workers, a record that cannot be read),
   *   HistoryGoneError, InvalidCursorError, AbortedError, ClosedError, or what reading or storing failed with for good
   */
  run(options: Signalled = {}): Observable<ConsumerEvent> {
    checkSettings('options', options);
    const { signal } = options;
    const { name, settings, workerOf, groupOf } = this.#setup;
    return new Observable<ConsumerEvent>((subscriber) => {
      const aborted = (): void =>
        subscriber.error(new AbortedError(`the run of consumer ${name}`, { cause: signal?.reason }));
      if (signal?.aborted === true) return aborted();
      const worker = workerOf({
        tell: (event) => subscriber.next(event),
        complete: () => subscriber.complete(),
        fail: (error) => subscriber.error(error),
      });
      let group: ConsumerGroup;
      try {
        group = groupOf();
        group.join(worker, settings);
      } catch (error) {
        subscriber.error(error);
        return undefined;
      }
      const stopListening = onAbort(signal, () => void group.leave(worker).then(aborted));
      return () => {
        stopListening();
        void group.leave(worker);
      };
    });
  }
}

/** What a consumer stands on. */
export interface ConsumerSetup<C> extends DeskSetup {
  readonly settings: CheckedSettings;
  readonly workerOf: (face: Pick<Worker, 'tell' | 'complete' | 'fail'>) => Worker;
  /** For the type's sake: what the handler is given. */
  readonly change?: C;
}

/** How the options' functions are called; what the handler is given is made by `map`, anew for each attempt. */
export function workerMaker<C>(
  options: ConsumerOptions<C> | BatchConsumerOptions<C>,
  map: (change: Change) => C,
): ConsumerSetup<C>['workerOf'] {
  const handle =
    options.batch === undefined
      ? (changes: readonly Change[], transaction: Transaction, delivery: Delivery): unknown =>
          options.handle(map(changes[0] as Change), transaction, delivery)
      : (changes: readonly Change[], transaction: Transaction, delivery: Delivery): unknown =>
          options.handle(changes.map(map), transaction, delivery);
  const { partitionBy } = options;
  const partitionOf = (change: Change): Partition => (partitionBy === undefined ? '' : partitionBy(map(change)));
  return ({ tell, complete, fail }) => ({ handle, partitionOf, tell, complete, fail, running: 0 });
}
