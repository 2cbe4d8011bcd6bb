/**
 * Damage on purpose: what a store that broke its promises would look like. The checks must see each of these, and the
 * tests run the tour with each to prove that they do.
 */
import type { Store } from 'alluvium';
import type { FlightRecord } from './flights.ts';

export const PLANTS = ['loss', 'change', 'stranger', 'disorder'] as const;
export type Plant = (typeof PLANTS)[number];

export const isPlant = (name: string): name is Plant => PLANTS.some((plant) => plant === name);

/** Takes an acknowledged flight away, changes one, or adds one that nobody wrote. (`'disorder'` is done to the acknowledgements.) */
export async function plantDamage(store: Store, plant: Plant, flights: readonly FlightRecord[]): Promise<void> {
  const victim = flights[7] as FlightRecord;
  if (plant === 'loss') await store.delete(victim.key);
  if (plant === 'change') await store.set(victim.key, victim.value.replace('{', '{ '));
  if (plant === 'stranger') await store.set('flight:12:00:999999', '{}');
}
