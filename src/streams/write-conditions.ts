/**
 * Whether the conditions of a group's writes hold: its checks, and its idempotency keys.
 *
 * What the tree holds is looked up before the group, once per key. Then the writes are judged one after the other, in the
 * one order of all writes, while they get their sequence numbers; what each of them writes counts for those behind it:
 *
 *   look up          k is at 7
 *   check k = 7      holds   ──> set k, and k is at 12 from here on
 *   check k = 7      fails: ConflictError, k is at 12
 *   set k            no condition, and k is at 13
 *
 * A verdict that rests on a write of the same group is good only if the group gets into the log: so no answer is given
 * before, and if it does not, such a write fails with the group.
 */
import * as E from 'fp-ts/lib/Either.js';
import { ConflictError, InvalidArgumentError, SchemaError } from '../errors.ts';
import type { Bytes, Durability } from '../model.ts';
import { byteLength } from '../storage/codec/write-batch.ts';
import type { Step } from '../storage/read/internal-iterator.ts';
import { RESERVED_PREFIX } from '../storage/reserved.ts';
import type { Tree } from '../storage/tree.ts';
import { type Clock, yieldTurn } from './clock.ts';
import {
  BOOKKEEPING_LINES,
  decodeRecord,
  digestOf,
  type IdempotencyLines,
  type IdempotencyRecord,
  timeOf,
} from './idempotency.ts';
import { toBytes } from './key-buffer.ts';
import { PresentKey } from './present-key.ts';
import type { Write } from './write.ts';

/** Look-ups that wait for the disk at the same time. */
const LOOKUPS_AT_ONCE = 64;
/** Look-ups between two turns of the event loop. */
const LOOKUPS_PER_TURN = 1024;

/** Why a write is not written. */
interface Refusal {
  readonly error: unknown;
  /** Whether it rests on a write of the same group. */
  readonly isProvisional: boolean;
}

/** The first write of the group that used an idempotency key. */
interface FirstUse {
  readonly write: Write;
  readonly digest: number;
}

export interface ConditionParts {
  readonly tree: Tree;
  readonly clock: Clock;
  /** Everything up to here is durable. */
  readonly log: { readonly durableSequence: number };
}

/** Whether a group has to be judged at all. */
export const isConditional = (writes: readonly Write[]): boolean =>
  writes.some(({ conditions }) => conditions !== undefined);

export class GroupConditions {
  readonly #parts: ConditionParts;
  /** Every key that a condition of the group asks about, and a set or delete before it may have changed. */
  readonly #present = new Map<string, PresentKey>();
  /** The keys of these that a write of the group has changed. */
  readonly #changed = new Set<PresentKey>();
  readonly #firstUses = new Map<string, FirstUse>();
  readonly #refusals = new Map<Write, Refusal>();
  /** Writes whose answer an earlier write has left, durably. */
  readonly #durable = new Set<Write>();
  #nowMs: number | undefined;
  /** Whether a write that commits nothing rests on something that must be durable before its answer. */
  isSyncWanted = false;
  /** Whether a write of the group leaves an answer behind. */
  hasStoredAnswer = false;

  constructor(writes: readonly Write[], parts: ConditionParts) {
    this.#parts = parts;
    for (const { conditions } of writes) {
      if (conditions === undefined) continue;
      if (conditions.idempotency !== undefined) this.#ask(conditions.idempotency.key, true);
      for (const { key } of conditions.checks) this.#ask(key, false);
    }
  }

