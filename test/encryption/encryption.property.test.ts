// Goal: whatever the codec and the value, what comes back is what went in, and only with the right key at the right place;
// and no nonce is ever used twice with a key, also across crashes.
// Method: properties over codecs, keys, values, and places; damage of several kinds at random places; a loop of crashes, in
// which each open begins anew, and every nonce that was ever drawn is compared with all others.
// `npm run test:trust -- --only ENC` draws 100 times as many.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  codecs,
  type KeyspaceName,
  MemoryFileSystem,
  open,
  type ValueCodec,
  ValueUnreadableError,
} from '../../src/index.ts';
import { KeyspaceForm } from '../../src/streams/keyspace-form.ts';
import { recordFigures } from '../support/figures.ts';
import { KeyRing } from '../support/key-ring.ts';
import { PROPERTY_MS, randomOf, runs, runsOf, seedOfThisRun } from '../support/runs.ts';

interface Kind {
  readonly codec: ValueCodec<unknown>;
  readonly values: fc.Arbitrary<unknown>;
}

const kind = <Value>(codec: ValueCodec<Value>, values: fc.Arbitrary<Value>): Kind => ({
  codec: { encode: (value) => codec.encode(value as Value), decode: (bytes) => codec.decode(bytes) },
  values,
});

const KINDS: readonly Kind[] = [
  kind(codecs.utf8, fc.string({ unit: 'grapheme', maxLength: 300 })),
  kind(codecs.bytes, fc.uint8Array({ maxLength: 300 })),
  kind(
    codecs.number,
    fc.double({ noNaN: true }).map((number) => (number === 0 ? 0 : number)),
  ),
  kind(codecs.bigint, fc.bigInt({ min: -(2n ** 200n), max: 2n ** 200n })),
  kind(codecs.date, fc.date({ noInvalidDate: true })),
  kind(codecs.boolean, fc.boolean()),
  kind(codecs.tuple(codecs.utf8, codecs.bytes), fc.tuple(fc.string({ unit: 'grapheme' }), fc.uint8Array())),
  kind(
    codecs.json<unknown>(),
    fc.jsonValue().map((value): unknown => JSON.parse(JSON.stringify(value))),
  ),
];

const names: fc.Arbitrary<KeyspaceName> = fc.constantFrom<KeyspaceName>('a', 'aa', 'n', ['a', 'a'], ['n', 'a']);
const keyBytes = fc.uint8Array({ maxLength: 20 });

const formOf = <Value>(name: KeyspaceName, codec: ValueCodec<Value>, keys: KeyRing): KeyspaceForm<Uint8Array, Value> =>
  new KeyspaceForm(name, { key: codecs.bytes, value: codec, encryption: { keys } });

function read<Value>(form: KeyspaceForm<Uint8Array, Value>, sealed: Uint8Array, key: Uint8Array): unknown {
  try {
    return { value: form.decodeValue(sealed, () => form.encodeKey(key)) };
  } catch (error) {
    return error;
  }
}

const damages = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at: fc.nat(), by: fc.integer({ min: 1, max: 255 }) }),
  fc.record({ kind: fc.constant('cut' as const), at: fc.nat() }),
  fc.record({ kind: fc.constant('grow' as const), by: fc.uint8Array({ minLength: 1, maxLength: 20 }) }),
  fc.record({ kind: fc.constant('zero' as const), at: fc.nat(), length: fc.integer({ min: 1, max: 64 }) }),
);
type Damage = typeof damages extends fc.Arbitrary<infer D> ? D : never;

function damaged(sealed: Uint8Array, damage: Damage): Uint8Array {
  const copy = Uint8Array.from(sealed);
  if (damage.kind === 'grow') return Buffer.concat([copy, damage.by]);
  const at = damage.at % copy.length;
  if (damage.kind === 'cut') return copy.subarray(0, at);
  if (damage.kind === 'zero') copy.fill(0, at, at + damage.length);
  else copy[at] = (copy[at] as number) ^ damage.by;
  return copy;
}

