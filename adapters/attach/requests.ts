/**
 * What was asked and not answered, in the order of the calls; and of it what has not been sent, in the same order. When an
 * owner is lost, all that it has not answered is unsent again.
 */
import type { Anchor } from './anchor.ts';
import type { Sink } from './operation.ts';
import type { Request } from './protocol.ts';

export interface Pending {
  readonly id: number;
  readonly request: Request;
  readonly sink: Sink<unknown>;
  readonly anchor: Anchor | undefined;
  /** Whether its answer may never come, as the next change may never: nothing waits for it to end. */
  readonly isIdle: boolean;
  /** Whether it is one of those whose number is bounded while they are unsent. */
  readonly isCounted: boolean;
  /** For how long, from its first sending on, it may be sent again. */
  readonly repeatMs: number;
  isSent: boolean;
  sends: number;
  /** When it was sent first, in milliseconds since 1970: the time of day goes on while a machine sleeps. */
  firstSentMs: number;
  /** At the own desk: what takes it back. */
  cancel: (() => void) | undefined;
}

export class Requests {
  readonly #pending = new Map<number, Pending>();
  readonly #unsent = new Map<number, Pending>();
  #work = 0;
  #waiting = 0;

  /** Answers that somebody waits for. */
  get work(): number {
    return this.#work;
  }

  /** Those that are counted and have not been sent. */
  get waiting(): number {
    return this.#waiting;
  }

  add(pending: Pending): void {
    this.#pending.set(pending.id, pending);
    this.#unsent.set(pending.id, pending);
    if (!pending.isIdle) this.#work += 1;
    if (pending.isCounted) this.#waiting += 1;
  }

  get(id: number): Pending | undefined {
    return this.#pending.get(id);
  }

  /** All of them, as they are now. */
  all(): readonly Pending[] {
    return [...this.#pending.values()];
  }

  /** Those that have not been sent; the caller takes them out one by one. */
  unsent(): Iterable<Pending> {
    return this.#unsent.values();
  }

  sent(pending: Pending, nowMs: number): void {
    this.#noLongerUnsent(pending);
    if (pending.sends === 0) pending.firstSentMs = nowMs;
    pending.isSent = true;
    pending.sends += 1;
  }

  /** @returns whether it was still there */
  forget(pending: Pending): boolean {
    if (!this.#pending.delete(pending.id)) return false;
    this.#noLongerUnsent(pending);
    if (!pending.isIdle) this.#work -= 1;
    return true;
  }

  /** Whoever was asked will not answer any more. */
  unsendAll(): void {
    this.#unsent.clear();
    this.#waiting = 0;
    for (const pending of this.#pending.values()) {
      pending.isSent = false;
      if (pending.isCounted) this.#waiting += 1;
      this.#unsent.set(pending.id, pending); // the map has them in the order of the calls
    }
  }

  #noLongerUnsent(pending: Pending): void {
    if (this.#unsent.delete(pending.id) && pending.isCounted) this.#waiting -= 1;
  }
}
