/**
 * A consumer of a store that another process has: its desk (position, lag, seek, pause, dead letters) works from here, its
 * handler runs where the store is: here only once this process has it.
 */
import {
  type BatchConsumerOptions,
  ClosedError,
  type ConsumerEvent,
  type ConsumerFrom,
  type ConsumerLag,
  type ConsumerOptions,
  type ConsumerPosition,
  type DeadLetter,
  type Signalled,
  type Store,
} from 'alluvium';
import { Observable } from 'rxjs';
import { abortedBy, onAbort } from './abort.ts';
import { NotAttachableError } from './attach-error.ts';
import { viewOf } from './consumer-desk.ts';
import type { ConsumerFace, OperationFace, RunOptions, StreamFace } from './face.ts';
import type { Link } from './link.ts';
import { stream } from './operation.ts';
import type { ConsumerCall, ConsumerView, Request } from './protocol.ts';
import { abortable, RemoteLetters } from './remote-pages.ts';

export interface AttachedConsumerParts {
  readonly name: string;
  readonly options: ConsumerOptions | BatchConsumerOptions;
  readonly link: Link;
  /** Refuses wrong arguments at the call. */
  readonly checker: Store;
  readonly ask: <T>(request: Request, signal?: AbortSignal, what?: string) => OperationFace<T>;
}

export class AttachedConsumer implements ConsumerFace {
  readonly #parts: AttachedConsumerParts;
  readonly #view: ConsumerView;
  readonly #checked: ConsumerFace;

  /** @throws as `store.consumer` */
  constructor(parts: AttachedConsumerParts) {
    this.#parts = parts;
    this.#checked = consumerOf(parts.checker, parts.name, parts.options);
    this.#view = structuredClone(viewOf(parts.options));
  }

  get name(): string {
    return this.#parts.name;
  }

  run(options: RunOptions = {}): Observable<ConsumerEvent> {
    void this.#checked.run(options);
    const { link, name, options: settings } = this.#parts;
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

  position(): OperationFace<ConsumerPosition | undefined> {
    return this.#ask('position');
  }

  lag(options: Signalled = {}): OperationFace<ConsumerLag> {
    void this.#checked.lag(options);
    return this.#ask('lag', {}, options.signal, 'the lag');
  }

  seek(from: ConsumerFrom): OperationFace<void> {
    void this.#checked.seek(from);
    return this.#ask('seek', { from: from instanceof Date ? new Date(from) : from });
  }

  pause(): OperationFace<void> {
    return this.#ask('pause');
  }

  resume(): OperationFace<void> {
    return this.#ask('resume');
  }

  deadLetters(options: Signalled = {}): StreamFace<DeadLetter> {
    void this.#checked.deadLetters(options);
    const { link, name } = this.#parts;
    return stream(() => abortable(new RemoteLetters(link, name, this.#view), options.signal, 'the scan'));
  }

  deadLetter(id: string): OperationFace<DeadLetter | undefined> {
    void this.#checked.deadLetter(id);
    return this.#ask('deadLetter', { id });
  }

  replay(id?: string, options: Signalled = {}): OperationFace<number> {
    void this.#checked.replay(id, options);
    return this.#ask('replay', { id }, options.signal, 'the replay');
  }

  dropDeadLetter(id?: string, options: Signalled = {}): OperationFace<number> {
    void this.#checked.dropDeadLetter(id, options);
    return this.#ask('dropDeadLetter', { id }, options.signal, 'dropping dead letters');
  }

  delete(): OperationFace<void> {
    return this.#ask('delete');
  }

  #ask<T>(call: ConsumerCall, argument: Argument = {}, signal?: AbortSignal, what?: string): OperationFace<T> {
    return this.#parts.ask<T>({ op: 'consumer', name: this.name, view: this.#view, call, ...argument }, signal, what);
  }
}

/** What one of the calls is about. */
interface Argument {
  readonly from?: ConsumerFrom;
  readonly id?: string | undefined;
}

/** The overloads hand on one by one. */
export function consumerOf(store: Store, name: string, options: ConsumerOptions | BatchConsumerOptions): ConsumerFace {
  return options.batch === undefined ? store.consumer(name, options) : store.consumer(name, options);
}
