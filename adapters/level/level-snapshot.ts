/** An explicit snapshot of abstract-level: a snapshot of the store that knows whose it is. */
import { AbstractSnapshot } from 'abstract-level';
import type { Snapshot, Store } from 'alluvium';
import { LevelError, translated } from './level-error.ts';

/** What abstract-level gives; its types leave it out. */
export interface SnapshotOwner {
  readonly owner: object;
}

const Base: new (options: SnapshotOwner) => AbstractSnapshot = AbstractSnapshot;

export class LevelSnapshot extends Base {
  readonly #store: Store;
  readonly #snapshot: Snapshot;

  /** @internal */
  constructor(store: Store, options: SnapshotOwner) {
    const snapshot = translated(() => store.snapshot());
    super(options);
    this.#store = store;
    this.#snapshot = snapshot;
  }

  /** The store's snapshot that `given` stands for. @internal */
  static snapshotOf(given: AbstractSnapshot, store: Store): Snapshot {
    if (given instanceof LevelSnapshot && given.#store === store) return given.#snapshot;
    throw new LevelError(
      'LEVEL_INVALID_SNAPSHOT',
      'The snapshot is not one of this database. Make one with snapshot().',
    );
  }

  /** @internal */
  _close(): Promise<void> {
    this.#snapshot.close();
    return Promise.resolve();
  }
}
