/**
 * `Stream<T>`: many values, two ways to take them.
 *
 * - **pull**: `for await (const value of stream)` asks for a page when it has used up the one before. A slow reader slows the
 *   source, and holds one page. Leaving the loop closes the source.
 * - **push**: it is an `Observable`; `subscribe` and `pipe` deliver page after page, as fast as the subscriber takes them,
 *   and let the event loop have its turns in between. Unsubscribing closes the source.
 *
 * Each subscription and each iteration opens a source of its own. Nothing is read ahead but the page that was asked for:
 * RxJS's `from(asyncIterable)` would read all of it into memory, so streams never go through it.
 */
import { Observable, type Subscriber } from 'rxjs';
import { type Clock, SLICE_MS, yieldTurn } from './clock.ts';
import { toError } from './to-error.ts';

/** Where a stream's values come from. One call at a time. */
export interface PageSource<T> {
  /** The next values, in order; an empty page is the end. Synchronous if memory has them. */
  pull(): readonly T[] | Promise<readonly T[]>;
  /**
   * As {@link PageSource.pull}, for sources that may have nothing for a long time: `undefined`, and `wake` is called once
   * when there may be something. It spares a promise for each of many subscribers.
   */
  pullOrWait?(wake: () => void): Waited<T>;
  /** Lets go of everything; a pull under way ends soon. Idempotent. */
  close(): void;
}

/** A page, now or later; or nothing yet. */
export type Waited<T> = readonly T[] | Promise<readonly T[] | undefined> | undefined;

/** A source that can be waited for without a promise. */
export interface WaitingPageSource<T> extends PageSource<T> {
  pullOrWait(wake: () => void): Waited<T>;
}

/** {@link PageSource.pull} by way of {@link PageSource.pullOrWait}: a promise where that would wait. */
export function pullOrWaitAsPull<T>(source: WaitingPageSource<T>): readonly T[] | Promise<readonly T[]> {
  let wake = (): void => undefined;
  const first = source.pullOrWait(() => wake());
  if (first instanceof Promise) return first.then((page) => page ?? pullOrWaitAsPull(source));
  if (first !== undefined) return first;
  return new Promise((resolve, reject) => {
    wake = (): void => {
      try {
        resolve(pullOrWaitAsPull(source));
      } catch (error) {
        reject(toError(error));
      }
    };
  });
}

export class Stream<T> extends Observable<T> implements AsyncIterable<T> {
  readonly #open: () => PageSource<T>;
  /** @internal Whose turns of the event loop are kept free. */
  readonly clock: Clock;

  /** @internal */
  constructor(open: () => PageSource<T>, clock: Clock) {
    super((subscriber) => {
      const source = open();
      subscriber.add(() => source.close());
      push(source, subscriber, clock);
    });
    this.#open = open;
    this.clock = clock;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    return new PageIterator(this.#open(), this.clock);
  }

  /** @internal A source of its values, for a stream made of them; each subscription and each iteration opens one, too. */
  openSource(): PageSource<T> {
    return this.#open();
  }

  /** The values in pages as they are read: for bulk work, where a promise per value would cost more than the value. */
  pages(): AsyncIterable<readonly T[]> {
    const open = this.#open;
    const { clock } = this;
    return {
      [Symbol.asyncIterator]: () => new PageIterator(wrapPages(open()), clock),
    };
  }
}

/** A source of pages as a source whose only value per pull is the page. */
function wrapPages<T>(source: PageSource<T>): PageSource<readonly T[]> {
  const wrap = (page: readonly T[]): readonly (readonly T[])[] => (page.length === 0 ? [] : [page]);
  return {
    pull: () => {
      const page = source.pull();
      return page instanceof Promise ? page.then(wrap) : wrap(page);
    },
    close: () => source.close(),
  };
}

/** Delivers page after page. A loop, not recursion: pages that memory has come synchronously. */
function push<T>(source: PageSource<T>, subscriber: Subscriber<T>, clock: Clock): void {
  const deliver = (page: readonly T[] | undefined): void => {
    if (page === undefined) return;
    for (const value of page) {
      if (subscriber.closed) return;
      subscriber.next(value);
    }
    if (page.length === 0) subscriber.complete();
  };
  // Of all pages together: those that memory has after a microtask keep the event loop as those that it has at once.
  let sliceStart = clock.now();
  const nextSlice = (): void => {
    sliceStart = clock.now();
    drive();
  };
  const drive = (): void => {
    try {
      while (!subscriber.closed) {
        if (clock.now() - sliceStart > SLICE_MS) {
          clock.afterTurn(nextSlice);
          return;
        }
        const page = source.pullOrWait === undefined ? source.pull() : source.pullOrWait(nextSlice);
        if (page === undefined) return;
        if (page instanceof Promise) {
          page.then(
            (values) => {
              deliver(values);
              drive();
            },
            (error: unknown) => subscriber.error(error),
          );
          return;
        }
        deliver(page);
      }
    } catch (error) {
      subscriber.error(error);
    }
  };
  drive();
}

/** Values one by one, on demand. Calls of `next` that overlap are answered in order. */
class PageIterator<T> implements AsyncIterableIterator<T> {
  readonly #source: PageSource<T>;
  #page: readonly T[] = [];
  #index = 0;
  #isDone = false;
  /** Calls of `next` that have no answer yet, and the end of the last of them. */
  #unanswered = 0;
  #lastAnswer: Promise<unknown> = Promise.resolve();
  readonly #clock: Clock;
  #sliceStart: number;

  constructor(source: PageSource<T>, clock: Clock) {
    this.#source = source;
    this.#clock = clock;
    this.#sliceStart = clock.now();
  }

  next(): Promise<IteratorResult<T, undefined>> {
    if (this.#unanswered === 0 && this.#hasAnswer()) return Promise.resolve(this.#answer());
    this.#unanswered += 1;
    const answer = this.#lastAnswer.then(() => this.#answerLater());
    const answered = (): void => void (this.#unanswered -= 1);
    this.#lastAnswer = answer.then(answered, answered);
    return answer;
  }

  return(): Promise<IteratorResult<T, undefined>> {
    this.#end();
    return Promise.resolve({ value: undefined, done: true });
  }

  throw(error: unknown): Promise<IteratorResult<T, undefined>> {
    this.#end();
    return Promise.reject(toError(error));
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #hasAnswer(): boolean {
    return this.#isDone || this.#index < this.#page.length;
  }

  #answer(): IteratorResult<T, undefined> {
    if (this.#isDone) return { value: undefined, done: true };
    const value = this.#page[this.#index] as T;
    this.#index += 1;
    return { value, done: false };
  }

  async #answerLater(): Promise<IteratorResult<T, undefined>> {
    if (!this.#hasAnswer()) await this.#pull();
    return this.#answer();
  }

  async #pull(): Promise<void> {
    try {
      // A loop over cached pages is all microtasks: without a turn now and then, no timer would ever fire.
      if (this.#clock.now() - this.#sliceStart > SLICE_MS) {
        await yieldTurn(this.#clock);
        this.#sliceStart = this.#clock.now();
        if (this.#isDone) return;
      }
      const page = await this.#source.pull();
      if (this.#isDone) return; // `return` was called meanwhile
      this.#page = page;
      this.#index = 0;
      if (page.length === 0) this.#end();
    } catch (error) {
      this.#end();
      throw error;
    }
  }

  #end(): void {
    this.#isDone = true;
    this.#page = [];
    this.#source.close();
  }
}
