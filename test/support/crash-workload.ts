/**
 * A workload that walks every path to the disk with few calls, and what it looked like at each of them.
 *
 * It is run once; the crash images are taken before each of its file calls, by the hook of the memory file system.
 */
import type { FileOperation, FileOperationHook } from '../../src/storage/file-system/memory-faults.ts';
import { type FileSystem, MemoryFileSystem, open, type OpenOptions, type Store } from '../../src/index.ts';
import { CrashConsumers, type ConsumersDemand } from './crash-consumers.ts';
import { DelayedFileSystem } from './delayed-file-system.ts';
import { scanStore } from './store-commands.ts';
import { randomOf } from './runs.ts';
import type { TextEntry } from './sorted-model.ts';
import { type Demand, TrackedWrites, type WriteState } from './tracked-writes.ts';

export const DIRECTORY = '/db';
/** What a power cut may bring back of files that were removed: the newest thirty or so. */
const REMOVED_BYTES_KEPT_MAX = 65_536;

/**
 * - `'kv'`: writes, flushes, compactions, and the store closed and opened now and then.
 * - `'consumers'`: two durable consumers besides, and history that is kept only for them.
 * - `'retention'`: history that goes as soon as it may.
 * - `'backup'`: backups, while everything goes on.
 */
export type WorkloadKind = 'kv' | 'consumers' | 'retention' | 'backup';
export const WORKLOAD_KINDS: readonly WorkloadKind[] = ['kv', 'consumers', 'retention', 'backup'];

/** Options under which 30 writes flush, compact, and rotate logs and manifests; from the seed. */
export function workloadOptions(random: () => number): OpenOptions {
  const pick = <T>(choices: readonly T[]): T => choices[Math.floor(random() * choices.length)] as T;
  return {
    memtableBytesMax: pick([1024, 2048, 4096]),
    waitingMemtablesMax: pick([1, 2]),
    level0CompactionTrigger: pick([1, 2, 4]),
    level1BytesMax: pick([1024, 8192]),
    tableBytesMax: pick([1024, 4096]),
    blockBytesMax: pick([1, 256, 4096]),
    manifestBytesMax: pick([1024, 4096]),
    groupBytesMax: pick([1, 500, 100_000]),
    syncIntervalMs: pick([1, 60_000]),
    compression: pick(['none', 'snappy'] as const),
    durability: pick(['synced', 'buffered'] as const),
  };
}

/** A backup that was begun. */
export interface BegunBackup {
  readonly path: string;
  /** Of the writes at the call: what was acknowledged by then is in it. */
  readonly states: readonly WriteState[];
  readonly isDone: boolean;
}

/** What a crash of a workload must have left. */
export interface WorkloadDemand extends Demand {
  readonly consumers: ConsumersDemand;
  readonly backups: readonly BegunBackup[];
}

export class Workload {
  readonly kind: WorkloadKind;
  readonly options: OpenOptions;
  readonly tracked: TrackedWrites;
  readonly consumers: CrashConsumers;
  readonly fileSystem: MemoryFileSystem;
  readonly #slowFileSystem: FileSystem;
  readonly #random: () => number;
  #backups: readonly BegunBackup[] = [];
  store: Store | undefined;

  constructor(seed: number, onOperation: FileOperationHook, kind: WorkloadKind = 'kv') {
    this.kind = kind;
    this.#random = randomOf(seed);
    const options = workloadOptions(this.#random);
    const isHistoryShort = kind === 'consumers' || kind === 'retention';
    this.options = isHistoryShort ? { ...options, historyBytesMax: 0 } : options;
    this.tracked = new TrackedWrites(this.#random);
    this.consumers = new CrashConsumers(seed + 2);
    this.fileSystem = new MemoryFileSystem({ onOperation, removedBytesKeptMax: REMOVED_BYTES_KEPT_MAX });
    // A call takes effect some turns after it was made, as on a disk: else an answer that comes too early would not show.
    const turns = randomOf(seed + 1);
    this.#slowFileSystem = new DelayedFileSystem(this.fileSystem, async () => {
      for (let left = Math.floor(turns() * 4); left > 0; left -= 1) await new Promise(setImmediate);
    });
  }

  /** What a crash at this moment must leave. */
  demand(): WorkloadDemand {
    return {
      states: this.tracked.states(),
      isKill: true,
      durableSequence: this.store?.stats().durableSequence ?? 0,
      consumers: this.consumers.demand(),
      backups: this.#backups,
    };
  }

  async open(): Promise<Store> {
    this.store = await open(DIRECTORY, { ...this.options, fileSystem: this.#slowFileSystem });
    if (this.kind === 'consumers') this.consumers.start(this.store);
    return this.store;
  }

  async close(): Promise<void> {
    const store = this.store;
    const issued = this.tracked.writes.length;
    this.store = undefined; // its figures are those of the next one from here on
    await store?.close();
    this.tracked.madeDurable(issued);
    this.consumers.closed();
  }

  /** Opens, writes, flushes, compacts, reopens, closes. Nothing in it may fail. */
  async run(steps: number): Promise<void> {
    let store = await this.open();
    const unanswered: Promise<unknown>[] = [];
    for (let step = 0; step < steps; step += 1) {
      const choice = this.#random();
      if (choice < 0.7) {
        const burst = 1 + Math.floor(this.#random() * 4);
        for (let count = 0; count < burst; count += 1) {
          unanswered.push(this.tracked.issue(store, this.#random() < 0.5 ? 'synced' : 'buffered'));
        }
        if (this.#random() < 0.6) await Promise.all(unanswered.splice(0));
      } else if (choice < 0.8) {
        await Promise.all(unanswered.splice(0));
        const issued = this.tracked.writes.length;
        await store.flush();
        this.tracked.madeDurable(issued);
      } else if (choice < 0.9) {
        if (this.kind === 'backup') await this.#backUp(store);
        else await store.compact();
      } else if (choice < 0.95) {
        const [entry] = await scanStore(store, { way: 'pull', limit: 1 });
        if (entry !== undefined) store.snapshot(); // never closed: it must not keep anything from being recovered
      } else {
        await Promise.all(unanswered.splice(0));
        await this.close();
        store = await this.open();
      }
    }
    await Promise.all(unanswered);
    await this.close();
    if (this.consumers.failures.length > 0) throw new Error(`a consumer: ${this.consumers.failures.join('; ')}`);
  }

  async #backUp(store: Store): Promise<void> {
    const begun = { path: `/copies/${this.#backups.length}`, states: this.tracked.states(), isDone: false };
    const before = this.#backups;
    this.#backups = [...before, begun];
    await store.backup(begun.path);
    this.#backups = [...before, { ...begun, isDone: true }];
  }
}

/** All entries of a store. */
export const contentOf = async (store: Store): Promise<readonly TextEntry[]> =>
  (await scanStore(store, { way: 'pages' })) as TextEntry[];

export const nameOf = ({ index, name, path }: FileOperation): string => `before call ${index} (${name} ${path})`;
