/** Batches of sets and deletes of a few shared keys, each made from its number alone; the mark says that it is there. */
import { randomOf } from './tell.mjs';

const MARK = 'mark/';
const KEYS = 300;

/** The batch of this number; the same every time. */
export function batchOf(number) {
  const random = randomOf(number);
  const lines = [];
  for (let count = 1 + Math.floor(random() * 6); count > 0; count -= 1) {
    const key = `key/${Math.floor(random() * KEYS)}`;
    if (random() < 0.25) lines.push({ type: 'delete', key });
    else lines.push({ type: 'set', key, value: `${number} ${'x'.repeat(Math.floor(random() * 250))}` });
  }
  const mark = { type: 'set', key: `${MARK}${String(number).padStart(9, '0')}`, value: '' };
  lines.splice(Math.floor(random() * (lines.length + 1)), 0, mark);
  return lines;
}

/** Numbers of the batches that a store has, ascending. */
export async function markersOf(store) {
  const numbers = [];
  for await (const { key } of store.scan(MARK, 'mark0')) {
    numbers.push(Number(Buffer.from(key).toString().slice(MARK.length)));
  }
  return numbers;
}

/** What a store has that has these many batches, as text. */
export function contentAfter(count) {
  const content = new Map();
  for (let number = 0; number < count; number += 1) {
    for (const { type, key, value } of batchOf(number)) {
      if (type === 'set') content.set(key, value);
      else content.delete(key);
    }
  }
  return content;
}
