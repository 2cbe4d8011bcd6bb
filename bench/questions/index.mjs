/** All questions, in the order in which one round asks them. Those of a filled store come after `fill`, and `open-killed` last. */
import { batchesInOrder } from './batches.mjs';
import { big } from './big.mjs';
import { changesQuestions } from './changes.mjs';
import { consumerQuestions } from './consumers.mjs';
import { eventLoopQuestions } from './event-loop.mjs';
import { fill } from './fill.mjs';
import { getQuestions } from './gets.mjs';
import { latencyQuestions } from './latency.mjs';
import { mixQuestions } from './mixes.mjs';
import { openQuestions } from './opens.mjs';
import { largeValueQuestions, overwriteQuestions } from './overwrites.mjs';
import { putQuestions } from './puts.mjs';
import { scanQuestions } from './scans.mjs';

/** @type {readonly import('../support/question.mjs').Question[]} */
export const questions = [
  ...putQuestions,
  batchesInOrder,
  ...overwriteQuestions,
  ...largeValueQuestions,
  ...latencyQuestions,
  ...eventLoopQuestions,
  ...changesQuestions,
  ...consumerQuestions,
  ...mixQuestions,
  big,
  fill,
  ...getQuestions,
  ...scanQuestions,
  ...openQuestions,
];
