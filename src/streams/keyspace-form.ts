/**
 * The edge between a keyspace's keys and values and the store's bytes. Whatever a codec or a schema throws becomes a
 * `SchemaError` here, and nowhere else.
 */
import { InvalidArgumentError, type SchemaIssue, SchemaError } from '../errors.ts';
import type { Bytes } from '../model.ts';
import type { KeyCodec, ValueCodec } from '../storage/codec/key-codec.ts';
import { toBytes } from './key-buffer.ts';
import { type KeyspaceName, KeyspacePrefix } from './keyspace-name.ts';
import { isSchema, schemaCodec, SchemaMisfit, type StandardSchemaV1 } from './keyspace-schema.ts';

/** What the keys and values of a keyspace are. */
export interface KeyspaceOptions<Key, Value> {
  /** One of `codecs`, or your own. */
  readonly key: KeyCodec<Key>;
  /** One of `codecs`, your own, or a schema of any library with Standard Schema; then values are stored as JSON. */
  readonly value: ValueCodec<Value> | StandardSchemaV1<unknown, Value>;
}

/** A bound of a range: a key; of tuples also their first elements, which stand for all keys that begin with them. */
export type KeyBound<Key> = Key extends readonly [...infer Head, unknown] ? Key | KeyBound<Readonly<Head>> : Key;

/** Bounds of a range of a keyspace's keys. Absent: without bound. `gte` wins over `gt`, `lte` over `lt`. */
export interface KeyspaceRange<Key> {
  readonly gt?: KeyBound<Key> | undefined;
  readonly gte?: KeyBound<Key> | undefined;
  readonly lt?: KeyBound<Key> | undefined;
  readonly lte?: KeyBound<Key> | undefined;
}

/** Bounds as the store takes them; every one absent that is not used. */
export interface StoredRange {
  readonly gt?: Bytes;
  readonly gte?: Bytes;
  readonly lt?: Bytes;
  readonly lte?: Bytes;
}

export class KeyspaceForm<Key, Value> {
  readonly prefix: KeyspacePrefix;
  readonly #key: KeyCodec<Key>;
  readonly #value: ValueCodec<Value>;

  /** @throws InvalidArgumentError */
  constructor(name: KeyspaceName, options: KeyspaceOptions<Key, Value>) {
    this.prefix = new KeyspacePrefix(name);
    if (typeof (options as unknown) !== 'object' || (options as unknown) === null) {
      throw new InvalidArgumentError('options', 'an object with key and value', options);
    }
    const { key, value } = options;
    if (!isCodec(key)) throw new InvalidArgumentError('options.key', 'a key codec', key);
    this.#key = key;
    if (isSchema(value)) this.#value = schemaCodec(value);
    else if (isCodec(value)) this.#value = value;
    else throw new InvalidArgumentError('options.value', 'a value codec or a Standard Schema', value);
  }

  /** The stored key. @throws SchemaError */
  encodeKey(key: Key, what = 'the key'): Bytes {
    const { text, bytes } = this.prefix;
    const encoded = this.#encode(what, () => this.#key.encode(key));
    // Text goes on as text: the store makes bytes of the short ones without a call into native code.
    return typeof encoded === 'string' ? text + encoded : concatenate(bytes, encoded);
  }

  /** @throws SchemaError */
  encodeValue(value: Value, what = 'the value'): Bytes {
    return this.#encode(what, () => this.#value.encode(value));
  }

  /** The key that is stored as `stored`, which begins with the prefix. @throws SchemaError */
  decodeKey(stored: Uint8Array): Key {
    try {
      return this.#key.decode(stored.subarray(this.prefix.bytes.length));
    } catch (error) {
      throw this.#misfit('the form', stored, error);
    }
  }

  /** @param key - where the value is stored, for the error. @throws SchemaError */
  decodeValue(value: Uint8Array, key: () => Bytes): Value {
    try {
      return this.#value.decode(value);
    } catch (error) {
      throw this.#misfit('the stored value', toBytes(key()), error);
    }
  }

