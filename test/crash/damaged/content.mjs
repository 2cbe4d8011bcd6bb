/** What is in the store before it is damaged: 2,000 keys, overwritten and deleted here and there, and a log tail. */
const KEYS = 2_000;
const BATCH = 10;

const keyOf = (index) => `key ${String(index).padStart(6, '0')}`;
const valueOf = (index, round) => `${round}:${index}:${'abcdefghij'.repeat(8 + (index % 5))}`;

/** Batches in order; `compact` stands where everything is compacted. */
export function* batches() {
  for (let at = 0; at < KEYS; at += BATCH) yield lines(at, at + BATCH, 1, () => true);
  yield 'compact';
  for (let at = 0; at < KEYS; at += BATCH) yield lines(at, at + BATCH, 2, (index) => index % 3 === 0);
  for (let at = 0; at < KEYS; at += 40) yield [{ type: 'delete', key: keyOf(at + 7) }];
  for (let at = 0; at < KEYS; at += 25) yield lines(at, at + 5, 3, (index) => index % 2 === 0);
}

const lines = (from, to, round, isMeant) =>
  Array.from({ length: to - from }, (_, index) => from + index)
    .filter(isMeant)
    .map((index) => ({ type: 'set', key: keyOf(index), value: valueOf(index, round) }));

/** Keys to ask for, those of deleted entries too; and what must be found. */
export function expected() {
  const content = new Map();
  const keys = new Set();
  for (const batch of batches()) {
    if (batch === 'compact') continue;
    for (const { type, key, value } of batch) {
      keys.add(key);
      if (type === 'set') content.set(key, value);
      else content.delete(key);
    }
  }
  return { keys: [...keys], content };
}

/** The changes, without their numbers. */
export const expectedChanges = () =>
  [...batches()]
    .filter((batch) => batch !== 'compact')
    .flat()
    .map(({ type, key, value }) => `${type} ${key} ${value}`);
