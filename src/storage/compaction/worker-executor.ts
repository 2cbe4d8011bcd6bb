/**
 * Table jobs in a worker thread, so that the event loop only installs results.
 *
 * The thread is started at the first job that is worth it, and does not keep the process alive. Small flushes before that, as
 * an open or a close makes them, are done in slices on this thread: starting another costs more. Where no thread can be started, or it dies,
 * the work goes on in slices here, and `onFallback` tells.
 */
import { Worker } from 'node:worker_threads';
import { AbortedError, IoError } from '../../errors.ts';
import { InlineExecutor, type TableJobExecutor } from './executor.ts';
import type { JobRunnerOptions } from './job-runner.ts';
import type { TableOutput } from './merge-tables.ts';
import type { TableJob } from './table-job.ts';
import { fromPlain, type FromWorker, type ToWorker } from './worker-protocol.ts';

/** While there is no thread yet, a flush of less than this is done before one would have started. */
const WORTH_A_THREAD_BYTES = 4 * 1024 * 1024;

/**
 * V8 would let the thread's young objects grow to 48 MiB. Jobs hold little for longer than a block, so a sixth of it takes the same
 * time, and some 25 MiB less of RSS. (T15.)
 */
const YOUNG_GENERATION_MIB = 12;

interface Pending {
  readonly job: TableJob;
  readonly allocateFileNumber: () => number;
  readonly resolve: (output: TableOutput) => void;
  readonly reject: (error: Error) => void;
}

export interface WorkerExecutorOptions extends JobRunnerOptions {
  /** Told once, when work goes on without a worker. */
  readonly onFallback: (reason: unknown) => void;
}

export class WorkerExecutor implements TableJobExecutor {
  readonly #inline: InlineExecutor;
  readonly #onFallback: (reason: unknown) => void;
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | undefined;
  #isWithoutWorker = false;
  #isClosed = false;

  constructor(options: WorkerExecutorOptions) {
    this.#inline = new InlineExecutor(options);
    this.#onFallback = options.onFallback;
  }

  run(job: TableJob, allocateFileNumber: () => number): Promise<TableOutput> {
    const isSmall = job.type === 'flush' && job.bytes < WORTH_A_THREAD_BYTES;
    if ((isSmall && this.#worker === undefined) || this.#isWithoutWorker || this.#isClosed)
      return this.#inline.run(job, allocateFileNumber);
    const worker = (this.#worker ??= this.#start());
    if (worker === undefined) return this.#inline.run(job, allocateFileNumber);
    return new Promise((resolve, reject) => {
      this.#pending.set(job.jobId, { job, allocateFileNumber, resolve, reject });
      this.#keepAliveWhileBusy(worker);
      this.#say(worker, { type: 'run', job });
    });
  }

  callOff(jobId: number): void {
    if (this.#worker !== undefined && this.#pending.has(jobId)) this.#say(this.#worker, { type: 'callOff', jobId });
    else this.#inline.callOff(jobId);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const jobId of this.#pending.keys()) this.callOff(jobId);
    await this.#inline.close();
    await this.#worker?.terminate();
  }

  #start(): Worker | undefined {
    try {
      const worker = new Worker(new URL('./worker-main.js', import.meta.url), {
        name: 'alluvium tables',
        resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB },
      });
      worker.on('online', () => this.#keepAliveWhileBusy(worker)); // Node refs it again when it comes up
      worker.on('message', (message: FromWorker) => this.#hear(worker, message));
      worker.on('error', (error) => this.#fallBack(error));
      worker.on('exit', () => this.#fallBack(new IoError('run', 'the table worker', 'EXITED', 'failed')));
      return worker;
    } catch (error) {
      this.#fallBack(error);
      return undefined;
    }
  }

  /** Whoever awaits a flush gets its answer; a thread with nothing to do keeps no process alive. */
  #keepAliveWhileBusy(worker: Worker): void {
    if (this.#pending.size > 0) worker.ref();
    else worker.unref();
  }

  #say(worker: Worker, message: ToWorker): void {
    worker.postMessage(message);
  }

  #hear(worker: Worker, message: FromWorker): void {
    const pending = this.#pending.get(message.jobId);
    if (pending === undefined) return;
    if (message.type === 'allocate') {
      const fileNumber = pending.allocateFileNumber();
      this.#say(worker, { type: 'fileNumber', jobId: message.jobId, fileNumber });
      return;
    }
    this.#pending.delete(message.jobId);
    this.#keepAliveWhileBusy(worker);
    if (message.type === 'done') pending.resolve(message.output);
    else pending.reject(fromPlain(message.error));
  }

  /** Jobs under way begin again here. What they left half-written has numbers of its own, and goes at the next open. */
  #fallBack(reason: unknown): void {
    if (this.#isWithoutWorker) return;
    this.#isWithoutWorker = true;
    this.#worker = undefined;
    if (!this.#isClosed) this.#onFallback(reason);
    for (const { job, allocateFileNumber, resolve, reject } of this.#pending.values()) {
      if (this.#isClosed) reject(new AbortedError(`the ${job.type}`));
      else this.#inline.run(job, allocateFileNumber).then(resolve, reject);
    }
    this.#pending.clear();
  }
}
