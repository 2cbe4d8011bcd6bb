/**
 * Runs table jobs on the thread it lives on: a worker's, or the main one where no worker can be had.
 *
 * Jobs are cooperative. Each asks `pause` every few hundred entries, and the answer decides who goes on:
 *   - a job that was called off stops
 *   - a compaction waits while a flush is under way: memory comes first, because writes stop without it
 *   - a job that had the thread for a slice gives the event loop a turn
 */
import { AbortedError } from '../../errors.ts';
import type { FileSystem } from '../file-system/file-system.ts';
import type { TableOutput } from './merge-tables.ts';
import { runTableJob, type TableJob } from './table-job.ts';

/** Time, from outside: storage has no clock of its own. */
export interface Turns {
  /** Milliseconds from any fixed point, never going back. */
  now(): number;
  /** Resolves when the event loop has had a turn. */
  yieldTurn(): Promise<void>;
}

export interface JobRunnerOptions extends Turns {
  readonly fileSystem: FileSystem;
  /** Longest time a job keeps the thread, in milliseconds. */
  readonly sliceMs: number;
}

export class JobRunner {
  readonly #options: JobRunnerOptions;
  readonly #calledOff = new Set<number>();
  #flushes: Promise<unknown> = Promise.resolve();
  #flushesRunning = 0;
  #sliceStart = 0;

  constructor(options: JobRunnerOptions) {
    this.#options = options;
  }

  async run(job: TableJob, allocateFileNumber: () => number | Promise<number>): Promise<TableOutput> {
    const done = runTableJob(job, {
      fileSystem: this.#options.fileSystem,
      allocateFileNumber,
      pause: () => this.#pause(job),
    }).finally(() => {
      this.#calledOff.delete(job.jobId);
      if (job.type === 'flush') this.#flushesRunning -= 1;
    });
    if (job.type === 'flush') {
      this.#flushesRunning += 1;
      this.#flushes = Promise.allSettled([this.#flushes, done]);
    }
    return done;
  }

  /** The job ends at its next pause with an `AbortedError`, and leaves no files behind. */
  callOff(jobId: number): void {
    this.#calledOff.add(jobId);
  }

  #pause(job: TableJob): Promise<void> | undefined {
    if (this.#calledOff.has(job.jobId)) return Promise.reject(new AbortedError(`the ${job.type}`));
    if (job.type === 'compaction' && this.#flushesRunning > 0) return this.#afterFlushes(job);
    if (this.#options.now() - this.#sliceStart < this.#options.sliceMs) return undefined;
    return this.#yield(job);
  }

  async #afterFlushes(job: TableJob): Promise<void> {
    await this.#flushes;
    await this.#pause(job);
  }

  async #yield(job: TableJob): Promise<void> {
    await this.#options.yieldTurn();
    this.#sliceStart = this.#options.now();
    await this.#pause(job);
  }
}
