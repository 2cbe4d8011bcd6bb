/** A snapshot: the store as it was at one sequence number, whatever is written beside it, until it is closed. */
import { ClosedError, InvalidArgumentError } from '../errors.ts';
import type { Bytes, Entry, SequenceNumber, VersionedValue } from '../model.ts';
import type { SnapshotList } from '../storage/read/snapshots.ts';
import { Operation, operationOf } from './operation.ts';
import type { Reader } from './read-stream.ts';
import { partOf, queryOf, type ScanOptions, scanOptionsOf, selectEntry, selectPart } from './scan-options.ts';
import { Stream } from './stream.ts';
import { checkKey } from './write.ts';

/**
 * Reads as of one moment. Costs nothing to make and little to keep; but what it sees cannot be compacted away, so close it.
 */
export class Snapshot {
  /** The newest write that it sees. */
  readonly sequence: SequenceNumber;
  readonly #reader: Reader;
  readonly #list: SnapshotList;
  #isClosed = false;

  /** @internal */
  constructor(reader: Reader, list: SnapshotList, sequence: SequenceNumber) {
    this.#reader = reader;
    this.#list = list;
    this.sequence = sequence;
    list.add(sequence);
  }

  /** @internal Whether it is a snapshot of the store with this reader. */
  isOf(reader: Reader): boolean {
    return this.#reader === reader;
  }

  /** The value of the key at that moment, or `undefined`. */
  get(key: Bytes): Operation<Uint8Array | undefined> {
    this.#check(key);
    return new Operation((sink) => {
      if (this.#isClosed) sink.fail(new ClosedError('snapshot'));
      else this.#reader.get(key, this.sequence, sink);
      return undefined;
    });
  }

  /** As `store.getSync`, at that moment. */
  getSync(key: Bytes): Uint8Array | undefined {
    this.#check(key);
    if (this.#isClosed) throw new ClosedError('snapshot');
    return this.#reader.getSync(key, this.sequence);
  }

  /** The value of the key at that moment, and the sequence number of the set that gave it; or `undefined`. */
  entry(key: Bytes): Operation<VersionedValue | undefined> {
    this.#check(key);
    return new Operation((sink) => {
      if (this.#isClosed) sink.fail(new ClosedError('snapshot'));
      else this.#reader.entry(key, this.sequence, sink);
      return undefined;
    });
  }

  /** The values of the keys at that moment, in their order. */
  getMany(keys: readonly Bytes[]): Operation<(Uint8Array | undefined)[]> {
    if (!Array.isArray(keys)) throw new InvalidArgumentError('keys', 'an array', keys);
    const wanted = [...(keys as readonly Bytes[])];
    for (const key of wanted) this.#check(key);
    return operationOf(() => {
      if (this.#isClosed) return Promise.reject(new ClosedError('snapshot'));
      return this.#reader.getMany(wanted, this.sequence);
    });
  }

  /** Whether the key had a value at that moment. */
  has(key: Bytes): Operation<boolean> {
    this.#check(key);
    return new Operation((sink) => {
      if (this.#isClosed) sink.fail(new ClosedError('snapshot'));
      else this.#reader.has(key, this.sequence, sink);
      return undefined;
    });
  }

  /** Like `store.scan`, as of that moment. */
  scan(start?: Bytes, end?: Bytes): Stream<Entry>;
  scan(options: ScanOptions & ({ readonly values: false } | { readonly keys: false })): Stream<Uint8Array>;
  scan(options: ScanOptions): Stream<Entry>;
  scan(startOrOptions?: Bytes | ScanOptions, end?: Bytes): Stream<Entry> | Stream<Uint8Array> {
    const options = scanOptionsOf(startOrOptions, end);
    const part = partOf(options);
    const open = <T>(select: Parameters<typeof queryOf<T>>[2]): Stream<T> => {
      const query = queryOf(options, this.sequence, select);
      return new Stream(() => {
        if (this.#isClosed) throw new ClosedError('snapshot');
        return this.#reader.scan(query);
      }, this.#reader.clock);
    };
    return part === 'entry' ? open(selectEntry) : open(selectPart(part));
  }

  /** Lets compaction drop what only this snapshot sees. Scans that are open go on. Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#list.remove(this.sequence);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #check(key: Bytes): void {
    checkKey(key);
  }
}