describe('an encrypted value', { timeout: PROPERTY_MS }, () => {
  it('comes back as it was, whatever the codec; at its own place only, and only whole', () => {
    const keys = new KeyRing();
    let count = 0;
    let moves = 0;
    let damagedOnes = 0;
    const property = fc.property(
      fc.constantFrom(...KINDS).chain(({ codec, values }) => fc.tuple(fc.constant(codec), values)),
      fc.tuple(names, keyBytes),
      fc.tuple(names, keyBytes),
      damages,
      ([codec, value], [name, key], [otherName, otherKey], damage) => {
        count += 1;
        const form = formOf(name, codec, keys);
        const sealed = Buffer.from(form.encodeValue(value, form.encodeKey(key)));
        if (count % 10 === 0) keys.rotate();
        expect(read(form, sealed, key)).toEqual({ value });

        const isSame = String(name) === String(otherName) && Buffer.compare(key, otherKey) === 0;
        const moved = read(formOf(otherName, codec, keys), sealed, otherKey);
        moves += isSame ? 0 : 1;
        if (isSame) expect(moved).toEqual({ value });
        else expect(moved).toMatchObject({ code: 'VALUE_UNREADABLE', reason: 'notAuthentic' });

        const bytes = damaged(sealed, damage);
        const isDamaged = Buffer.compare(bytes, sealed) !== 0; // zeros may have been zeros
        damagedOnes += isDamaged ? 1 : 0;
        if (isDamaged) expect(read(form, bytes, key)).toBeInstanceOf(ValueUnreadableError);
        expect(read(formOf(name, codec, new KeyRing()), sealed, key)).toMatchObject({ reason: 'keyUnknown' });
      },
    );
    fc.assert(property, runsOf(500));
    recordFigures('ENC', { valuesReadBack: count, valuesMoved: moves, valuesDamaged: damagedOnes });
  });

  it('never is anything but refused, where it is any bytes', () => {
    const keys = new KeyRing();
    const form = formOf('n', codecs.bytes, keys);
    const id = Buffer.from(keys.current().id.replaceAll('-', ''), 'hex');
    // Most begin as a value would.
    const garbage = fc
      .tuple(fc.constantFrom(0, 1, 17), fc.uint8Array({ maxLength: 120 }))
      .map(([head, rest]) => Buffer.concat([Buffer.concat([Uint8Array.of(1), id]).subarray(0, head), rest]));
    const property = fc.property(garbage, keyBytes, (bytes, key) => {
      expect(read(form, bytes, key)).toBeInstanceOf(ValueUnreadableError);
    });
    fc.assert(property, runsOf(500));
    recordFigures('ENC', { garbageRefused: runs(500) });
  });
});

const NONCE_BYTES = 12;
const NONCE_START = 17;

/** How many of the nonces, packed one behind the other, are there a second time. A set for each first byte: sets have limits. */
function repetitionsIn(nonces: Uint8Array): number {
  const text = Buffer.from(nonces.buffer, nonces.byteOffset, nonces.length);
  let repetitions = 0;
  for (let first = 0; first < 256; first += 1) {
    const seen = new Set<string>();
    let count = 0;
    for (let at = 0; at < text.length; at += NONCE_BYTES) {
      if (text[at] !== first) continue;
      count += 1;
      seen.add(text.toString('latin1', at, at + NONCE_BYTES));
    }
    repetitions += count - seen.size;
  }
  return repetitions;
}

describe('nonces', { timeout: PROPERTY_MS }, () => {
  it('are found, where one is there twice', () => {
    const nonces = Uint8Array.from({ length: 100 * NONCE_BYTES }, (_, index) => (index * 7919) >> 3);
    expect(repetitionsIn(nonces)).toBe(0);
    nonces.copyWithin(99 * NONCE_BYTES, 0, NONCE_BYTES);
    expect(repetitionsIn(nonces)).toBe(1);
  });

  it('are never used twice with a key, in one process', () => {
    const count = runs(20_000);
    const form = formOf('n', codecs.bytes, new KeyRing());
    const nonces = new Uint8Array(count * NONCE_BYTES);
    const plaintext = Uint8Array.of(1);
    for (let index = 0; index < count; index += 1) {
      const sealed = Buffer.from(form.encodeValue(plaintext, 'the same key'));
      nonces.set(sealed.subarray(NONCE_START, NONCE_START + NONCE_BYTES), index * NONCE_BYTES);
    }
    expect(repetitionsIn(nonces)).toBe(0);
    recordFigures('ENC', { nonces: count, noncesTwice: repetitionsIn(nonces) });
  });

  it('are never used twice with a key, crash after crash', async () => {
    const seed = seedOfThisRun();
    const random = randomOf(seed);
    const rounds = runs(8);
    const keys = new KeyRing();
    const drawn: Uint8Array[] = [];
    let fileSystem = new MemoryFileSystem();
    let expected: readonly string[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const store = await open('/db', { fileSystem, durability: 'synced', memtableBytesMax: 65_536 });
      const notes = store.keyspace('n', { key: codecs.number, value: codecs.utf8, encryption: { keys } });
      const before = await notes.getMany(expected.map((_, key) => key));
      expect(before, `seed ${seed}, round ${round}`).toEqual(expected); // synced, so nothing is lost
      const texts = Array.from({ length: 100 }, (_, key) => `value ${key}`); // the same plaintexts each time
      const lines = texts.map((text, key) => notes.setLine(key, text));
      for (const { value } of lines) drawn.push(Buffer.from(value).subarray(NONCE_START, NONCE_START + NONCE_BYTES));
      await store.write(lines);
      expected = texts;
      for (let key = 0; key < 20; key += 1) {
        const line = notes.setLine(100 + key, 'on its way');
        drawn.push(Buffer.from(line.value).subarray(NONCE_START, NONCE_START + NONCE_BYTES));
        store.write([line]).subscribe({ error: () => undefined }); // the crash may come before
      }
      const image = fileSystem.crashImage(random() < 0.5 ? 'synced' : 'sectors', random);
      await store.close();
      fileSystem = image;
    }
    expect(drawn).toHaveLength(120 * rounds);
    const repetitions = repetitionsIn(Buffer.concat(drawn));
    expect(repetitions, `seed ${seed}`).toBe(0);
    recordFigures('ENC', { crashes: rounds, nonces: drawn.length, noncesTwice: repetitions });
  });
});
