/**
 * One question, asked of one engine, in a process of its own. Started by `support/runner.mjs`, which tells it what to do in
 * its only argument, and hears the figures (and the most memory that the process had) over the channel between the two. Started by hand, for instance
 * under `node --cpu-prof`, it prints them.
 */
import { questions } from './questions/index.mjs';
import { openEngine } from './support/engines.mjs';

/** @type {import('./support/runner.mjs').Order} */
const order = JSON.parse(process.argv[2] ?? '');
const { directory, variant, scale } = order;
const question = questions.find(({ name }) => name === order.question);
if (question === undefined) throw new Error(`No such question: ${order.question}`);

/** @type {import('./support/question.mjs').Bench} */
const bench = {
  directory,
  variant,
  scale,
  open: (durability, settings) => openEngine(directory, variant, durability, settings),
};
if (order.part === 'prepare') {
  await question.prepare?.(bench);
  process.send?.({ isPrepared: true });
  setInterval(() => undefined, 1000); // until it is killed
} else {
  const asked = await question.ask(bench);
  const peakMemoryBytes = process.resourceUsage().maxRSS * 1024;
  const answer = { figures: { ...asked, peakMegabytes: peakMemoryBytes / 1e6 }, peakMemoryBytes };
  if (process.send === undefined) console.log(answer);
  else process.send(answer);
}
