/** A snapshot that another process keeps. It goes with that process; then every read says so. */
import { type Bytes, ClosedError, type Entry, type ScanOptions, type Store, type VersionedValue } from 'alluvium';
import { NotAttachableError } from './attach-error.ts';
import type { OperationFace, ScanPart, SnapshotFace, StreamFace } from './face.ts';
import { anchor } from './anchor.ts';
import type { Link } from './link.ts';
import { operation, type Pages, stream } from './operation.ts';
import type { Request } from './protocol.ts';
import { abortable, RemoteScan } from './remote-pages.ts';

export class AttachedSnapshot implements SnapshotFace {
  readonly #link: Link;
  readonly #checker: Store;
  readonly #id: number;
  readonly #anchor = anchor('snapshot');
  #failure: unknown;
  #isClosed = false;

  constructor(link: Link, checker: Store) {
    this.#link = link;
    this.#checker = checker;
    this.#id = link.nextId();
    // It is asked for now: what this process writes from here on, the snapshot does not see.
    link.ask(
      { op: 'snapshotOpen', snapshot: this.#id },
      { succeed: () => undefined, fail: (error) => (this.#failure = error) },
      { holdAt: this.#anchor },
    );
  }

  get(key: Bytes): OperationFace<Uint8Array | undefined> {
    void this.#checker.get(key);
    return this.#ask({ op: 'get', key: pinned(key), snapshot: this.#id });
  }

  getSync(): never {
    throw new NotAttachableError('getSync');
  }

  entry(key: Bytes): OperationFace<VersionedValue | undefined> {
    void this.#checker.entry(key);
    return this.#ask({ op: 'entry', key: pinned(key), snapshot: this.#id });
  }

  getMany(keys: readonly Bytes[]): OperationFace<(Uint8Array | undefined)[]> {
    void this.#checker.getMany(keys);
    return this.#ask({ op: 'getMany', keys: keys.map(pinned), snapshot: this.#id });
  }

  has(key: Bytes): OperationFace<boolean> {
    void this.#checker.has(key);
    return this.#ask({ op: 'has', key: pinned(key), snapshot: this.#id });
  }

  scan(start?: Bytes, end?: Bytes): StreamFace<Entry>;
  scan(options: ScanPart): StreamFace<Uint8Array>;
  scan(options: ScanOptions): StreamFace<Entry>;
  scan(startOrOptions?: Bytes | ScanOptions, end?: Bytes): StreamFace<Entry> | StreamFace<Uint8Array> {
    const options = checkedScan(this.#checker, startOrOptions, end);
    return stream<never>(() => {
      if (this.#isClosed) throw new ClosedError('snapshot');
      const pages: Pages<never> = new RemoteScan<never>(this.#link, options, { id: this.#id, anchor: this.#anchor });
      return abortable(pages, options.signal, 'the scan');
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { generation } = this.#anchor;
    if (this.#link.isClosing || (generation !== undefined && generation !== this.#link.generation)) return;
    const nothing = { succeed: () => undefined, fail: () => undefined };
    this.#link.ask({ op: 'snapshotClose', snapshot: this.#id }, nothing, { holdAt: this.#anchor, isLetIn: true });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #ask<T>(request: Request): OperationFace<T> {
    return operation<T>((sink) => {
      if (this.#isClosed) {
        sink.fail(new ClosedError('snapshot'));
        return undefined;
      }
      const fail = (error: unknown): void => sink.fail(this.#failure ?? error);
      return this.#link.ask(request, { succeed: (value) => sink.succeed(value as T), fail }, { holdAt: this.#anchor });
    });
  }
}

/** @throws as `store.scan` */
export function checkedScan(
  checker: Store,
  startOrOptions: Bytes | ScanOptions | undefined,
  end: Bytes | undefined,
): ScanOptions {
  if (startOrOptions === undefined || typeof startOrOptions === 'string' || startOrOptions instanceof Uint8Array) {
    void checker.scan(startOrOptions, end);
    return { gte: pinned(startOrOptions), lt: pinned(end) };
  }
  void checker.scan(startOrOptions);
  const { gt, gte, lt, lte, reverse, limit, keys, values, signal } = startOrOptions;
  return { gt: pinned(gt), gte: pinned(gte), lt: pinned(lt), lte: pinned(lte), reverse, limit, keys, values, signal };
}

/** A key may have to wait for an owner, and its caller may use the bytes for another one meanwhile. */
export const pinned = <T extends Bytes | undefined>(key: T): T | Uint8Array =>
  key instanceof Uint8Array ? Uint8Array.from(key) : key;
