/**
 * A world in which nothing happens by itself: time passes from one event to the next, and one seed decides about everything.
 *
 * Events are answers of the file system, turns of the event loop, timers, and the sleep of actors. The one with the
 * earliest time happens next, then all microtasks that follow from it, then the next. A process that is killed takes its
 * events with it; what waited for them waits for ever, as the memory of a dead process does.
 *
 * After FoundationDB's simulation (Zhou et al., SIGMOD 2021). Microtasks need no hand: their order is a function of the
 * program.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../src/index.ts';
import { randomOf } from './runs.ts';

interface SimulatedEvent {
  readonly dueMs: number;
  readonly order: number;
  readonly what: string;
  readonly owner: Mortal;
  /** `undefined` once it is called off. */
  work: (() => void) | undefined;
}

/** What dies at once, with everything that it waits for. */
export interface Mortal {
  isDead: boolean;
}

/** Of what goes on beyond all processes. */
export const FOREVER: Mortal = { isDead: false };

/** How far each look at the clock may move it, at most: what the work between two looks has taken. */
const WORK_MS_MAX = 6;
const DATE_OF_START = 1_700_000_000_000;

export class SimulatedTime {
  readonly random: () => number;
  nowMs = 0;
  /** Events that have happened. */
  events = 0;
  readonly #heap: SimulatedEvent[] = [];
  readonly #hash = createHash('sha256');
  #order = 0;

  constructor(seed: number) {
    this.random = randomOf(seed);
  }

  /** A whole number below `count`. */
  below(count: number): number {
    return Math.floor(this.random() * count);
  }

  between(from: number, to: number): number {
    return from + (to - from) * this.random();
  }

  /** Notes what has happened: two runs of one seed must note the same. */
  note(what: string): void {
    this.#hash.update(`${this.nowMs.toFixed(6)} ${what}\n`);
  }

  /** Of everything noted. To be asked for once. */
  traceHash(): string {
    return this.#hash.digest('hex');
  }

  /** @returns what calls it off */
  schedule(owner: Mortal, what: string, delayMs: number, work: () => void): () => void {
    const event: SimulatedEvent = { dueMs: this.nowMs + delayMs, order: (this.#order += 1), what, owner, work };
    this.#push(event);
    return () => (event.work = undefined);
  }

  sleep(owner: Mortal, ms: number): Promise<void> {
    return new Promise((resolve) => void this.schedule(owner, 'sleep', ms, resolve));
  }

  /** Lets time pass until the work is done; throws if it never will be, or not by then. */
  async until<T>(what: string, work: Promise<T>, limitMs: number): Promise<T> {
    const state = { isDone: false };
    const done = (): void => void (state.isDone = true);
    work.then(done, done);
    const end = this.nowMs + limitMs;
    await new Promise(setImmediate);
    while (!state.isDone) {
      const event = this.#pop();
      if (event === undefined) throw new Error(`nothing more happens, and ${what} is not done`);
      if (event.dueMs > end) throw new Error(`${what} is not done after ${limitMs} ms`);
      if (event.owner.isDead || event.work === undefined) continue;
      this.nowMs = Math.max(this.nowMs, event.dueMs);
      this.events += 1;
      this.note(event.what);
      event.work();
      await new Promise(setImmediate); // all microtasks, and whatever Node does after them
    }
    return work;
  }

  /** The clock of a process. Each look at it may cost some time, so that slices come to their ends. */
  clockOf(owner: Mortal): Clock {
    return {
      now: () => {
        if (this.random() < 0.01) this.nowMs += this.random() * WORK_MS_MAX;
        return this.nowMs;
      },
      date: () => new Date(DATE_OF_START + Math.floor(this.nowMs)),
      random: this.random,
      setTimer: (work, ms) => this.schedule(owner, `timer ${ms}`, ms, work),
      afterTurn: (work) => void this.schedule(owner, 'turn', 0.001 + this.random() * 0.1, work),
      afterMicrotask: (work) => queueMicrotask(work),
    };
  }

  #push(event: SimulatedEvent): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as SimulatedEvent;
      if (!isBefore(event, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): SimulatedEvent | undefined {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const left = heap[child];
      const right = heap[child + 1];
      if (left === undefined) break;
      if (right !== undefined && isBefore(right, left)) child += 1;
      const least = heap[child] as SimulatedEvent;
      if (!isBefore(least, last)) break;
      heap[at] = least;
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

const isBefore = (a: SimulatedEvent, b: SimulatedEvent): boolean =>
  a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