  /** The range as the store has it, within the keyspace. @throws SchemaError */
  rangeOf({ gt, gte, lt, lte }: KeyspaceRange<Key>): StoredRange {
    return { ...this.#lower(gt, gte), ...this.#upper(lt, lte) };
  }

  /** The options with the range as the store has it. @throws SchemaError */
  storedOptions<Options extends KeyspaceRange<Key>>(
    options: Options,
  ): Omit<Options, keyof KeyspaceRange<Key>> & StoredRange {
    const { gt, gte, lt, lte, ...others } = options;
    return { ...others, ...this.rangeOf({ gt, gte, lt, lte }) };
  }

  #lower(gt: KeyBound<Key> | undefined, gte: KeyBound<Key> | undefined): StoredRange {
    if (gte !== undefined) return { gte: this.#bound(gte, 'the bound gte').stored };
    if (gt === undefined) return { gte: this.prefix.bytes };
    const { stored, isPrefix } = this.#bound(gt, 'the bound gt');
    return isPrefix ? { gte: behindAll(stored) } : { gt: stored };
  }

  #upper(lt: KeyBound<Key> | undefined, lte: KeyBound<Key> | undefined): StoredRange {
    if (lte !== undefined) {
      const { stored, isPrefix } = this.#bound(lte, 'the bound lte');
      return isPrefix ? { lt: behindAll(stored) } : { lte: stored };
    }
    return { lt: lt === undefined ? this.prefix.end : this.#bound(lt, 'the bound lt').stored };
  }

  #bound(bound: unknown, what: string): { readonly stored: Bytes; readonly isPrefix: boolean } {
    const { list } = this.#key;
    if (list !== undefined && Array.isArray(bound) && bound.length < list.length) {
      const elements: readonly unknown[] = bound;
      const encoded = this.#encode(what, () => list.encodePrefix(elements));
      return { stored: concatenate(this.prefix.bytes, encoded), isPrefix: true };
    }
    // A bound that is no prefix is a key; the codec looks at what it really is.
    return { stored: this.encodeKey(bound as Key, what), isPrefix: false };
  }

  #encode<Form extends Bytes>(what: string, encode: () => Form): Form {
    let form: Form;
    try {
      form = encode();
    } catch (error) {
      throw this.#misfit(what, undefined, error);
    }
    if (typeof form === 'string' || (form as unknown) instanceof Uint8Array) return form;
    throw this.#misfit(what, undefined, new TypeError('its codec gave neither a string nor a Uint8Array'));
  }

  #misfit(what: string, key: Uint8Array | undefined, error: unknown): SchemaError {
    const copy = key === undefined ? undefined : Uint8Array.from(key);
    return new SchemaError(this.prefix.name, what, copy, issuesOf(error), { cause: error });
  }
}

function issuesOf(error: unknown): readonly SchemaIssue[] {
  if (error instanceof SchemaMisfit) return error.issues;
  return [{ message: error instanceof Error ? error.message : String(error), path: [] }];
}

const isCodec = (codec: unknown): codec is ValueCodec<never> =>
  typeof codec === 'object' &&
  codec !== null &&
  'encode' in codec &&
  typeof codec.encode === 'function' &&
  'decode' in codec &&
  typeof codec.decode === 'function';

function concatenate(prefix: Uint8Array, rest: Uint8Array): Uint8Array {
  const whole = new Uint8Array(prefix.length + rest.length);
  whole.set(prefix);
  whole.set(rest, prefix.length);
  return whole;
}

/** The least key that is greater than all that begin with `prefix`: which holds a byte that is not 0xff, for it has a name. */
function behindAll(prefix: Bytes): Uint8Array {
  const bytes = toBytes(prefix);
  let end = bytes.length;
  while (bytes[end - 1] === 0xff) end -= 1;
  const behind = bytes.slice(0, end);
  behind[end - 1] = (behind[end - 1] as number) + 1;
  return behind;
}
