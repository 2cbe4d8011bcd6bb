/**
 * Dead letters that are wished to be tried again: found by their wishes, a few at a time, in the order of their changes,
 * and handed to the queue like changes. A wish is fulfilled by the commit that settles the work; what is interrupted by a
 * crash or the end of the run is found again by the next one.
 */
import * as E from 'fp-ts/lib/Either.js';
import { ClosedError, ConsumerError } from '../errors.ts';
import type { VersionedValue, WriteOperation } from '../model.ts';
import type { ConsumerStorePort } from './consumer-source.ts';
import type { Work } from './consumer-work.ts';
import { type DeadLetter, decodeDeadLetter, idOfKey, letterKeyOf, wishesRange, wishKeyOf } from './dead-letters.ts';

/** Most letters that are at work at a time. */
const AT_WORK_MAX = 64;

export interface ReplayHost {
  /** Makes work of the letter, and queues it. */
  admitReplay(letter: DeadLetter): Work;
  /** It does not become a letter again. */
  dropped(work: Work): void;
  fault(error: unknown): void;
}

export class ConsumerReplays {
  readonly #consumer: string;
  readonly #store: ConsumerStorePort;
  readonly #host: ReplayHost;
  readonly #atWork = new Map<string, Work>();
  #isLooking = false;
  /** Somebody wished while this one was on its way through the wishes. */
  #isAgain = false;
  #isClosed = false;
  /** How often letters were dropped: what was read before may be gone. */
  #drops = 0;
  /** The last letter that was taken. */
  #after: string | undefined;

  constructor(consumer: string, store: ConsumerStorePort, host: ReplayHost) {
    this.#consumer = consumer;
    this.#store = store;
    this.#host = host;
  }

  /** There may be wishes. */
  look(): void {
    this.#isAgain = true;
    if (!this.#isLooking && this.#atWork.size === 0) this.#start();
  }

  /** The work of a letter is done with, one way or the other. */
  settled({ replayOf }: Work): void {
    if (replayOf === undefined || !this.#atWork.delete(replayOf.id)) return;
    if (this.#atWork.size === 0 && !this.#isLooking) this.#start();
  }

  /** The letters were dropped: what is at work of them may succeed, but does not become a letter again. */
  dropped(id: string | undefined): void {
    this.#drops += 1;
    for (const [at, work] of this.#atWork) if (id === undefined || id === at) this.#host.dropped(work);
  }

  close(): void {
    this.#isClosed = true;
  }

  #start(): void {
    this.#isLooking = true;
    this.#look().then(
      () => {
        this.#isLooking = false;
        // All of the last few may be settled already.
        const hasMore = this.#isAgain || this.#after !== undefined;
        if (hasMore && this.#atWork.size === 0 && !this.#isClosed) this.#start();
      },
      (error: unknown) => {
        this.#isLooking = false;
        // The wishes stay; the next wish or the next run finds them.
        if (!this.#isClosed && !(error instanceof ClosedError)) this.#host.fault(error);
      },
    );
  }

  /** Takes the next few letters, or begins again from the start if somebody wished meanwhile. */
  async #look(): Promise<void> {
    while (!this.#isClosed && this.#atWork.size === 0) {
      const ids = await this.#wishes();
      if (ids.length > 0) await this.#take(ids);
      else if (this.#isAgain) {
        this.#isAgain = false;
        if (this.#after === undefined) return;
        this.#after = undefined;
      } else {
        this.#after = undefined;
        return;
      }
    }
  }

  async #wishes(): Promise<string[]> {
    const ids: string[] = [];
    const scan = this.#store.scanReserved(wishesRange(this.#consumer, this.#after));
    try {
      while (ids.length < AT_WORK_MAX) {
        const page = await scan.pull();
        if (page.length === 0) break;
        for (const { key } of page) if (ids.length < AT_WORK_MAX) ids.push(idOfKey(key));
      }
    } finally {
      scan.close();
    }
    return ids;
  }

  async #take(ids: readonly string[]): Promise<void> {
    const vain: WriteOperation[] = [];
    for (const id of ids) {
      this.#after = id;
      let drops: number;
      let entry: VersionedValue | undefined;
      do {
        drops = this.#drops;
        entry = await this.#store.entry(letterKeyOf(this.#consumer, id));
        if (this.#isClosed) return;
      } while (drops !== this.#drops);
      const letter = entry === undefined ? undefined : decodeDeadLetter(id, entry.value);
      if (letter !== undefined && E.isRight(letter)) {
        this.#atWork.set(id, this.#host.admitReplay(letter.right));
        continue;
      }
      if (letter !== undefined) {
        this.#host.fault(new ConsumerError(this.#consumer, `its dead letter ${id} cannot be read: ${letter.left}`));
      }
      vain.push({ type: 'delete', key: wishKeyOf(this.#consumer, id) });
    }
    if (vain.length > 0) await this.#store.commit(vain, 'buffered');
  }
}
