/** What a store with a consumer should hold and deliver, one command after the other. */
import type { WriteOperation } from '../../src/index.ts';
import { type ModelChange, SortedModel, textOf } from './sorted-model.ts';

/** A change as it is told apart without its number: sequence numbers also count lines of our own. */
export type ChangeText = string;
export const changeText = ({ type, key, value, batchIndex, batchSize }: ModelChange): ChangeText =>
  JSON.stringify([type, key, value, batchIndex, batchSize]);

interface Event {
  readonly place: number;
  readonly key: string;
}

export class WholeStoreModel extends SortedModel {
  /** By idempotency key: what was written under it. */
  readonly answered: Map<string, string> = new Map();
  /** Places in `changes` that the consumer has not settled; `undefined`: it was never made. */
  #unsettled: Event[] | undefined;
  readonly parked: Set<number> = new Set();
  isRunning = false;

  /** @returns whether anything was written: the same key with the same content writes once */
  writeOnce(name: string, operations: readonly WriteOperation[]): 'written' | 'repeated' | 'refused' {
    const content = JSON.stringify(
      operations.map((one) => (one.type === 'set' ? [textOf(one.key), textOf(one.value)] : [textOf(one.key)])),
    );
    const before = this.answered.get(name);
    if (before !== undefined) return before === content ? 'repeated' : 'refused';
    this.answered.set(name, content);
    this.write(operations);
    return 'written';
  }

  override write(operations: readonly WriteOperation[]): void {
    const from = this.changes.length;
    super.write(operations);
    this.#unsettled?.push(...this.#eventsFrom(from));
  }

  run(): void {
    this.isRunning = true;
    this.#unsettled ??= this.#eventsFrom(0);
  }

  seek(to: 'start' | 'now'): void {
    if (this.#unsettled !== undefined) this.#unsettled = this.#eventsFrom(to === 'now' ? this.changes.length : 0);
  }

  get isMade(): boolean {
    return this.#unsettled !== undefined;
  }

  /** Places of what is at work: of each key the first that is not settled. */
  inFlight(): number[] {
    if (!this.isRunning) return [];
    const first = new Map<string, number>();
    for (const { place, key } of this.#unsettled ?? []) if (!first.has(key)) first.set(key, place);
    return [...first.values()].sort((a, b) => a - b);
  }

  get lag(): number {
    return this.#unsettled?.length ?? 0;
  }

  settle(place: number, isParked: boolean): void {
    this.#unsettled = this.#unsettled?.filter((event) => event.place !== place);
    if (isParked) this.parked.add(place);
  }

  #eventsFrom(from: number): Event[] {
    return this.changes
      .map(({ key }, place) => ({ place, key }))
      .filter(({ place, key }) => place >= from && key >= CONSUMED.gte && key < CONSUMED.lt);
  }
}

/** The consumer's range; keys beyond it are nobody's. */
export const CONSUMED = { gte: 'a', lt: 'e' } as const;
