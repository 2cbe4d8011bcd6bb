/** What a store should make of writes with checks and idempotency keys, one after the other. */
import type { WriteOperation } from '../../src/index.ts';

export interface ModelWrite {
  readonly operations: readonly WriteOperation[];
  readonly idempotencyKey: string | undefined;
  readonly windowMs: number;
}

/** A commit's sequence number, or why there is none. */
export type ModelOutcome =
  | number
  | { readonly key: string; readonly expected: number | 'absent'; readonly actual: number | 'absent' }
  | 'other batch';

interface ModelRecord {
  readonly content: string;
  readonly sequence: number;
  readonly expiresAtMs: number;
}

/** Keys are strings here. */
const nameOf = ({ key }: WriteOperation): string => (typeof key === 'string' ? key : Buffer.from(key).toString());

/** Checks are made before anything is written, wherever they stand in a batch. */
function contentOf(operations: readonly WriteOperation[]): string {
  const checks = operations.filter(({ type }) => type === 'check');
  return JSON.stringify([operations.filter(({ type }) => type !== 'check'), checks]);
}

export class ConditionalModel {
  sequence = 0;
  /** The sequence number and the value of each key that has one. */
  readonly values: Map<string, { readonly sequence: number; readonly value: string }> = new Map();
  readonly #records = new Map<string, ModelRecord>();
  /** Of the group: what became of the first use of a key. */
  readonly #uses = new Map<string, { readonly content: string; readonly outcome: ModelOutcome }>();

  beginGroup(): void {
    this.#uses.clear();
  }

  write({ operations, idempotencyKey, windowMs }: ModelWrite, nowMs: number): ModelOutcome {
    if (idempotencyKey === undefined) return this.#judge(operations);
    const content = contentOf(operations);
    const use = this.#uses.get(idempotencyKey);
    if (use?.content === content) return use.outcome;
    if (typeof use?.outcome === 'number') return 'other batch';
    const record = this.#records.get(idempotencyKey);
    if (record !== undefined && record.expiresAtMs > nowMs) {
      return record.content === content ? record.sequence : 'other batch';
    }
    const outcome = this.#judge(operations);
    this.#uses.set(idempotencyKey, { content, outcome });
    if (typeof outcome !== 'number') return outcome;
    this.#records.set(idempotencyKey, { content, sequence: outcome, expiresAtMs: nowMs + windowMs });
    this.sequence += 2; // the record, and the line that says when it may go
    return outcome;
  }

  #judge(operations: readonly WriteOperation[]): ModelOutcome {
    for (const operation of operations) {
      if (operation.type !== 'check') continue;
      const key = nameOf(operation);
      const actual = this.values.get(key)?.sequence ?? 'absent';
      if (actual !== operation.sequence) return { key, expected: operation.sequence, actual };
    }
    for (const operation of operations) {
      if (operation.type === 'check') continue;
      this.sequence += 1;
      if (operation.type === 'delete') this.values.delete(nameOf(operation));
      else
        this.values.set(nameOf(operation), { sequence: this.sequence, value: Buffer.from(operation.value).toString() });
    }
    return this.sequence;
  }
}
