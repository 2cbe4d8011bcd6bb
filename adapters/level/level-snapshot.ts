/** An explicit snapshot of abstract-level: a snapshot of the store that knows whose it is. */
import { AbstractSnapshot } from 'abstract-level';
import type { SnapshotFace, StoreFace } from '../attach/index.ts';
import { LevelError, translated } from './level-error.ts';

/** What abstract-level gives; its types leave it out. */
export interface SnapshotOwner {
  readonly owner: object;
}

const Base: new (options: SnapshotOwner) => AbstractSnapshot = AbstractSnapshot;

export class LevelSnapshot extends Base {
  readonly #store: StoreFace;
  readonly #snapshot: SnapshotFace;

  /** @internal */
  constructor(store: StoreFace, options: SnapshotOwner) {
    const snapshot = translated(() => store.snapshot());
    super(options);
    this.#store = store;
    this.#snapshot = snapshot;
  }

  /** The store's snapshot that `given` stands for. @internal */
  static snapshotOf(given: AbstractSnapshot, store: StoreFace): SnapshotFace {
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
