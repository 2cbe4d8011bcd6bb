/**
 * Where requests become calls of the store: one desk for each connection, and one for the owner's own requests from the time
 * when it was attached itself. It holds the snapshots and streams of whoever asks, and lets go of them all when that one ends.
 */
import {
  BufferOverflowError,
  ClosedError,
  type ChangesOptions,
  type ConsumerInfo,
  type Cursor,
  type Snapshot,
  type Store,
} from 'alluvium';
import { map, type Observable, toArray } from 'rxjs';
import { consumerAnswer, deadLettersOf } from './consumer-desk.ts';
import type { Sink } from './operation.ts';
import { cursorAt, type Request } from './protocol.ts';
import { writeError } from './wire-error.ts';

/** Snapshots, and streams, that one connection may hold. */
const HELD_MAX = 16_384;
/**
 * How long a change stream may be silent until it tells its place, so that whoever goes on elsewhere with it does not ask for
 * what no history has any more.
 */
const PROGRESS_MS = 5_000;

/** Anything that answers requests, and takes one back. */
export interface RequestDesk {
  answer(request: Request, sink: Sink<unknown>): (() => void) | undefined;
}

export class Desk implements RequestDesk {
  readonly #store: Store;
  readonly #cursor: Cursor;
  readonly #snapshots = new Map<number, Snapshot>();
  readonly #streams = new Map<number, AsyncIterator<readonly unknown[]>>();
  /** Those of them that are asked for a page. */
  readonly #pulling = new Set<number>();

  /** @param cursor - any of the present opening of the store */
  constructor(store: Store, cursor: Cursor) {
    this.#store = store;
    this.#cursor = cursor;
  }

  /**
   * Begins at once: requests are served in the order in which they are handed in, as calls of the store would be.
   *
   * @returns what takes the request back, where that means anything
   */
  answer(request: Request, sink: Sink<unknown>): (() => void) | undefined {
    try {
      return this.#answer(request, sink);
    } catch (error) {
      sink.fail(error);
      return undefined;
    }
  }

  close(): void {
    for (const snapshot of this.#snapshots.values()) snapshot.close();
    this.#snapshots.clear();
    for (const id of [...this.#streams.keys()]) this.#endStream(id);
  }

  #answer(request: Request, sink: Sink<unknown>): (() => void) | undefined {
    const store = this.#store;
    switch (request.op) {
      case 'get':
        return run(this.#reader(request.snapshot).get(request.key), sink);
      case 'entry':
        return run(this.#reader(request.snapshot).entry(request.key), sink);
      case 'has':
        return run(this.#reader(request.snapshot).has(request.key), sink);
      case 'getMany':
        return run(this.#reader(request.snapshot).getMany(request.keys), sink);
      case 'write': {
        const { operations, durability, idempotencyKey, windowMs } = request;
        return run(store.write(operations, { durability, idempotencyKey, windowMs }), sink);
      }
      case 'flush':
        return run(store.flush(), sink);
      case 'compact':
        return run(store.compact({ start: request.start, end: request.end }), sink);
      case 'approximateSize':
        return run(store.approximateSize(request.start, request.end), sink);
      case 'stats':
        return done(sink, store.stats());
      case 'backup':
        return run(store.backup(request.directory), sink);
      case 'consumers':
        return run(store.consumers().pipe(map(withWireError), toArray()), sink);
      case 'consumer':
        return run(consumerAnswer(store, request), sink);
      default:
        return this.#hold(request, sink);
    }
  }

  #hold(request: Extract<Request, { snapshot: number } | { stream: number }>, sink: Sink<unknown>): undefined {
    switch (request.op) {
      case 'snapshotOpen': {
        checkRoom(this.#snapshots, request.snapshot);
        const snapshot = this.#store.snapshot();
        this.#snapshots.set(request.snapshot, snapshot);
        return done(sink, snapshot.sequence);
      }
      case 'snapshotClose':
        this.#snapshots.get(request.snapshot)?.close();
        this.#snapshots.delete(request.snapshot);
        return done(sink, undefined);
      case 'scanOpen':
        checkRoom(this.#streams, request.stream);
        // Iterating is what takes the view: now, and not with the first page.
        this.#keep(request.stream, this.#reader(request.snapshot).scan(request.options));
        return done(sink, undefined);
      case 'changesOpen':
        checkRoom(this.#streams, request.stream);
        return this.#openChanges(request.stream, request.options, sink);
      case 'deadLettersOpen':
        checkRoom(this.#streams, request.stream);
        this.#keep(request.stream, deadLettersOf(this.#store, request.name));
        return done(sink, undefined);
      case 'pull':
        return this.#pull(request.stream, sink);
      case 'streamClose':
        this.#endStream(request.stream);
        return done(sink, undefined);
    }
  }

  #reader(snapshot: number | undefined): Store | Snapshot {
    if (snapshot === undefined) return this.#store;
    const found = this.#snapshots.get(snapshot);
    if (found === undefined) throw new ClosedError('snapshot');
    return found;
  }

  /** Answers with the place where the stream begins, if it is the present one: it has no other name yet. */
  #openChanges(stream: number, options: ChangesOptions, sink: Sink<unknown>): undefined {
    this.#keep(stream, this.#store.changes({ ...options, progressMs: options.progressMs ?? PROGRESS_MS }));
    return done(sink, cursorAt(this.#cursor, this.#store.stats().sequence));
  }

  #keep(stream: number, values: { pages(): AsyncIterable<readonly unknown[]> }): void {
    this.#streams.set(stream, values.pages()[Symbol.asyncIterator]());
  }

  #pull(stream: number, sink: Sink<unknown>): undefined {
    const pages = this.#streams.get(stream);
    if (pages === undefined) throw new ClosedError('stream');
    // Pulls that wait are not counted among the requests of a connection: so there is one for each stream, and no more.
    if (this.#pulling.has(stream)) throw new BufferOverflowError(1);
    this.#pulling.add(stream);
    pages.next().then(
      (result) => {
        this.#pulling.delete(stream);
        if (result.done === true) this.#streams.delete(stream);
        sink.succeed(result.done === true ? [] : result.value);
      },
      (error: unknown) => {
        this.#pulling.delete(stream);
        this.#streams.delete(stream);
        sink.fail(error);
      },
    );
    return undefined;
  }

  #endStream(stream: number): void {
    const pages = this.#streams.get(stream);
    this.#streams.delete(stream);
    pages?.return?.().catch(() => undefined); // it only lets go
  }
}

function run<T>(work: Observable<T>, sink: Sink<unknown>): () => void {
  const running = work.subscribe({ next: (value) => sink.succeed(value), error: (error: unknown) => sink.fail(error) });
  return () => running.unsubscribe();
}

function done(sink: Sink<unknown>, value: unknown): undefined {
  sink.succeed(value);
  return undefined;
}

/** An error in an answer goes as errors go. */
const withWireError = (info: ConsumerInfo): object => ({
  ...info,
  error: info.error === undefined ? undefined : writeError(info.error),
});

function checkRoom(held: ReadonlyMap<number, unknown>, id: number): void {
  if (held.has(id)) throw new ClosedError('number of a snapshot or stream that was used before');
  if (held.size >= HELD_MAX) throw new BufferOverflowError(HELD_MAX);
}
