/** The writes and reads of a consumer's transaction in a keyspace's types. They commit with everything else of the transaction. */
import type { Bytes, SequenceNumber, WriteOperation } from '../model.ts';
import type { KeyspaceForm } from './keyspace-form.ts';
import { mapOperation } from './map-stream.ts';
import type { Operation } from './operation.ts';

/** What is needed of a transaction. */
export interface BytesTransaction {
  get(key: Bytes): Operation<Uint8Array | undefined>;
  write(operations: readonly WriteOperation[]): void;
}

export class KeyspaceTransaction<Key, Value> {
  readonly #form: KeyspaceForm<Key, Value>;
  readonly #transaction: BytesTransaction;

  /** @internal */
  constructor(form: KeyspaceForm<Key, Value>, transaction: BytesTransaction) {
    this.#form = form;
    this.#transaction = transaction;
  }

  /** The value of the key, the transaction's own writes included. Fails with SchemaError if it is none of the keyspace, ValueUnreadableError. */
  get(key: Key): Operation<Value | undefined> {
    const stored = this.#form.encodeKey(key);
    return mapOperation(this.#transaction.get(stored), (value) =>
      value === undefined ? undefined : this.#form.decodeValue(value, () => stored),
    );
  }

  /** @throws (at the call) SchemaError, EncryptionKeyError */
  set(key: Key, value: Value): void {
    const stored = this.#form.encodeKey(key);
    this.#transaction.write([{ type: 'set', key: stored, value: this.#form.encodeValue(value, stored) }]);
  }

  /** @throws (at the call) SchemaError */
  delete(key: Key): void {
    this.#transaction.write([{ type: 'delete', key: this.#form.encodeKey(key) }]);
  }

  /** Makes the commit depend on it. @throws (at the call) SchemaError */
  check(key: Key, sequence: SequenceNumber | 'absent'): void {
    this.#transaction.write([{ type: 'check', key: this.#form.encodeKey(key), sequence }]);
  }
}
