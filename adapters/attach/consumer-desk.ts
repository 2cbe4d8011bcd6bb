/** The owner's side of a consumer's desk: all that can be asked of it from another process. */
import { type ConsumerDesk, type DeadLetter, InvalidArgumentError, type Store } from 'alluvium';
import type { Observable } from 'rxjs';
import type { ConsumerView, Request } from './protocol.ts';

type ConsumerRequest = Extract<Request, { readonly op: 'consumer' }>;

export function viewOf({ gt, gte, lt, lte, from, durability }: ConsumerView): ConsumerView {
  return { gt, gte, lt, lte, from, durability };
}

/** @throws what the store refuses arguments with */
export function consumerAnswer(store: Store, { name, view, call, from, id }: ConsumerRequest): Observable<unknown> {
  const desk = deskOf(store, name, view);
  switch (call) {
    case 'position':
      return desk.position();
    case 'lag':
      return desk.lag();
    case 'seek':
      if (from === undefined) throw new InvalidArgumentError('from', 'given', from);
      return desk.seek(from);
    case 'pause':
      return desk.pause();
    case 'resume':
      return desk.resume();
    case 'deadLetter':
      return desk.deadLetter(id ?? '');
    case 'replay':
      return desk.replay(id);
    case 'dropDeadLetter':
      return desk.dropDeadLetter(id);
    case 'delete':
      return desk.delete();
    default:
      throw new InvalidArgumentError('call', "one of a consumer's desk", call satisfies never);
  }
}

/** @throws what the store refuses arguments with */
export const deadLettersOf = (store: Store, name: string): { pages(): AsyncIterable<readonly DeadLetter[]> } =>
  store.desk(name).deadLetters();

const deskOf = (store: Store, name: string, view: ConsumerView | undefined): ConsumerDesk =>
  view === undefined ? store.desk(name) : store.consumer(name, { ...viewOf(view), handle: () => undefined }); // it is not run
