/** Operations and streams of our own, with the face of the engine's: cold, awaitable, iterable, one page at a time. */
import { Observable, type Subscriber } from 'rxjs';
import type { OperationFace, StreamFace } from './face.ts';

/** Takes an outcome: one call of one of the two. */
export interface Sink<T> {
  succeed(value: T): void;
  fail(error: unknown): void;
}

/** @param run - does the work once for each subscription; returns what takes it back */
export function operation<T>(run: (sink: Sink<T>) => (() => void) | undefined): OperationFace<T> {
  const source = new Observable<T>((subscriber) =>
    run({
      succeed: (value) => {
        subscriber.next(value);
        subscriber.complete();
      },
      fail: (error) => subscriber.error(error),
    }),
  );
  const then: OperationFace<T>['then'] = (onFulfilled, onRejected) =>
    new Promise<T>((succeed, fail) => {
      run({ succeed, fail });
    }).then(onFulfilled, onRejected);
  return Object.assign(source, { then });
}

/** Where a stream's values come from. One call at a time; an empty page is the end. */
export interface Pages<T> {
  next(): Promise<readonly T[]>;
  /** Lets go of everything. Idempotent. */
  close(): void;
}

/** @param open - called for each subscription and each iteration */
export function stream<T>(open: () => Pages<T>): StreamFace<T> {
  const source = new Observable<T>((subscriber) => {
    const pages = open();
    subscriber.add(() => pages.close());
    void push(pages, subscriber);
  });
  return Object.assign(source, {
    [Symbol.asyncIterator]: () => new ValueIterator(open()),
    pages: () => ({ [Symbol.asyncIterator]: () => new PageIterator(open()) }),
  });
}

async function push<T>(pages: Pages<T>, subscriber: Subscriber<T>): Promise<void> {
  try {
    for (;;) {
      const page = await pages.next();
      for (const value of page) {
        if (subscriber.closed) return;
        subscriber.next(value);
      }
      if (page.length > 0) continue;
      subscriber.complete();
      return;
    }
  } catch (error) {
    subscriber.error(error);
  }
}

/** Page by page. Calls of `next` that overlap are answered in order. */
class PageIterator<T> implements AsyncIterableIterator<readonly T[]> {
  readonly #pages: Pages<T>;
  #last: Promise<unknown> = Promise.resolve();
  #isDone = false;

  constructor(pages: Pages<T>) {
    this.#pages = pages;
  }

  next(): Promise<IteratorResult<readonly T[], undefined>> {
    const answer = this.#last.then(() => this.#pull());
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  return(): Promise<IteratorResult<readonly T[], undefined>> {
    this.#end();
    return Promise.resolve({ value: undefined, done: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #pull(): Promise<IteratorResult<readonly T[], undefined>> {
    if (this.#isDone) return { value: undefined, done: true };
    try {
      const page = await this.#pages.next();
      if (page.length > 0) return { value: page, done: false };
    } catch (error) {
      this.#end();
      throw error;
    }
    this.#end();
    return { value: undefined, done: true };
  }

  #end(): void {
    this.#isDone = true;
    this.#pages.close();
  }
}

/** Value by value. */
class ValueIterator<T> implements AsyncIterableIterator<T> {
  readonly #pages: PageIterator<T>;
  #page: readonly T[] = [];
  #index = 0;
  #isDone = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(pages: Pages<T>) {
    this.#pages = new PageIterator(pages);
  }

  next(): Promise<IteratorResult<T, undefined>> {
    const answer = this.#last.then(() => this.#take());
    this.#last = answer.catch(() => undefined);
    return answer;
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#isDone = true;
    this.#page = [];
    return this.#pages.return().then(() => ({ value: undefined, done: true }));
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #take(): Promise<IteratorResult<T, undefined>> {
    while (!this.#isDone && this.#index >= this.#page.length) {
      const { value, done } = await this.#pages.next();
      if (done === true) return { value: undefined, done: true };
      this.#page = value;
      this.#index = 0;
    }
    if (this.#isDone) return { value: undefined, done: true };
    const value = this.#page[this.#index] as T;
    this.#index += 1;
    return { value, done: false };
  }
}
