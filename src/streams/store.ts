/**
 * The store, as its users see it. Every method checks its arguments at the call and gives an operation or a stream, which
 * does nothing until it is awaited, iterated or subscribed to. What then happens is told in `write-stream.ts`,
 * `read-stream.ts`, `flush-stream.ts` and `compaction-stream.ts`.
 */
import type { Observable } from 'rxjs';
import { AbortedError, ClosedError, InvalidArgumentError } from '../errors.ts';
import type { Bytes, Commit, Durability, Entry, WriteOperation } from '../model.ts';
import { onAbort } from './abort.ts';
import { approximateSize } from './approximate-size.ts';
import { type Change, type ChangesOptions, LiveChanges } from './change-stream.ts';
import { checkSettings } from './check-settings.ts';
import type { Engine } from './engine.ts';
import type { EngineEvent } from './engine-events.ts';
import { Operation, operationOf, type Sink } from './operation.ts';
import {
  checkedKey,
  partOf,
  queryOf,
  type ScanOptions,
  scanOptionsOf,
  selectEntry,
  selectPart,
} from './scan-options.ts';
import { Snapshot } from './snapshot.ts';
import { statsOf, type StoreStats } from './stats.ts';
import { Stream } from './stream.ts';
import { checkBatchOperations, checkDelete, checkKey, checkSet, Write } from './write.ts';

export interface WriteOptions {
  /** What the acknowledgement of this write promises. Default: the store's. */
  readonly durability?: Durability | undefined;
  /** Takes the write back if it is not in a group yet; later its outcome stands. Either way it fails with `AbortedError`. */
  readonly signal?: AbortSignal | undefined;
}

/** What and how to scan. */
export interface StoreScanOptions extends ScanOptions {
  /** Scan what this snapshot sees. Default: what the store holds when the scan is opened. */
  readonly snapshot?: Snapshot | undefined;
}

/** A range of keys to compact; both ends inclusive, absent: without bound. */
export interface CompactRange {
  readonly start?: Bytes | undefined;
  readonly end?: Bytes | undefined;
  /** Ends the compaction after the piece that is under way. */
  readonly signal?: AbortSignal | undefined;
}

/** A database, open. Made by `open` and `openInMemory`. */
export class Store {
  readonly #engine: Engine;

  /** @internal */
  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** The directory's absolute name, symbolic links resolved. */
  get location(): string {
    return this.#engine.location;
  }

  /** What happens in the background: flushes, compactions, stalls, errors. Completes when the store has closed. */
  get events(): Observable<EngineEvent> {
    return this.#engine.events;
  }

  /**
   * Gives `key` the value `value`.
   *
   * Bytes are read until the operation completes: do not change them before. Unsubscribing takes the write back if it
   * still waits for the log; after that only nobody hears of its outcome.
   *
   * @param key - up to 64 KiB; a string is stored as UTF-8; may be empty
   * @param value - up to 1 GiB
   * @throws (at the call) InvalidArgumentError, KeyTooLargeError, ValueTooLargeError
   * @returns fails with IoError or NoSpaceError (outcome `'unknown'`: the write may still turn up after a crash),
   *   ReadOnlyError, BufferOverflowError (policies other than `'wait'`), AbortedError, ClosedError
   */
  set(key: Bytes, value: Bytes, options?: WriteOptions): Operation<Commit> {
    const bytes = checkSet(key, value);
    return this.#submit([{ type: 'set', key, value }], bytes, options);
  }

  /** Makes `key` absent; no error if it is so already. Otherwise like {@link Store.set}. */
  delete(key: Bytes, options?: WriteOptions): Operation<Commit> {
    const bytes = checkDelete(key);
    return this.#submit([{ type: 'delete', key }], bytes, options);
  }

