/** Which of many things are still held by somebody: weak references, and a collection that can be asked for. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Collects what nobody holds. It needs a turn of the event loop before: a WeakRef keeps its target to the end of one. */
export async function collectGarbage(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
  collect();
}

/** Things that are remembered without being held. */
export class Remembered<T extends object> {
  readonly #things: WeakRef<T>[] = [];

  add(thing: T): void {
    this.#things.push(new WeakRef(thing));
  }

  /** How many of them somebody else still holds. */
  async held(): Promise<number> {
    await collectGarbage();
    return this.#things.reduce((sum, thing) => (thing.deref() === undefined ? sum : sum + 1), 0);
  }
}
