/** Where table jobs run: the port that the streams see, and the plain implementation on the calling thread. */
import type { TableOutput } from './merge-tables.ts';
import { JobRunner, type JobRunnerOptions } from './job-runner.ts';
import type { TableJob } from './table-job.ts';

export interface TableJobExecutor {
  /**
   * Runs one job to its end.
   *
   * @throws (rejects with) IoError, NoSpaceError, CorruptionError, AbortedError after {@link callOff}
   */
  run(job: TableJob, allocateFileNumber: () => number): Promise<TableOutput>;
  callOff(jobId: number): void;
  /** Ends the executor; running jobs are called off. */
  close(): Promise<void>;
}

/** Slices on the main thread: for file systems that a worker cannot reach, and where no worker can be started. */
export class InlineExecutor implements TableJobExecutor {
  readonly #runner: JobRunner;
  readonly #running = new Map<number, Promise<unknown>>();

  constructor(options: JobRunnerOptions) {
    this.#runner = new JobRunner(options);
  }

  run(job: TableJob, allocateFileNumber: () => number): Promise<TableOutput> {
    const done = this.#runner.run(job, allocateFileNumber).finally(() => this.#running.delete(job.jobId));
    this.#running.set(job.jobId, done);
    return done;
  }

  callOff(jobId: number): void {
    if (this.#running.has(jobId)) this.#runner.callOff(jobId);
  }

  async close(): Promise<void> {
    for (const jobId of this.#running.keys()) this.#runner.callOff(jobId);
    await Promise.allSettled(this.#running.values());
  }
}
