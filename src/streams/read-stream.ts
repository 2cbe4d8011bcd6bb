/**
 * Reads: a key, many keys, a range. Each looks at one moment of the tree, fixed synchronously when it begins.
 *
 * What memory can answer is answered synchronously, without a promise or a timer in between: the active memtable, the
 * waiting ones, open tables, cached blocks. A read that needs the disk goes on when the block has come, on the version that
 * it began with.
 */
import { ClosedError } from '../errors.ts';
import type { Bytes, VersionedValue } from '../model.ts';
import { copyOut } from '../storage/read/copy-out.ts';
import { Lookup } from '../storage/table/lookup.ts';
import type { Tree } from '../storage/tree.ts';
import { type Clock, yieldTurn } from './clock.ts';
import type { Health } from './health.ts';
import { KeyBuffer } from './key-buffer.ts';
import type { Sink } from './operation.ts';
import { type ScanQuery, ScanSource } from './scan-source.ts';
import type { PageSource } from './stream.ts';

/** A lookup and the buffer its key is in: both are taken again for the next read, unless this one waits for the disk. */
class PointRead {
  readonly lookup = new Lookup();
  readonly key = new KeyBuffer();
}

/** Reads of one `getMany` that wait for the disk at the same time. */
const READS_AT_ONCE = 64;

/** Keys of one `getMany` between two turns of the event loop. */
const READS_PER_TURN = 1024;

type ReadResult<T> = (lookup: Lookup) => T;

const valueOf: ReadResult<Uint8Array | undefined> = (lookup) =>
  lookup.state === 'found' ? copyOut(lookup.valueBytes, lookup.valueStart, lookup.valueEnd) : undefined;
const entryOf: ReadResult<VersionedValue | undefined> = (lookup) => {
  const value = valueOf(lookup);
  return value === undefined ? undefined : { value, sequence: lookup.foundSequence };
};
const isFound: ReadResult<boolean> = (lookup) => lookup.state === 'found';

export class Reader {
  readonly #tree: Tree;
  readonly #health: Health;
  readonly clock: Clock;
  #point = new PointRead();
  /** Scans that are open: closing the store ends them. */
  readonly #scans = new Set<{ fail(error: Error): void }>();

  constructor(tree: Tree, health: Health, clock: Clock) {
    this.#tree = tree;
    this.#health = health;
    this.clock = clock;
  }

  /** @param sequence - of a snapshot; `undefined`: the present */
  get(key: Bytes, sequence: number | undefined, sink: Sink<Uint8Array | undefined>): void {
    this.#read(key, sequence, valueOf, sink);
  }

  /** @throws what the sink of {@link get} would be told */
  getSync(key: Bytes, sequence: number | undefined): Uint8Array | undefined {
    const refusal = this.#health.refusalOfRead();
    if (refusal !== undefined) throw refusal;
    const { key: buffer, lookup } = this.#point;
    buffer.set(key);
    lookup.reset(buffer.bytes, 0, buffer.length, sequence ?? this.#tree.visibleSequence);
    this.#tree.findNow(lookup);
    return valueOf(lookup);
  }

  entry(key: Bytes, sequence: number | undefined, sink: Sink<VersionedValue | undefined>): void {
    this.#read(key, sequence, entryOf, sink);
  }

  has(key: Bytes, sequence: number | undefined, sink: Sink<boolean>): void {
    this.#read(key, sequence, isFound, sink);
  }

  async getMany(keys: readonly Bytes[], sequence: number | undefined): Promise<(Uint8Array | undefined)[]> {
    const refusal = this.#health.refusalOfRead();
    if (refusal !== undefined) throw refusal;
    const at = sequence ?? this.#tree.visibleSequence;
    let next = 0;
    this.#tree.snapshots.add(at); // so that no compaction drops what the later keys still have to see
    try {
      const values = new Array<Uint8Array | undefined>(keys.length);
      let turn: Promise<void> | undefined; // one for all of them: while one waits, none goes on
      const work = async (): Promise<void> => {
        for (let index = next++; index < keys.length; index = next++) {
          values[index] = await this.#readOne(keys[index] as Bytes, at, valueOf);
          if (index % READS_PER_TURN === READS_PER_TURN - 1) {
            turn = yieldTurn(this.clock).then(() => {
              turn = undefined;
            });
          }
          if (turn !== undefined) await turn;
        }
      };
      await Promise.all(Array.from({ length: Math.min(READS_AT_ONCE, keys.length) }, work));
      return values;
    } finally {
      next = keys.length; // after a failure the others need not go on
      this.#tree.snapshots.remove(at);
    }
  }

  scan<T>(query: ScanQuery<T>): PageSource<T> {
    const refusal = this.#health.refusalOfRead();
    if (refusal !== undefined) throw refusal;
    const scan = new ScanSource(this.#tree, query, this.clock, () => this.#scans.delete(scan));
    this.#scans.add(scan);
    return scan;
  }

  /** Ends every open scan with an error: an end without one would look like the end of the range. */
  close(): void {
    for (const scan of this.#scans) scan.fail(new ClosedError('store'));
  }

  #read<T>(key: Bytes, sequence: number | undefined, result: ReadResult<T>, sink: Sink<T>): void {
    const refusal = this.#health.refusalOfRead();
    if (refusal !== undefined) return sink.fail(refusal);
    const point = this.#point;
    let step: Promise<void> | undefined;
    try {
      point.key.set(key);
      point.lookup.reset(point.key.bytes, 0, point.key.length, sequence ?? this.#tree.visibleSequence);
      step = this.#tree.find(point.lookup);
    } catch (error) {
      return sink.fail(error);
    }
    if (step === undefined) return sink.succeed(result(point.lookup));
    this.#point = new PointRead(); // this one is in use until the disk has answered
    step.then(
      () => sink.succeed(result(point.lookup)),
      (error: unknown) => sink.fail(error),
    );
  }

  #readOne<T>(key: Bytes, sequence: number, result: ReadResult<T>): Promise<T> {
    return new Promise((succeed, fail) => this.#read(key, sequence, result, { succeed, fail }));
  }
}
