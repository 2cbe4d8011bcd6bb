/** The newest entry of one key, looked up: what conditions are compared with. */
import type { PresentSequence } from '../errors.ts';
import { copyOut } from '../storage/read/copy-out.ts';
import type { Step } from '../storage/read/internal-iterator.ts';
import { Lookup } from '../storage/table/lookup.ts';
import type { Tree } from '../storage/tree.ts';

export class PresentKey {
  readonly key: Uint8Array;
  /** Sequence number of the set that gave it its value. */
  sequence: PresentSequence = 'absent';
  /** Whether the value is wanted, and the value, if there is one. */
  readonly isValueWanted: boolean;
  value: Uint8Array | undefined;
  /** Why it is not known. */
  failure: unknown;

  /** @param key - must not change while it is looked up */
  constructor(key: Uint8Array, isValueWanted: boolean) {
    this.key = key;
    this.isValueWanted = isValueWanted;
  }

  /** Asks the tree, as of what is visible now; synchronous while memory can answer. A failure is kept, and not thrown. */
  find(tree: Tree): Step {
    const lookup = new Lookup();
    lookup.reset(this.key, 0, this.key.length, tree.visibleSequence);
    let step: Step;
    try {
      step = tree.find(lookup);
    } catch (error) {
      this.failure = error;
      return undefined;
    }
    if (step === undefined) {
      this.#take(lookup);
      return undefined;
    }
    return step.then(
      () => this.#take(lookup),
      (error: unknown) => {
        this.failure = error;
      },
    );
  }

  #take(lookup: Lookup): void {
    if (lookup.state !== 'found') return;
    this.sequence = lookup.foundSequence;
    if (this.isValueWanted) this.value = copyOut(lookup.valueBytes, lookup.valueStart, lookup.valueEnd);
  }
}
