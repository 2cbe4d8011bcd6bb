/** Fills a store, and is killed by itself when the last batch is acknowledged: `node write-store.mjs <engine> <directory> [folder]`. */
import { batches } from './content.mjs';
import { engines } from './engines.mjs';

const [engine, directory, folder] = process.argv.slice(2);
const store = await engines[engine](directory, folder);
const all = [...batches()];
for (const [index, batch] of all.entries()) {
  if (batch === 'compact') await store.compact();
  else await store.write(batch, index === all.length - 1);
}
process.kill(process.pid, 'SIGKILL');
