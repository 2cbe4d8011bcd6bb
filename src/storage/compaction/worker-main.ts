/** The worker thread's side: takes jobs, runs them, answers. It has its own view of the files, and no other state. */
/* eslint-disable no-restricted-imports -- an entry of its own: this is where its clock comes from */
import { performance } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';
/* eslint-enable no-restricted-imports */
import { parentPort } from 'node:worker_threads';
import { NodeFileSystem } from '../file-system/node-file-system.ts';
import { JobRunner } from './job-runner.ts';
import { type FromWorker, toPlain, type ToWorker } from './worker-protocol.ts';

/** Nobody waits for this thread's event loop but a flush that wants to go first, and a job that is called off. */
const SLICE_MS = 10;

const port = parentPort;
if (port === null) throw new Error('worker-main is the entry of a worker thread');

const runner = new JobRunner({
  fileSystem: new NodeFileSystem(),
  sliceMs: SLICE_MS,
  now: () => performance.now(),
  yieldTurn: () => setImmediate(),
});
/** Jobs that wait for a file number; each asks for one at a time. */
const waiting = new Map<number, (fileNumber: number) => void>();

const say = (message: FromWorker): void => port.postMessage(message);

const allocate = (jobId: number): Promise<number> =>
  new Promise((resolve) => {
    waiting.set(jobId, resolve);
    say({ type: 'allocate', jobId });
  });

port.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'run': {
      const { job } = message;
      runner
        .run(job, () => allocate(job.jobId))
        .then(
          (output) => say({ type: 'done', jobId: job.jobId, output }),
          (error: unknown) => say({ type: 'failed', jobId: job.jobId, error: toPlain(error) }),
        );
      return;
    }
    case 'callOff':
      runner.callOff(message.jobId);
      return;
    case 'fileNumber':
      waiting.get(message.jobId)?.(message.fileNumber);
      waiting.delete(message.jobId);
  }
});
