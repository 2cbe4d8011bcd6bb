/** Commands for a store, as data: the same list is run on a store and on the model, and both tell what they saw. */
import fc from 'fast-check';
import { lastValueFrom, toArray } from 'rxjs';
import {
  type Change,
  type Entry,
  type FileSystem,
  MemoryFileSystem,
  open,
  type OpenOptions,
  type ScanOptions,
  type Snapshot,
  type Store,
  type WriteOperation,
} from '../../src/index.ts';
import { BURNT_SEQUENCES } from '../../src/storage/history/recover-history.ts';
import { bytesOf, type ModelChange, scanned, SortedModel, type TextEntry, textOf } from './sorted-model.ts';

type ScanCommand = ScanOptions & { readonly way: 'pull' | 'push' | 'pages' };
export type StoreCommand =
  | { readonly do: 'set'; readonly key: string; readonly value: string }
  | { readonly do: 'delete'; readonly key: string }
  | { readonly do: 'batch'; readonly operations: readonly WriteOperation[] }
  | { readonly do: 'get' | 'has'; readonly key: string }
  | { readonly do: 'getMany'; readonly keys: readonly string[] }
  | { readonly do: 'scan'; readonly scan: ScanCommand; readonly snapshot: number | undefined }
  | {
      readonly do: 'snapshot' | 'snapshotClose' | 'snapshotGetMany';
      readonly slot: number;
      readonly keys: readonly string[];
    }
  | { readonly do: 'compact'; readonly start: string | undefined; readonly end: string | undefined }
  | { readonly do: 'flush' | 'reopen' | 'kill' };

/** Few keys, with prefixes in common, the empty one among them. */
const key: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 4 }) },
  { weight: 2, arbitrary: fc.constantFrom('', '\0', 'a\0', 'a\0\0', '\xff', '\xff\xff', 'a\xff') },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 3 }).map((length) => 'a'.repeat(length * 90) + 'b') },
);
const value: fc.Arbitrary<string> = fc.oneof(
  { weight: 6, arbitrary: fc.string({ unit: fc.constantFrom('x', 'y', '\0'), maxLength: 20 }) },
  { weight: 1, arbitrary: fc.integer({ min: 100, max: 3000 }).map((length) => 'v'.repeat(length)) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.integer({ min: 100, max: 2000 }), fc.integer({ min: 1, max: 255 }))
      .map(([length, step]) =>
        String.fromCharCode(...Array.from({ length }, (_, index) => (index * index * step) & 255)),
      ),
  },
);
const operation: fc.Arbitrary<WriteOperation> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.tuple(key, value).map(([k, v]) => ({ type: 'set', key: bytesOf(k), value: bytesOf(v) }) as const),
  },
  { weight: 1, arbitrary: key.map((k) => ({ type: 'delete', key: bytesOf(k) }) as const) },
);
/** So many deletes that a table of them is worth compacting for them alone, and the keys that they delete. */
const manyOperations: fc.Arbitrary<WriteOperation[]> = fc
  .record({ from: fc.integer({ min: 0, max: 30 }), count: fc.integer({ min: 32, max: 45 }), isDelete: fc.boolean() })
  .map(({ from, count, isDelete }) =>
    Array.from({ length: count }, (_, index): WriteOperation => {
      const name = bytesOf(`m${100 + from + index}`);
      return isDelete ? { type: 'delete', key: name } : { type: 'set', key: name, value: bytesOf(String(from)) };
    }),
  );
const bound = fc.option(key.map(bytesOf), { nil: undefined, freq: 2 });
const parts = fc.constantFrom({}, {}, {}, { keys: false }, { values: false });
const scan: fc.Arbitrary<ScanCommand> = fc
  .record({
    gt: bound,
    gte: bound,
    lt: bound,
    lte: bound,
    reverse: fc.boolean(),
    limit: fc.option(fc.integer({ min: 0, max: 6 }), { nil: undefined, freq: 2 }),
    way: fc.constantFrom('pull', 'push', 'pages'),
    parts,
  })
  .map(({ parts: chosen, ...rest }) => ({ ...rest, ...chosen }));
const slot = fc.integer({ min: 0, max: 2 });

