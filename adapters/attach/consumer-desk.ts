/** What can be done to a consumer from another process: all but running its handler, which is here and not there. */
import { type Consumer, type DeadLetter, InvalidArgumentError, type Store } from 'alluvium';
import type { Observable } from 'rxjs';
import type { ConsumerView, Request } from './protocol.ts';

type ConsumerRequest = Extract<Request, { readonly op: 'consumer' }>;

export function viewOf({ gt, gte, lt, lte, from, durability }: ConsumerView): ConsumerView {
  return { gt, gte, lt, lte, from, durability };
}

/** @throws what the store refuses arguments with */
export function consumerAnswer(store: Store, { name, view, call, from, id }: ConsumerRequest): Observable<unknown> {
  const consumer = consumerOf(store, name, view);
  switch (call) {
    case 'position':
      return consumer.position();
    case 'lag':
      return consumer.lag();
    case 'seek':
      if (from === undefined) throw new InvalidArgumentError('from', 'given', from);
      return consumer.seek(from);
    case 'pause':
      return consumer.pause();
    case 'resume':
      return consumer.resume();
    case 'deadLetter':
      return consumer.deadLetter(id ?? '');
    case 'replay':
      return consumer.replay(id);
    case 'dropDeadLetter':
      return consumer.dropDeadLetter(id);
    case 'delete':
      return consumer.delete();
  }
}

/** @throws what the store refuses arguments with */
export const deadLettersOf = (
  store: Store,
  name: string,
  view: ConsumerView,
): { pages(): AsyncIterable<readonly DeadLetter[]> } => consumerOf(store, name, view).deadLetters();

const consumerOf = (store: Store, name: string, view: ConsumerView): Consumer =>
  store.consumer(name, { ...viewOf(view), handle: () => undefined }); // it is not run
