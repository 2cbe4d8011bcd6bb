import { defer, EMPTY, expand, merge, Observable } from 'rxjs';

/**
 * Back-pressure in one idea: `inFlightMax` lanes pull from one iterator, and each takes its next item only when the work
 * on its last one is done.
 *
 * RxJS has no demand signal: `from(items).pipe(mergeMap(work, 256))` would queue every item that has not started. Here
 * nothing is asked for before there is room for it, so nothing queues, however many items there are.
 *
 * - **emits** the result of each piece of work, in the order in which they end
 * - **completes** when the items are used up and the last work is done
 * - **errors** on the first error of `work` or of the iterator; no item is taken after it
 *
 * `work` gives one result, and not before it returns (a synchronous one would make a lane recurse).
 */
export const pullThrough = <Item, Result>(
  items: Iterable<Item>,
  inFlightMax: number,
  work: (item: Item) => Observable<Result>,
): Observable<Result> =>
  defer(() => {
    const iterator = items[Symbol.iterator]();
    const next = (): Observable<Result> => {
      const step = iterator.next();
      return step.done === true ? EMPTY : work(step.value);
    };
    const lane = defer(next).pipe(expand(next));
    return merge(...Array.from({ length: inFlightMax }, () => lane));
  });