const command: fc.Arbitrary<StoreCommand> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('batch'), operations: manyOperations }) },
  { weight: 30, arbitrary: fc.record({ do: fc.constant('set'), key, value }) },
  { weight: 12, arbitrary: fc.record({ do: fc.constant('delete'), key }) },
  {
    weight: 10,
    arbitrary: fc.record({ do: fc.constant('batch'), operations: fc.array(operation, { maxLength: 12 }) }),
  },
  { weight: 10, arbitrary: fc.record({ do: fc.constantFrom('get', 'has'), key }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('getMany'), keys: fc.array(key, { maxLength: 8 }) }) },
  {
    weight: 12,
    arbitrary: fc.record({ do: fc.constant('scan'), scan, snapshot: fc.option(slot, { nil: undefined }) }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      do: fc.constantFrom('snapshot', 'snapshotClose', 'snapshotGetMany'),
      slot,
      keys: fc.array(key, { maxLength: 4 }),
    }),
  },
  { weight: 7, arbitrary: fc.record({ do: fc.constant('flush') }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('compact'),
      start: fc.option(key, { nil: undefined }),
      end: fc.option(key, { nil: undefined }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('reopen', 'kill') }) },
);
export const commands = (maxLength: number): fc.Arbitrary<StoreCommand[]> =>
  fc.array(command, { maxLength, size: 'max' });

/** What one command gave, in a form that can be compared. */
export type Seen = unknown;

/** The history of the list on the model. The committed changes, from one opening to the next, are its last line. */
export function modelHistory(list: readonly StoreCommand[]): Seen[] {
  const model = new SortedModel();
  const snapshots = new Map<number, readonly TextEntry[]>();
  const history: Seen[] = [];
  const valueOf = (entries: readonly TextEntry[], wanted: string): string | undefined =>
    entries.find(([one]) => one === wanted)?.[1];
  for (const one of list) history.push(step(one));
  history.push(model.entries(), model.changes);
  return history;

  function step(one: StoreCommand): Seen {
    switch (one.do) {
      case 'set':
      case 'delete':
      case 'batch':
        model.write(operationsOf(one));
        return model.sequence;
      case 'get':
        return model.values.get(one.key);
      case 'has':
        return model.values.has(one.key);
      case 'getMany':
        return one.keys.map((wanted) => model.values.get(wanted));
      case 'scan': {
        const entries = one.snapshot === undefined ? undefined : snapshots.get(one.snapshot);
        return scanned(entries ?? model.entries(), one.scan);
      }
      case 'snapshot':
        snapshots.set(one.slot, model.entries());
        return undefined;
      case 'snapshotClose':
        snapshots.delete(one.slot);
        return undefined;
      case 'snapshotGetMany': {
        const entries = snapshots.get(one.slot);
        return entries === undefined ? undefined : one.keys.map((wanted) => valueOf(entries, wanted));
      }
      case 'reopen':
      case 'kill':
        if (one.do === 'kill') model.sequence += BURNT_SEQUENCES; // none of them is ever given out
        snapshots.clear();
        return model.entries();
      default:
        return undefined;
    }
  }
}

function operationsOf(one: StoreCommand & { do: 'set' | 'delete' | 'batch' }): readonly WriteOperation[] {
  if (one.do === 'batch') return one.operations;
  if (one.do === 'delete') return [{ type: 'delete', key: bytesOf(one.key) }];
  return [{ type: 'set', key: bytesOf(one.key), value: bytesOf(one.value) }];
}

/** A change as the model has it. */
export const modelChangeOf = (change: Change): ModelChange => {
  const { type, key: changed, sequence, batchIndex, batchSize } = change;
  const text = change.type === 'set' ? textOf(change.value) : undefined;
  return { type, key: textOf(changed), value: text, sequence, batchIndex, batchSize };
};

const textOfOptional = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : textOf(bytes);
const entryText = (entry: Entry | Uint8Array): TextEntry | string =>
  entry instanceof Uint8Array ? textOf(entry) : [textOf(entry.key), textOf(entry.value)];

/** Runs a scan the way it asks for. */
export async function scanStore(
  source: Store | Snapshot,
  { way, ...options }: ScanCommand,
): Promise<(TextEntry | string)[]> {
  const stream = source.scan(options);
  const found: (TextEntry | string)[] = [];
  if (way === 'push') return (await lastValueFrom(stream.pipe(toArray()))).map(entryText);
  if (way === 'pages') for await (const page of stream.pages()) found.push(...page.map(entryText));
  else for await (const entry of stream) found.push(entryText(entry));
  return found;
}

