/**
 * The data: 200,000 flights of United States carriers, with their delays, as they were reported to the Bureau of
 * Transportation Statistics and as the package vega-datasets carries them (`flights-200k.json`; the package is
 * BSD-3-Clause, the figures are published by the bureau under 14 CFR Part 234, without explicit terms).
 *
 * A flight's key sorts by its time of day, and the row number makes it unique:
 *
 *     key   = "flight:" HH ":" MM ":" row (six digits)          flight:13:05:104711
 *     value = JSON of the row                                   {"delay":-4,"distance":373,"time":13.0833}
 *
 * The rows lie in the file sorted by time. Flights are not reported that way, and sorted input would leave compaction
 * nothing to do, so they are dealt out: record `n` of the load is row `n * STRIDE mod rows`. The stride shares no
 * factor with the number of rows, so each row comes exactly once, and it is near the golden section of it, so any first
 * part of the load is spread evenly over the day.
 */
import { readFile } from 'node:fs/promises';

export interface Flight {
  /** Minutes late; early is negative. */
  readonly delay: number;
  /** Miles. */
  readonly distance: number;
  /** Time of day, in hours since midnight. */
  readonly time: number;
}

/** One flight as it is written to the store. */
export interface FlightRecord {
  /** Place in the load, from 0. */
  readonly number: number;
  readonly key: string;
  readonly value: string;
}

const ROWS = 200_000;
const STRIDE = 123_607;

const twoDigits = (value: number): string => String(value).padStart(2, '0');

/** The key of the first flight at or after a time of day; also a bound for scans. */
export const keyAt = (hours: number): string => {
  const minutes = Math.round(hours * 60);
  return `flight:${twoDigits(Math.floor(minutes / 60))}:${twoDigits(minutes % 60)}`;
};

const toRecord = (flights: readonly Flight[], number: number): FlightRecord => {
  const row = (number * STRIDE) % flights.length;
  const flight = flights[row];
  if (flight === undefined) throw new Error(`the data set has no row ${row}`);
  return { number, key: `${keyAt(flight.time)}:${String(row).padStart(6, '0')}`, value: JSON.stringify(flight) };
};

/** Reads the data set: all its flights, or the first `recordsMax` of the load, in the order of the load. */
export async function readFlights(recordsMax: number = Infinity): Promise<readonly FlightRecord[]> {
  const file = new URL('../data/flights-200k.json', import.meta.resolve('vega-datasets'));
  const flights = JSON.parse(await readFile(file, 'utf8')) as readonly Flight[];
  if (flights.length !== ROWS) throw new Error(`expected ${ROWS} flights in ${file.pathname}, found ${flights.length}`);
  return Array.from({ length: Math.min(ROWS, recordsMax) }, (_, number) => toRecord(flights, number));
}

const utf8 = new TextDecoder();

/** The flight in a stored value. */
export const decodeFlight = (value: Uint8Array): Flight => JSON.parse(utf8.decode(value)) as Flight;