  /**
   * All of these, or none: in the store, in every snapshot, in every change stream, and after every crash. Later lines of
   * the batch win over earlier ones of the same key.
   *
   * @param operations - together up to 1 GiB; an empty batch commits nothing, and gives the present sequence number
   * @throws (at the call) as {@link Store.set}; a wrong line refuses the whole batch
   */
  write(operations: readonly WriteOperation[], options?: WriteOptions): Operation<Commit> {
    const batch = checkBatchOperations(operations);
    if (batch.operations.length > 0) return this.#submit(batch.operations, batch.bytes, options);
    return new Operation((sink) => {
      const refusal = this.#engine.health.refusalOfWrite();
      if (refusal !== undefined) sink.fail(refusal);
      else sink.succeed({ sequence: this.#engine.tree.visibleSequence, durability: this.#durability(options) });
      return undefined;
    });
  }

  /** The value of the key, or `undefined`. Synchronous, if memory has it. */
  get(key: Bytes): Operation<Uint8Array | undefined> {
    checkKey(key);
    return new Operation((sink) => {
      this.#engine.reader.get(key, undefined, sink);
      return undefined;
    });
  }

  /** The values of the keys, in their order, all as of one moment. */
  getMany(keys: readonly Bytes[]): Operation<(Uint8Array | undefined)[]> {
    if (!Array.isArray(keys)) throw new InvalidArgumentError('keys', 'an array', keys);
    const wanted = [...(keys as readonly Bytes[])]; // before the check, which would pass over holes
    wanted.forEach((key, index) => checkKey(key, `keys[${index}]`));
    return operationOf(() => this.#engine.reader.getMany(wanted, undefined));
  }

  /** Whether the key has a value. */
  has(key: Bytes): Operation<boolean> {
    checkKey(key);
    return new Operation((sink) => {
      this.#engine.reader.has(key, undefined, sink);
      return undefined;
    });
  }

  /**
   * The entries of a range in key order, as of the moment when the stream is subscribed to or iterated.
   *
   * Iterating pulls: a slow reader slows the scan, and holds one page of it. `scan(start, end)` includes `start` and
   * excludes `end`. An open scan keeps the tables it reads from being deleted; closing the store ends it with ClosedError.
   */
  scan(start?: Bytes, end?: Bytes): Stream<Entry>;
  scan(options: StoreScanOptions & ({ readonly values: false } | { readonly keys: false })): Stream<Uint8Array>;
  scan(options: StoreScanOptions): Stream<Entry>;
  scan(startOrOptions?: Bytes | StoreScanOptions, end?: Bytes): Stream<Entry> | Stream<Uint8Array> {
    const options: StoreScanOptions = scanOptionsOf(startOrOptions, end);
    const { snapshot } = options;
    if (snapshot !== undefined) {
      if (!(snapshot instanceof Snapshot) || !snapshot.isOf(this.#engine.reader)) {
        throw new InvalidArgumentError('snapshot', 'a snapshot of this store', snapshot);
      }
      return snapshot.scan(options);
    }
    const part = partOf(options);
    const { reader } = this.#engine;
    if (part === 'entry') {
      const query = queryOf(options, undefined, selectEntry);
      return new Stream(() => reader.scan(query));
    }
    const query = queryOf(options, undefined, selectPart(part));
    return new Stream(() => reader.scan(query));
  }

  /** The present moment, kept for reading until it is closed. */
  snapshot(): Snapshot {
    const refusal = this.#engine.health.refusalOfRead();
    if (refusal !== undefined) throw refusal;
    const { reader, tree } = this.#engine;
    return new Snapshot(reader, tree.snapshots, tree.visibleSequence);
  }

  /**
   * Changes as they are committed, from now on, in the one order of all writes; a batch's changes follow each other.
   * Never holds writers back: a subscriber that falls 65,536 changes or 64 MiB behind gets a BufferOverflowError. Completes when
   * the store closes.
   */
  changes(options: ChangesOptions = { from: 'now' }): Stream<Change> {
    checkSettings('options', options);
    const { signal } = options;
    const from: unknown = options.from;
    if (from !== 'now') throw new InvalidArgumentError('from', "'now'", from);
    return new Stream(() => {
      if (this.#engine.health.isClosed) throw new ClosedError('store');
      return new LiveChanges(this.#engine.changes, signal);
    });
  }

  /** Completes when everything acknowledged before is in tables. An abort ends the wait, not the flush. */
  flush(options: { readonly signal?: AbortSignal | undefined } = {}): Operation<void> {
    checkSettings('options', options);
    const { signal } = options;
    return operationOf(() => this.#engine.flush(), { name: 'the flush', signal });
  }

  /**
   * Flushes, then merges a range (or everything) down into the deepest level that has any of it, dropping what is deleted
   * or overwritten and seen by no snapshot. What lies in that deepest level already is rewritten only where something is
   * merged into it: so what an earlier compaction kept for a snapshot stays until then. Replaced files are removed in the
   * background.
   */
  compact(range: CompactRange = {}): Operation<void> {
    checkSettings('range', range);
    const { start, end, signal } = range;
    const bounds = {
      start: start === undefined ? undefined : checkedKey(start, 'start'),
      end: end === undefined ? undefined : checkedKey(end, 'end'),
    };
    return operationOf(() => this.#engine.compact(bounds, signal), { name: 'the compaction', signal });
  }

  /** Bytes on disk of the keys from `start` up to, not including, `end`: roughly, and without what is still in memory. */
  approximateSize(start: Bytes, end: Bytes): Operation<number> {
    const from = checkedKey(start, 'start');
    const to = checkedKey(end, 'end');
    return operationOf(() => {
      const refusal = this.#engine.health.refusalOfRead();
      return refusal === undefined ? approximateSize(this.#engine.tree, from, to) : Promise.reject(refusal);
    });
  }

  /** The store's figures at this moment. */
  stats(): StoreStats {
    return statsOf(this.#engine);
  }

  /**
   * Refuses new calls, serves those accepted, writes memory to a table, and lets go of the directory. Open scans end with
   * ClosedError, change streams complete. Idempotent.
   */
  close(): Operation<void> {
    return operationOf(() => this.#engine.close());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#engine.close();
  }

  #durability(options: WriteOptions | undefined): Durability {
    return options?.durability ?? this.#engine.tree.options.durability;
  }

  #submit(operations: readonly WriteOperation[], bytes: number, options: WriteOptions | undefined): Operation<Commit> {
    checkSettings('options', options);
    const durability = this.#durability(options);
    checkDurability(durability);
    const signal = options?.signal;
    return new Operation((sink) => {
      const write = new Write(operations, bytes, durability, sink);
      if (signal === undefined) this.#engine.submit(write);
      else this.#submitWithSignal(write, sink, signal);
      return () => write.cancel();
    });
  }

  #submitWithSignal(write: Write, sink: Sink<Commit>, signal: AbortSignal): void {
    const abort = (): void => {
      write.cancel();
      sink.fail(new AbortedError('the write', { cause: signal.reason }));
    };
    if (signal.aborted) return abort();
    write.onSettled = onAbort(signal, abort);
    this.#engine.submit(write);
  }
}

/** The compiler knows; a plain-JavaScript caller may not. */
function checkDurability(durability: unknown): void {
  if (durability === 'synced' || durability === 'buffered') return;
  throw new InvalidArgumentError('durability', "'synced' or 'buffered'", durability);
}
