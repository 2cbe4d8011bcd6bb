/** What has to be true after the crash and at the end. Each check looks at everything, and says what it looked at. */
import type { Entry, Store } from 'alluvium';
import type { FlightRecord } from './flights.ts';
import type { Acknowledgement } from './killed-writer.ts';

export interface Check {
  readonly claim: string;
  /** What was wrong, for the first thing that was; `undefined` when the claim holds. */
  readonly failure: string | undefined;
}

const count = (value: number): string => value.toLocaleString('en-US');

/** Acknowledgements, sequence numbers and calls have one and the same order: the n-th record of the load is write n + 1. */
export function checkOrder(acknowledgements: readonly Acknowledgement[]): Check {
  const wrong = acknowledgements.findIndex(({ number, sequence }, index) => number !== index || sequence !== index + 1);
  const found = acknowledgements[wrong];
  return {
    claim: `${count(acknowledgements.length)} acknowledgements came in the order of the calls, with sequence numbers 1, 2, 3, ...`,
    failure:
      found &&
      `acknowledgement ${count(wrong + 1)} was of record ${found.number} with sequence number ${found.sequence}`,
  };
}

/** Reads each record back with `getMany`, and compares the bytes. */
export async function checkAcknowledged(store: Store, acknowledged: readonly FlightRecord[]): Promise<Check> {
  const claim = `all ${count(acknowledged.length)} acknowledged records are there, with the right bytes`;
  const readAtOnce = 1000;
  for (let start = 0; start < acknowledged.length; start += readAtOnce) {
    const records = acknowledged.slice(start, start + readAtOnce);
    const values = await store.getMany(records.map(({ key }) => key));
    for (const [index, { key, value, number }] of records.entries()) {
      const found = values[index];
      if (found === undefined) return { claim, failure: `record ${number} (${key}) was acknowledged and is gone` };
      if (!Buffer.from(value).equals(found)) return { claim, failure: `record ${number} (${key}) has other bytes` };
    }
  }
  return { claim, failure: undefined };
}

/**
 * Walks entries and records side by side, in key order: nothing may be missing, changed, added or out of place.
 *
 * After the crash the records are the first `n` of the load, where `n` is how many entries there are: so this also
 * says that the log was kept up to one point and not beyond, with no hole.
 */
export async function checkExactly(
  claim: string,
  entries: AsyncIterable<Entry>,
  records: readonly FlightRecord[],
): Promise<Check> {
  const sorted = records.toSorted((a, b) => (a.key < b.key ? -1 : 1));
  let index = 0;
  for await (const { key, value } of entries) {
    const record = sorted[index];
    const found = Buffer.from(key).toString();
    if (record === undefined || found < record.key)
      return { claim, failure: `${found} is there, and was never written` };
    if (found > record.key) return { claim, failure: `${record.key} (record ${record.number}) is missing` };
    if (!Buffer.from(record.value).equals(value)) return { claim, failure: `${record.key} has other bytes` };
    index += 1;
  }
  const missing = sorted[index];
  return { claim, failure: missing && `${missing.key} (record ${missing.number}) is missing` };
}

/** A plain yes or no, with the figure that decided it. */
export const checkThat = (claim: string, holds: boolean, otherwise: string): Check => ({
  claim,
  failure: holds ? undefined : otherwise,
});
