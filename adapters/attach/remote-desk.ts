/** The desk of a consumer of a store that another process has: each call is asked for over the socket, and done there. */
import type { ConsumerFrom, ConsumerLag, ConsumerPosition, DeadLetter, Signalled } from 'alluvium';
import type { DeskFace, OperationFace, StreamFace } from './face.ts';
import type { Link } from './link.ts';
import { stream } from './operation.ts';
import type { ConsumerCall, ConsumerView, Request } from './protocol.ts';
import { abortable, RemoteLetters } from './remote-pages.ts';

export interface RemoteDeskParts {
  readonly name: string;
  /** `undefined`: the consumer is as it ran last. */
  readonly view: ConsumerView | undefined;
  readonly link: Link;
  /** Of a closed store: refuses wrong arguments at the call. */
  readonly checked: DeskFace;
  readonly ask: <T>(request: Request, signal?: AbortSignal, what?: string) => OperationFace<T>;
}

export class RemoteDesk implements DeskFace {
  readonly #parts: RemoteDeskParts;

  constructor(parts: RemoteDeskParts) {
    this.#parts = parts;
  }

  get name(): string {
    return this.#parts.name;
  }

  position(): OperationFace<ConsumerPosition | undefined> {
    return this.#ask('position');
  }

  lag(options: Signalled = {}): OperationFace<ConsumerLag> {
    void this.#parts.checked.lag(options);
    return this.#ask('lag', {}, options.signal, 'the lag');
  }

  seek(from: ConsumerFrom): OperationFace<void> {
    void this.#parts.checked.seek(from);
    return this.#ask('seek', { from: from instanceof Date ? new Date(from) : from });
  }

  pause(): OperationFace<void> {
    return this.#ask('pause');
  }

  resume(): OperationFace<void> {
    return this.#ask('resume');
  }

  deadLetters(options: Signalled = {}): StreamFace<DeadLetter> {
    void this.#parts.checked.deadLetters(options);
    const { link, name } = this.#parts;
    return stream(() => abortable(new RemoteLetters(link, name), options.signal, 'the scan'));
  }

  deadLetter(id: string): OperationFace<DeadLetter | undefined> {
    void this.#parts.checked.deadLetter(id);
    return this.#ask('deadLetter', { id });
  }

  replay(id?: string, options: Signalled = {}): OperationFace<number> {
    void this.#parts.checked.replay(id, options);
    return this.#ask('replay', { id }, options.signal, 'the replay');
  }

  dropDeadLetter(id?: string, options: Signalled = {}): OperationFace<number> {
    void this.#parts.checked.dropDeadLetter(id, options);
    return this.#ask('dropDeadLetter', { id }, options.signal, 'dropping dead letters');
  }

  delete(): OperationFace<void> {
    return this.#ask('delete');
  }

  #ask<T>(call: ConsumerCall, argument: Argument = {}, signal?: AbortSignal, what?: string): OperationFace<T> {
    const { ask, view } = this.#parts;
    return ask<T>({ op: 'consumer', name: this.name, view, call, ...argument }, signal, what);
  }
}

/** What one of the calls is about. */
interface Argument {
  readonly from?: ConsumerFrom;
  readonly id?: string | undefined;
}
