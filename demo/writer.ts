/**
 * The process that gets killed: it opens a new store, loads flights as fast as it can, and reports each acknowledged
 * one on its standard output, as `<number> <sequence>;` on a line of its own.
 *
 * A lane takes the next flight only after it has reported the last one. So what is in the store and was not reported is
 * at most what was in flight. It waits at the end, because it is there to be killed.
 */
import { open } from 'alluvium';
import { lastValueFrom, tap } from 'rxjs';
import { readFlights } from './flights.ts';
import { pullThrough } from './pull-through.ts';
import { IN_FLIGHT_MAX, STORE_OPTIONS } from './settings.ts';

const [directory = '', recordsMax = ''] = process.argv.slice(2);
const records = await readFlights(Number(recordsMax));
const store = await open(directory, { ...STORE_OPTIONS, errorIfExists: true });

await lastValueFrom(
  pullThrough(records, IN_FLIGHT_MAX, ({ key, value, number }) =>
    store.set(key, value).pipe(tap(({ sequence }) => process.stdout.write(`${number} ${sequence};\n`))),
  ),
);

process.stdin.resume();