/** Collects all changes of a store until it closes. */
export async function collectChanges(store: Store, into: ModelChange[]): Promise<void> {
  for await (const change of store.changes()) into.push(modelChangeOf(change));
}

const DIRECTORY = '/data';

/** A store, and everything a list of commands needs beside it. */
class Run {
  readonly #options: OpenOptions;
  readonly #directory: string;
  readonly #changes: ModelChange[] = [];
  readonly #snapshots = new Map<number, Snapshot>();
  #fileSystem: FileSystem;
  #store: Store | undefined;
  #collecting: Promise<void> = Promise.resolve();

  constructor(options: OpenOptions, { directory, fileSystem }: Place) {
    this.#options = options;
    this.#directory = directory;
    this.#fileSystem = fileSystem;
  }

  async history(list: readonly StoreCommand[]): Promise<Seen[]> {
    const history: Seen[] = [];
    await this.#open();
    for (const one of list) history.push(await this.#step(one));
    const entries = await scanStore(await this.#reopened(), { way: 'pull' });
    await this.#close();
    history.push(entries, this.#changes);
    return history;
  }

  get #opened(): Store {
    if (this.#store === undefined) throw new Error('the store is not open');
    return this.#store;
  }

  async #open(): Promise<void> {
    const store = await open(this.#directory, { ...this.#options, fileSystem: this.#fileSystem });
    this.#store = store;
    this.#collecting = collectChanges(store, this.#changes);
  }

  async #close(): Promise<void> {
    await this.#opened.close();
    await this.#collecting;
    this.#snapshots.clear();
  }

  async #reopened(): Promise<Store> {
    await this.#close();
    await this.#open();
    return this.#opened;
  }

  /** What a killed process leaves behind. */
  async #kill(): Promise<void> {
    if (!(this.#fileSystem instanceof MemoryFileSystem)) throw new Error('only a memory file system has images');
    const image = this.#fileSystem.crashImage('all', () => 0.5);
    await this.#close();
    this.#fileSystem = image;
    await this.#open();
  }

  async #step(one: StoreCommand): Promise<Seen> {
    const store = this.#opened;
    switch (one.do) {
      case 'set':
        return (await store.set(bytesOf(one.key), bytesOf(one.value))).sequence;
      case 'delete':
        return (await store.delete(bytesOf(one.key))).sequence;
      case 'batch':
        return (await store.write(one.operations)).sequence;
      case 'get':
        return textOfOptional(await store.get(bytesOf(one.key)));
      case 'has':
        return store.has(bytesOf(one.key));
      case 'getMany':
        return (await store.getMany(one.keys.map(bytesOf))).map(textOfOptional);
      case 'scan': {
        const snapshot = one.snapshot === undefined ? undefined : this.#snapshots.get(one.snapshot);
        return scanStore(snapshot ?? store, one.scan);
      }
      case 'snapshot':
        this.#snapshots.get(one.slot)?.close();
        this.#snapshots.set(one.slot, store.snapshot());
        return undefined;
      case 'snapshotClose':
        this.#snapshots.get(one.slot)?.close();
        this.#snapshots.delete(one.slot);
        return undefined;
      case 'snapshotGetMany':
        return (await this.#snapshots.get(one.slot)?.getMany(one.keys.map(bytesOf)))?.map(textOfOptional);
      case 'flush':
        return store.flush();
      case 'compact':
        return store.compact({
          start: one.start === undefined ? undefined : bytesOf(one.start),
          end: one.end === undefined ? undefined : bytesOf(one.end),
        });
      case 'reopen':
        return scanStore(await this.#reopened(), { way: 'pages' });
      case 'kill':
        await this.#kill();
        return scanStore(this.#opened, { way: 'push' });
    }
  }
}

/** Where a store is. */
export interface Place {
  readonly directory: string;
  readonly fileSystem: FileSystem;
}

/** The history of the list on a store with these options, on a file system of its own if no other is given. */
export const storeHistory = (
  list: readonly StoreCommand[],
  options: OpenOptions,
  place: Place = { directory: DIRECTORY, fileSystem: new MemoryFileSystem() },
): Promise<Seen[]> => new Run(options, place).history(list);
