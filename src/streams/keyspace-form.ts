/**
 * The edge between a keyspace's keys and values and the store's bytes. Whatever a codec or a schema throws becomes a
 * `SchemaError` here, and nowhere else.
 *
 * Of encrypted values such an error tells less, for codecs and schemas quote what they refuse. Its message says nothing of
 * the value, since messages get into logs, and into dead letters on the disk; of a value that was decrypted the error says
 * nothing at all, of one that is to be written its issues tell all to the caller, who has it.
 */
import { InvalidArgumentError, type SchemaIssue, SchemaError } from '../errors.ts';
import type { Bytes } from '../model.ts';
import type { KeyCodec, ValueCodec } from '../storage/codec/key-codec.ts';
import { toBytes } from './key-buffer.ts';
import { type KeyspaceName, KeyspacePrefix } from './keyspace-name.ts';
import { isSchema, schemaCodec, SchemaMisfit, type StandardSchemaV1 } from './keyspace-schema.ts';
import { type KeyspaceEncryption, ValueCipher } from './value-cipher.ts';

/** What the keys and values of a keyspace are. */
export interface KeyspaceOptions<Key, Value> {
  /** One of `codecs`, or your own. */
  readonly key: KeyCodec<Key>;
  /** One of `codecs`, your own, or a schema of any library with Standard Schema; then values are stored as JSON. */
  readonly value: ValueCodec<Value> | StandardSchemaV1<unknown, Value>;
  /**
   * Encrypts the values, not the keys; see docs/encryption.md. Default: they are stored as the codec gives them. All who
   * open a keyspace must agree on it: what was written without encryption is not read with it.
   */
  readonly encryption?: KeyspaceEncryption | undefined;
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
  /** Of an encrypted keyspace. */
  readonly cipher: ValueCipher | undefined;

  /** @throws InvalidArgumentError */
  constructor(name: KeyspaceName, options: KeyspaceOptions<Key, Value>) {
    this.prefix = new KeyspacePrefix(name);
    if (typeof (options as unknown) !== 'object' || (options as unknown) === null) {
      throw new InvalidArgumentError('options', 'an object with key and value', options);
    }
    const { key, value, encryption } = options;
    if (!isCodec(key)) throw new InvalidArgumentError('options.key', 'a key codec', key);
    this.#key = key;
    if (isSchema(value)) this.#value = schemaCodec(value);
    else if (isCodec(value)) this.#value = value;
    else throw new InvalidArgumentError('options.value', 'a value codec or a Standard Schema', value);
    this.cipher = encryption === undefined ? undefined : new ValueCipher(this.prefix, encryption);
  }

  /** The stored key. @throws SchemaError */
  encodeKey(key: Key, what = 'the key'): Bytes {
    const { text, bytes } = this.prefix;
    const encoded = this.#encode(what, () => this.#key.encode(key));
    // Text goes on as text: the store makes bytes of the short ones without a call into native code.
    return typeof encoded === 'string' ? text + encoded : concatenate(bytes, encoded);
  }

  /**
   * @param stored - the stored key, to which an encrypted value is bound
   * @throws SchemaError, EncryptionKeyError
   */
  encodeValue(value: Value, stored: Bytes, what = 'the value'): Bytes {
    const { cipher } = this;
    const plaintext = this.#encode(what, () => this.#value.encode(value), cipher !== undefined);
    return cipher === undefined ? plaintext : cipher.seal(toBytes(plaintext), stored);
  }

  /** The key that is stored as `stored`, which begins with the prefix. @throws SchemaError */
  decodeKey(stored: Uint8Array): Key {
    try {
      return this.#key.decode(stored.subarray(this.prefix.bytes.length));
    } catch (error) {
      throw this.#misfit('the form', stored, error);
    }
  }

  /** @param key - where the value is stored. @throws SchemaError, ValueUnreadableError */
  decodeValue(value: Uint8Array, key: () => Bytes): Value {
    const { cipher } = this;
    const plaintext = cipher === undefined ? value : cipher.open(value, toBytes(key()));
    try {
      return this.#value.decode(plaintext);
    } catch (error) {
      throw this.#misfit('the stored value', toBytes(key()), error, cipher !== undefined);
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

  #encode<Form extends Bytes>(what: string, encode: () => Form, isSecret = false): Form {
    let form: Form;
    try {
      form = encode();
    } catch (error) {
      throw this.#misfit(what, undefined, error, isSecret);
    }
    if (typeof form === 'string' || (form as unknown) instanceof Uint8Array) return form;
    throw this.#misfit(what, undefined, new TypeError('its codec gave neither a string nor a Uint8Array'));
  }

  #misfit(what: string, key: Uint8Array | undefined, error: unknown, isSecret = false): SchemaError {
    const { name } = this.prefix;
    const copy = key === undefined ? undefined : Uint8Array.from(key);
    if (!isSecret) return new SchemaError(name, what, copy, issuesOf(error), { cause: error });
    const issues = key === undefined ? issuesOf(error) : WITHHELD;
    return new SchemaError(name, what, copy, issues, undefined, { isSecret });
  }
}

const WITHHELD: readonly SchemaIssue[] = [{ message: 'withheld, for the value is encrypted', path: [] }];

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
