/**
 * A consumer of a store that another process has: its desk (position, lag, seek, pause, dead letters) works from here, its
 * handler runs where the store is: here only once this process has it.
 */
import { type BatchConsumerOptions, ClosedError, type ConsumerEvent, type ConsumerOptions, type Store } from 'alluvium';
import { Observable } from 'rxjs';
import { abortedBy, onAbort } from './abort.ts';
import { NotAttachableError } from './attach-error.ts';
import { viewOf } from './consumer-desk.ts';
import type { ConsumerFace, RunOptions } from './face.ts';
import type { Link } from './link.ts';
import { RemoteDesk, type RemoteDeskParts } from './remote-desk.ts';

export interface AttachedConsumerParts extends Pick<RemoteDeskParts, 'name' | 'link' | 'ask'> {
  readonly options: ConsumerOptions | BatchConsumerOptions;
  /** Refuses wrong arguments at the call. */
  readonly checker: Store;
}

export class AttachedConsumer extends RemoteDesk implements ConsumerFace {
  readonly #link: Link;
  readonly #options: ConsumerOptions | BatchConsumerOptions;
  readonly #checked: ConsumerFace;

  /** @throws as `store.consumer` */
  constructor({ name, options, link, checker, ask }: AttachedConsumerParts) {
    const checked = consumerOf(checker, name, options);
    super({ name, view: structuredClone(viewOf(options)), link, checked, ask });
    this.#link = link;
    this.#options = options;
    this.#checked = checked;
  }

  run(options: RunOptions = {}): Observable<ConsumerEvent> {
    void this.#checked.run(options);
    const { name } = this;
    const link = this.#link;
    const settings = this.#options;
    const { signal, whenOwner = false } = options;
    return new Observable<ConsumerEvent>((subscriber) => {
      if (link.isClosing) throw new ClosedError('store');
      const failure = (): unknown => abortedBy(signal, `the run of consumer ${name}`);
      if (signal?.aborted === true) throw failure();
      const begin = (store: Store | undefined): void => {
        stopListening();
        if (store === undefined) subscriber.complete();
        else subscriber.add(consumerOf(store, name, settings).run({ signal }).subscribe(subscriber));
      };
      const stopListening = onAbort(signal, () => subscriber.error(failure()));
      subscriber.add(stopListening);
      if (link.store !== undefined) begin(link.store);
      else if (whenOwner) subscriber.add(link.whenOwner(begin));
      else
        throw new NotAttachableError(
          'to run a consumer',
          'Or run({ whenOwner: true }), to begin when this one has it.',
        );
    });
  }
}

/** The overloads hand on one by one. */
export function consumerOf(store: Store, name: string, options: ConsumerOptions | BatchConsumerOptions): ConsumerFace {
  return options.batch === undefined ? store.consumer(name, options) : store.consumer(name, options);
}
