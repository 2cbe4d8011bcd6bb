/** Options of the store, drawn anew for each run: with any of them a run must go on where another one was killed. */
import { tellFailure } from './tell.mjs';

const KIB = 1024;

export function storeOptions(random, history) {
  const oneOf = (list) => list[Math.floor(random() * list.length)];
  return {
    memtableBytesMax: oneOf([4 * KIB, 16 * KIB, 64 * KIB]), // it flushes and rotates all the time
    tableBytesMax: oneOf([4 * KIB, 16 * KIB]),
    level1BytesMax: oneOf([16 * KIB, 256 * KIB]),
    level0CompactionTrigger: oneOf([2, 4]),
    manifestBytesMax: oneOf([4 * KIB, 64 * KIB]),
    syncIntervalMs: oneOf([1, 10, 100]),
    durability: oneOf(['synced', 'buffered', 'buffered']),
    worker: oneOf(['auto', 'off']),
    ...history,
  };
}

/** What the store tells of in the background, and must not happen because a process was killed. */
const BAD_EVENTS = new Set(['backgroundError', 'writesRefused', 'historyLost', 'historyHeld', 'historyDropped']);

export function watchEvents(store) {
  store.events.subscribe((event) => {
    if (BAD_EVENTS.has(event.type)) tellFailure(`event ${JSON.stringify(event)}`, event.error);
  });
}
