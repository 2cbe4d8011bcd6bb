/**
 * Removes the answers of idempotent writes when their window is over: in pieces, by ordinary batches, with a turn of the
 * event loop between two of them.
 *
 *   once a minute ──> expired lines, in order of time ──> their records ──> one batch: check, delete, delete ──> next piece
 *        ^                                                                                                         │
 *        └──────────────────── while the store holds any ──────────────────────────────────────────────────────────┘
 *
 * A key may be used again at the moment when its old answer is removed. So each piece checks that the records are still
 * those that were looked at; if one is not, the piece is looked at anew.
 */
import * as E from 'fp-ts/lib/Either.js';
import { ConflictError } from '../errors.ts';
import type { Commit, Durability, WriteOperation } from '../model.ts';
import { compareBytes } from '../storage/codec/compare.ts';
import { copyOut } from '../storage/read/copy-out.ts';
import { VisibleIterator } from '../storage/read/visible-iterator.ts';
import { EXPIRY_PREFIX } from '../storage/reserved.ts';
import type { Tree } from '../storage/tree.ts';
import { type Clock, yieldTurn } from './clock.ts';
import { decodeRecord, expiredEnd, recordKeyOf, TIME_MAX, timeOf } from './idempotency.ts';
import { toBytes } from './key-buffer.ts';
import { PresentKey } from './present-key.ts';

const SWEEP_INTERVAL_MS = 60_000;
/** Expiry lines of one batch. */
const PIECE_LINES_MAX = 1000;
/** After so many conflicts of one sweep the rest is left for the next. */
const CONFLICTS_MAX = 10;

export interface SweeperParts {
  readonly tree: Tree;
  readonly clock: Clock;
  /** Writes a batch that may hold reserved keys. */
  readonly commit: (operations: readonly WriteOperation[], durability: Durability) => Promise<Commit>;
}

export class IdempotencySweeper {
  readonly #parts: SweeperParts;
  #cancelTimer: (() => void) | undefined;
  #sweeping: Promise<void> | undefined;
  #isClosed = false;
  /** Whether there may be answers in the store. An open one does not know before it has looked. */
  #hasWork = true;

  constructor(parts: SweeperParts) {
    this.#parts = parts;
    this.#plan();
  }

  /** There is an answer that has to go some day. */
  wake(): void {
    this.#hasWork = true;
    this.#plan();
  }

  /** Nothing is looked for any more. @returns when the piece that is under way has ended */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    await this.#sweeping;
  }

  #plan(): void {
    if (this.#isClosed || this.#cancelTimer !== undefined || this.#sweeping !== undefined) return;
    this.#cancelTimer = this.#parts.clock.setTimer(() => {
      this.#cancelTimer = undefined;
      this.#sweeping = this.#sweep().then(() => {
        this.#sweeping = undefined;
        if (this.#hasWork) this.#plan();
      });
    }, SWEEP_INTERVAL_MS);
  }

  /** Never rejects: what fails now is tried again, and whoever reads or writes meets the same failure. */
  async #sweep(): Promise<void> {
    this.#hasWork = false;
    try {
      await this.#removeExpired();
      if (!this.#isClosed && (await this.#lines(toBytes(EXPIRY_PREFIX), TIME_MAX - 1, 1)).length > 0)
        this.#hasWork = true;
    } catch {
      this.#hasWork = true;
    }
  }

  async #removeExpired(): Promise<void> {
    const { clock, commit } = this.#parts;
    let from = toBytes(EXPIRY_PREFIX);
    for (let conflicts = 0; !this.#isClosed && conflicts < CONFLICTS_MAX;) {
      const nowMs = timeOf(clock.date());
      const lines = await this.#lines(from, nowMs, PIECE_LINES_MAX);
      const last = lines.at(-1);
      if (last === undefined) return;
      try {
        const batch = await this.#removalOf(lines, nowMs);
        if (batch.length > 0) await commit(batch, 'buffered');
        from = behind(last);
      } catch (error) {
        if (!(error instanceof ConflictError)) throw error;
        conflicts += 1;
      }
      await yieldTurn(clock);
    }
  }

  /** The first expiry lines at or after `from` whose time is over at `nowMs`: their keys. */
  async #lines(from: Uint8Array, nowMs: number, linesMax: number): Promise<readonly Uint8Array[]> {
    const { tree, clock } = this.#parts;
    const end = expiredEnd(nowMs);
    const view = tree.hold();
    const source = tree.iterate(view, { isCacheFilled: false, readAheadBytes: 0 });
    const pause = (): Promise<void> => yieldTurn(clock);
    const entries = new VisibleIterator(source, { sequence: view.sequence, isReverse: false, pause });
    const found: Uint8Array[] = [];
    try {
      await entries.start(from);
      while (entries.isValid && !this.#isClosed && found.length < linesMax) {
        const { keyBytes, keyStart, keyEnd } = entries;
        if (compareBytes(keyBytes, keyStart, keyEnd, end, 0, end.length) >= 0) break;
        found.push(copyOut(keyBytes, keyStart, keyEnd));
        const step = entries.advance();
        if (step !== undefined) await step;
      }
      return found;
    } finally {
      entries.close();
      tree.release(view);
    }
  }

  /** Takes out the lines, and the records that have expired with them. A line whose record was renewed goes alone. */
  async #removalOf(lines: readonly Uint8Array[], nowMs: number): Promise<readonly WriteOperation[]> {
    const batch: WriteOperation[] = [];
    for (const key of lines) {
      if (this.#isClosed) return [];
      const present = new PresentKey(recordKeyOf(key), true);
      await present.find(this.#parts.tree);
      if (present.failure !== undefined) continue; // it cannot be read: left for whoever mends the file
      const record = present.value === undefined ? undefined : decodeRecord(present.value);
      if (record !== undefined && E.isLeft(record)) continue; // not ours: left as it is
      batch.push({ type: 'check', key: present.key, sequence: present.sequence }, { type: 'delete', key });
      if (record !== undefined && record.right.expiresAtMs <= nowMs) batch.push({ type: 'delete', key: present.key });
    }
    return batch;
  }
}

/** The first key behind this one. */
function behind(key: Uint8Array): Uint8Array {
  const next = new Uint8Array(key.length + 1);
  next.set(key);
  return next;
}
