// quadstore and level-read-stream, which publish no suite, at work of their own; each answer is compared with a plain list's.
import { ClassicLevel } from 'classic-level'; // redirected to ours
import { EntryStream, KeyStream, ValueStream } from 'level-read-stream';
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { Quadstore } from 'quadstore';
import { DataFactory } from 'rdf-data-factory';

const directories = [];
const makeDirectory = async () => {
  const directory = await mkdtemp(join(tmpdir(), 'alluvium-ecosystem-'));
  directories.push(directory);
  return directory;
};
after(() => Promise.all(directories.map((directory) => rm(directory, { recursive: true }))));

const factory = new DataFactory();
const node = (kind, number) => factory.namedNode(`http://example.org/${kind}/${number}`);
const textOf = ({ subject, predicate, object, graph }) =>
  [subject, predicate, object, graph].map(({ value }) => value).join(' ');

test('quadstore: every pattern finds what a list of the quads has', async () => {
  const store = new Quadstore({ backend: new ClassicLevel(await makeDirectory()), dataFactory: factory });
  await store.open();
  const quads = [];
  for (let number = 0; number < 1200; number += 1) {
    const object = number % 3 === 0 ? factory.literal(String(number % 50)) : node('o', number % 40);
    quads.push(
      factory.quad(node('s', number % 60), node('p', number % 7), object, node('g', Math.floor(number / 300))),
    );
  }
  await store.multiPut(quads.slice(0, 1000));
  for (const quad of quads.slice(1000)) await store.put(quad);
  const gone = quads.filter((_, index) => index % 5 === 0);
  await store.multiDel(gone);
  const isGone = new Set(gone.map(textOf));
  const left = quads.filter((quad) => !isGone.has(textOf(quad)));

  const patterns = [{}];
  for (let number = 0; number < 10; number += 1) {
    patterns.push(
      { subject: node('s', number * 6) },
      { predicate: node('p', number % 7), graph: node('g', number % 4) },
    );
    patterns.push({ object: node('o', number * 4) }, { subject: node('s', number), object: node('o', number) });
  }
  for (const pattern of patterns) {
    const { items } = await store.get(pattern);
    const wanted = left.filter((quad) => Object.entries(pattern).every(([term, value]) => quad[term].equals(value)));
    assert.deepEqual([...new Set(items.map(textOf))].toSorted(), [...new Set(wanted.map(textOf))].toSorted());
  }
  await store.close();
});

test('level-read-stream: entries, keys and values of ranges, in order, also backwards', async () => {
  const db = new ClassicLevel(await makeDirectory(), { valueEncoding: 'json' });
  const keys = Array.from({ length: 3000 }, (_, number) => String(number).padStart(5, '0'));
  await db.batch(keys.map((key) => ({ type: 'put', key, value: { key } })));
  const collect = async (stream) => {
    const values = [];
    for await (const value of stream) values.push(value);
    return values;
  };
  assert.deepEqual(
    await collect(new EntryStream(db)),
    keys.map((key) => ({ key, value: { key } })),
  );
  assert.deepEqual(await collect(new KeyStream(db, { gte: '00100', lt: '02000' })), keys.slice(100, 2000));
  const backwards = await collect(new ValueStream(db, { reverse: true, limit: 1500 }));
  assert.deepEqual(
    backwards,
    keys
      .slice(1500)
      .toReversed()
      .map((key) => ({ key })),
  );
  const some = new EntryStream(db, { highWaterMark: 10 });
  for await (const { key } of some) if (key === '00020') break; // destroys the stream, and closes its iterator
  await db.close();
});
