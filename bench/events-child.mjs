/**
 * The events question, asked of one engine under one durability, in a process of its own. Started by `events.mjs`, which
 * says what to do in the only argument, and hears the figures over the channel between the two.
 */
import { askEvents } from './questions/peers-streams.mjs';
import { openEventEngine } from './support/event-engines.mjs';

/** @typedef {import('./support/peer-servers.mjs').Durability} Durability */

/** @type {{ engine: import('./support/event-engines.mjs').EngineName, directory: string, port: number, durability: Durability, count: number }} */
const order = JSON.parse(process.argv[2] ?? '');
const driver = await openEventEngine(order.engine, order);
const figures = await askEvents(driver, order.count, order.durability);
await driver.close();
const answer = { figures, peakMemoryBytes: process.resourceUsage().maxRSS * 1024 };
if (process.send === undefined) {
  console.log(answer);
} else {
  process.send(answer, () => process.disconnect());
}
