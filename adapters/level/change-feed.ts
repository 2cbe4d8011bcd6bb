/**
 * A stream of the store with other values: an observable that can also be iterated, one value at a time, on demand.
 *
 * It begins when it is subscribed to or iterated. A database that is still opening then is waited for, as with every other
 * call of abstract-level.
 */
import type { StreamFace } from '../attach/index.ts';
import { catchError, map, Observable } from 'rxjs';
import { levelErrorOf, throwLevelError } from './level-error.ts';

/** Many values, to subscribe to or to iterate. Iterating pulls. */
export type ChangeFeed<T> = Observable<T> & AsyncIterable<T>;

/** What is used of a database: when it is open. */
export interface Opening {
  readonly status: string;
  defer(work: () => void): void;
}

/**
 * @param open - called when the database is open, or will not be; what it throws is the feed's error
 * @param change - makes a value of a value
 */
export function changeFeed<T, U>(db: Opening, open: () => StreamFace<T>, change: (value: T) => U): ChangeFeed<U> {
  const feed = new Observable<U>((subscriber) => {
    whenOpen(db, () => {
      if (subscriber.closed) return;
      try {
        const changes = open().pipe(map(change), catchError(throwLevelError));
        subscriber.add(changes.subscribe(subscriber));
      } catch (error) {
        subscriber.error(levelErrorOf(error));
      }
    });
  });
  return Object.assign(feed, { [Symbol.asyncIterator]: () => iterate(db, open, change) });
}

function whenOpen(db: Opening, work: () => void): void {
  if (db.status === 'opening') db.defer(work);
  else work();
}

function iterate<T, U>(db: Opening, open: () => StreamFace<T>, change: (value: T) => U): AsyncIterableIterator<U> {
  // Where the database is open, the place that it begins at is fixed before this returns.
  const opened = new Promise<AsyncIterator<T>>((resolve) => {
    whenOpen(db, () => resolve(open()[Symbol.asyncIterator]()));
  });
  opened.catch(() => undefined); // `next` hears of it
  const close = async (): Promise<void> => {
    await (await opened).return?.();
  };
  return {
    next: async (): Promise<IteratorResult<U, undefined>> => {
      try {
        const result = await (await opened).next();
        return result.done === true ? { value: undefined, done: true } : { value: change(result.value), done: false };
      } catch (error) {
        await close().catch(() => undefined); // the error before is the one to tell
        return throwLevelError(error);
      }
    },
    return: async () => {
      await close().catch(() => undefined); // what never opened needs no closing
      return { value: undefined, done: true };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
