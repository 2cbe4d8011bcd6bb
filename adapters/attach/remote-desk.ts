/** The desk of a consumer of a store that another process has: each call is asked for over the socket, and done there. */
import {
  type ConsumerDesk,
  type ConsumerFrom,
  type ConsumerLag,
  type ConsumerPosition,
  type DeadLetter,
  InvalidArgumentError,
  type Signalled,
  type Store,
} from 'alluvium';
import { type Observable, take, toArray } from 'rxjs';
import type { DeskFace, OperationFace, StreamFace } from './face.ts';
import { stream } from './operation.ts';
import type { DeskCall, Request } from './protocol.ts';

type Ask = <T>(request: Request, signal?: AbortSignal, what?: string) => OperationFace<T>;

type Given = Pick<Extract<Request, { op: 'desk' }>, 'from' | 'id'>;

/** Dead letters that are listed at once: they are one message. */
const LETTERS_MAX = 10_000;

export class RemoteDesk implements DeskFace {
  readonly name: string;
  readonly #ask: Ask;

  constructor(name: string, ask: Ask) {
    this.name = name;
    this.#ask = ask;
  }

  position(): OperationFace<ConsumerPosition | undefined> {
    return this.#call('position');
  }

  lag(options: Signalled = {}): OperationFace<ConsumerLag> {
    return this.#call('lag', {}, options.signal);
  }

  seek(from: ConsumerFrom): OperationFace<void> {
    return this.#call('seek', { from });
  }

  pause(): OperationFace<void> {
    return this.#call('pause');
  }

  resume(): OperationFace<void> {
    return this.#call('resume');
  }

  /** At most 10,000 of them. */
  deadLetters(options: Signalled = {}): StreamFace<DeadLetter> {
    return stream(() => {
      let isRead = false;
      const next = async (): Promise<readonly DeadLetter[]> => {
        if (isRead) return [];
        isRead = true;
        return this.#call<readonly DeadLetter[]>('deadLetters', {}, options.signal);
      };
      return { next, close: () => (isRead = true) };
    });
  }

  deadLetter(id: string): OperationFace<DeadLetter | undefined> {
    return this.#call('deadLetter', { id });
  }

  replay(id?: string, options: Signalled = {}): OperationFace<number> {
    return this.#call('replay', { id }, options.signal);
  }

  dropDeadLetter(id?: string, options: Signalled = {}): OperationFace<number> {
    return this.#call('dropDeadLetter', { id }, options.signal);
  }

  delete(): OperationFace<void> {
    return this.#call('delete');
  }

  #call<T>(call: DeskCall, given: Given = {}, signal?: AbortSignal): OperationFace<T> {
    return this.#ask<T>({ op: 'desk', name: this.name, call, ...given }, signal, `the ${call} of a consumer`);
  }
}

/** Does such a call, where the store is. @throws as the call of the desk; InvalidArgumentError where there is no such call */
export function answerAtDesk(
  store: Store,
  { name, call, from, id }: Extract<Request, { op: 'desk' }>,
): Observable<unknown> {
  const desk: ConsumerDesk = store.desk(name);
  switch (call) {
    case 'position':
      return desk.position();
    case 'lag':
      return desk.lag();
    case 'seek':
      if (from === undefined) throw new InvalidArgumentError('from', 'a place', from);
      return desk.seek(from);
    case 'pause':
      return desk.pause();
    case 'resume':
      return desk.resume();
    case 'deadLetters':
      return desk.deadLetters().pipe(take(LETTERS_MAX), toArray());
    case 'deadLetter':
      return desk.deadLetter(id ?? '');
    case 'replay':
      return desk.replay(id);
    case 'dropDeadLetter':
      return desk.dropDeadLetter(id);
    case 'delete':
      return desk.delete();
    default:
      throw new InvalidArgumentError('call', 'one of a desk', call satisfies never);
  }
}
