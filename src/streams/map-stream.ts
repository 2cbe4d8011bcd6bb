/**
 * A stream or an operation whose values are others, made of those of a stream or an operation below.
 *
 * A stream is mapped page by page: pages stay pages, and the one below is asked for the next page when this one is. Where a
 * value cannot be mapped, what is before it is delivered, and then the stream ends with the error: nothing is left out
 * before it, and the place of the last value delivered is a place to go on from.
 */
import { Operation } from './operation.ts';
import { type PageSource, Stream, type Waited } from './stream.ts';

export interface MapStreamSettings<T> {
  /** Whether `b` belongs together with `a` before it: such values are delivered all, or none of them before an error. */
  readonly isTogether?: (a: T, b: T) => boolean;
}

/** @param change - makes a value of a value; what it throws ends the stream */
export function mapStream<T, U>(
  stream: Stream<T>,
  change: (value: T) => U,
  { isTogether = () => false }: MapStreamSettings<T> = {},
): Stream<U> {
  return new Stream(() => new MappedSource(stream.openSource(), change, isTogether), stream.clock);
}

class MappedSource<T, U> implements PageSource<U> {
  readonly #source: PageSource<T>;
  readonly #change: (value: T) => U;
  readonly #isTogether: (a: T, b: T) => boolean;
  /** Thrown by the next pull. */
  #failure: { readonly error: unknown } | undefined;

  constructor(source: PageSource<T>, change: (value: T) => U, isTogether: (a: T, b: T) => boolean) {
    this.#source = source;
    this.#change = change;
    this.#isTogether = isTogether;
  }

  pull(): readonly U[] | Promise<readonly U[]> {
    this.#check();
    const page = this.#source.pull();
    return page instanceof Promise ? page.then((values) => this.#changePage(values)) : this.#changePage(page);
  }

  pullOrWait(wake: () => void): Waited<U> {
    this.#check();
    const source = this.#source;
    const page = source.pullOrWait === undefined ? source.pull() : source.pullOrWait(wake);
    if (page === undefined) return undefined;
    if (!(page instanceof Promise)) return this.#changePage(page);
    return page.then((values) => (values === undefined ? undefined : this.#changePage(values)));
  }

  close(): void {
    this.#source.close();
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #changePage(page: readonly T[]): readonly U[] {
    const changed: U[] = [];
    try {
      for (const value of page) changed.push(this.#change(value));
    } catch (error) {
      this.#failure = { error };
      changed.length = this.#wholeBefore(page, changed.length);
      this.close(); // nothing more is wanted
      if (changed.length === 0) throw error; // an empty page would be the end
    }
    return changed;
  }

  /** Where the values begin that belong together with the one at `index`. */
  #wholeBefore(page: readonly T[], index: number): number {
    let start = index;
    while (start > 0 && this.#isTogether(page[start - 1] as T, page[start] as T)) start -= 1;
    return start;
  }
}

/** What `change` throws is the failure of the operation. Synchronous, where the operation below is. */
export function mapOperation<T, U>(operation: Operation<T>, change: (value: T) => U): Operation<U> {
  return new Operation((sink) => {
    const subscription = operation.subscribe({
      next: (value) => {
        let changed: U;
        try {
          changed = change(value);
        } catch (error) {
          return sink.fail(error);
        }
        sink.succeed(changed);
      },
      error: (error: unknown) => sink.fail(error),
    });
    return () => subscription.unsubscribe();
  });
}