  #ask(key: Bytes, isValueWanted: boolean): void {
    const id = keyIdOf(key);
    const present = this.#present.get(id);
    if (present === undefined || (isValueWanted && !present.isValueWanted)) {
      this.#present.set(id, new PresentKey(toBytes(key), isValueWanted));
    }
  }

  /** Looks up everything, as it is before the group. Synchronous while memory can answer; failures are the writes' own. */
  lookUp(): Step {
    const keys = [...this.#present.values()];
    const { tree } = this.#parts;
    for (let index = 0; index < keys.length; index += 1) {
      if (index === LOOKUPS_PER_TURN) return this.#lookUpRest(keys, index, undefined);
      const step = (keys[index] as PresentKey).find(tree);
      if (step !== undefined) return this.#lookUpRest(keys, index + 1, step);
    }
    return undefined;
  }

  async #lookUpRest(keys: readonly PresentKey[], from: number, first: Step): Promise<void> {
    const { tree, clock } = this.#parts;
    let next = from;
    let turn: Promise<void> | undefined; // one for all of them: while one waits, none goes on
    const work = async (wait: Step): Promise<void> => {
      await wait;
      for (let index = next++; index < keys.length; index = next++) {
        if (index % LOOKUPS_PER_TURN === 0) {
          turn = yieldTurn(clock).then(() => {
            turn = undefined;
          });
        }
        if (turn !== undefined) await turn;
        await (keys[index] as PresentKey).find(tree);
      }
    };
    const workers = Math.min(LOOKUPS_AT_ONCE, keys.length - from);
    await Promise.all([work(first), ...Array.from({ length: workers - 1 }, () => work(undefined))]);
  }

  /**
   * Whether the write is to be written. If not, it has its verdict: a refusal, or an answer without a write of its own.
   *
   * @param lastSequence - of everything before it
   */
  admits(write: Write, lastSequence: number): boolean {
    const { conditions } = write;
    if (conditions === undefined) return true;
    const lines = conditions.idempotency;
    const digest = lines === undefined ? 0 : digestOf(userOperations(write), conditions.checks);
    if (lines !== undefined && this.#isAnswered(write, lines, digest)) return false;
    if (lines !== undefined) this.#firstUses.set(lines.key, { write, digest });
    const refusal = this.#refusalByCheck(write);
    if (refusal !== undefined) {
      this.#refusals.set(write, refusal);
      return false;
    }
    if (write.operations.length === 0) {
      write.sequence = lastSequence;
      if (write.durability === 'synced') this.isSyncWanted = true;
      return false;
    }
    lines?.fill(lastSequence + write.operations.length - BOOKKEEPING_LINES, this.#now(), digest);
    return true;
  }

  /** The write is encoded: from here on what it writes counts. */
  written(write: Write, firstSequence: number): void {
    const { operations, conditions } = write;
    operations.forEach(({ type, key }, index) => {
      const present = this.#present.get(keyIdOf(key));
      if (present === undefined) return;
      present.sequence = type === 'set' ? firstSequence + index : 'absent';
      present.value = undefined; // of a record, `#firstUses` knows more
      present.failure = undefined;
      this.#changed.add(present);
    });
    if (conditions?.idempotency === undefined) return;
    write.sequence -= BOOKKEEPING_LINES;
    this.hasStoredAnswer = true;
  }

  /** The write could not be encoded. */
  refuse(write: Write, error: unknown): void {
    this.#refusals.set(write, { error, isProvisional: false });
  }

  /** The group is in the log: gives a write its answer. */
  answer(write: Write, durability: Durability): void {
    const refusal = this.#refusals.get(write);
    if (refusal !== undefined) write.fail(refusal.error);
    else write.acknowledge(this.#durable.has(write) ? 'synced' : durability);
  }

  /** The group is not in the log: gives a write the failure, unless it has an outcome that does not rest on the group. */
  fail(write: Write, error: unknown): void {
    const refusal = this.#refusals.get(write);
    if (this.#durable.has(write)) write.acknowledge('synced');
    else write.fail(refusal === undefined || refusal.isProvisional ? error : refusal.error);
  }

  #now(): number {
    this.#nowMs ??= timeOf(this.#parts.clock.date());
    return this.#nowMs;
  }

  #refusalByCheck({ checks }: Write): Refusal | undefined {
    for (const { key, sequence: expected } of checks) {
      const present = this.#present.get(keyIdOf(key));
      if (present === undefined) throw new Error('a key of a check was not looked up'); // a bug of ours
      const isProvisional = this.#changed.has(present);
      if (present.failure !== undefined) return { error: present.failure, isProvisional };
      if (present.sequence === expected) continue;
      return { error: new ConflictError(Uint8Array.from(present.key), expected, present.sequence), isProvisional };
    }
    return undefined;
  }

  /** Whether an earlier write with the key decides what becomes of this one. */
  #isAnswered(write: Write, lines: IdempotencyLines, digest: number): boolean {
    const first = this.#firstUses.get(lines.key);
    if (first !== undefined) {
      const refusal = this.#refusals.get(first.write);
      if (first.digest === digest) {
        if (refusal === undefined) this.#answerLike(write, first.write.sequence, Infinity);
        else this.#refusals.set(write, refusal);
        return true;
      }
      // A first use that was refused has left nothing behind, so the key is free for another batch.
      if (refusal === undefined) {
        this.#refusals.set(write, { error: usedForAnotherBatch(lines.key), isProvisional: true });
        return true;
      }
    }
    return this.#isAnsweredByRecord(write, lines, digest);
  }

  #isAnsweredByRecord(write: Write, lines: IdempotencyLines, digest: number): boolean {
    const present = this.#present.get(keyIdOf(lines.key));
    if (present?.failure !== undefined) {
      this.#refusals.set(write, { error: present.failure, isProvisional: false });
      return true;
    }
    if (present?.value === undefined) return false;
    const record = decodeRecord(present.value);
    if (E.isLeft(record)) {
      const issues = [{ message: record.left, path: [] }];
      const error = new SchemaError(RESERVED_PREFIX, 'the record', Uint8Array.from(present.key), issues);
      this.#refusals.set(write, { error, isProvisional: false });
      return true;
    }
    const { sequence, expiresAtMs, digest: recorded }: IdempotencyRecord = record.right;
    if (expiresAtMs <= this.#now()) return false;
    if (recorded === digest) this.#answerLike(write, sequence, present.sequence as number);
    else this.#refusals.set(write, { error: usedForAnotherBatch(lines.key), isProvisional: false });
    return true;
  }

  /** @param durableFrom - the sequence number up to which all must be durable for the answer to be so */
  #answerLike(write: Write, sequence: number, durableFrom: number): void {
    write.sequence = sequence;
    if (durableFrom <= this.#parts.log.durableSequence) this.#durable.add(write);
    else if (write.durability === 'synced') this.isSyncWanted = true;
  }
}

const userOperations = ({ operations }: Write): Write['operations'] => operations.slice(0, -BOOKKEEPING_LINES);

/** One string per key: of bytes, and of a string with the same UTF-8, the same. */
function keyIdOf(key: Bytes): string {
  if (typeof key !== 'string') return Buffer.from(key).toString('latin1'); // a copy: a transferred key must not throw
  // As many bytes as characters: all of them are ASCII, where Latin-1 is the same.
  return byteLength(key) === key.length ? key : Buffer.from(key).toString('latin1');
}

const usedForAnotherBatch = (key: string): InvalidArgumentError =>
  new InvalidArgumentError('idempotencyKey', 'used for one batch and its repetitions', key, 'for another batch');
