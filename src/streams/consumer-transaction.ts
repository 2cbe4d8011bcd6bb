/**
 * What one delivery writes, gathered until it commits together with the consumer's position.
 *
 * What it reads becomes a condition of that commit (optimistic concurrency): of two handlers that read the same counter,
 * one commits, and the other is run again. Lines are copied as they come, because the commit comes later, when the
 * handler may long use its buffers for something else.
 */
import { ConsumerError, OutOfRangeError, type PresentSequence, ValueTooLargeError } from '../errors.ts';
import type { Bytes, CheckOperation, WriteOperation } from '../model.ts';
import type { Transaction } from './consumer-options.ts';
import type { ConsumerStorePort } from './consumer-source.ts';
import { keyText } from './key-text.ts';
import { toBytes } from './key-buffer.ts';
import { Operation } from './operation.ts';
import { checkBatchOperations, checkDelete, checkKey, checkSet, VALUE_BYTES_MAX } from './write.ts';

/** Most lines and reads of one transaction: all of them wait in memory. */
export const TRANSACTION_LINES_MAX = 1_048_576;

type Line = Exclude<WriteOperation, CheckOperation>;

export class DeliveryTransaction implements Transaction {
  readonly #store: ConsumerStorePort;
  readonly #consumer: string;
  #lines: Line[] = [];
  #checks: CheckOperation[] = [];
  #bytes = 0;
  #isOver = false;
  /** Its own values by key, once it reads; until then nobody asks. */
  #written: Map<string, Uint8Array | undefined> | undefined;
  /** What it read, by key: the first answer stands, and is what the commit asks for. */
  #read: Map<string, PresentSequence> | undefined;

  constructor(store: ConsumerStorePort, consumer: string) {
    this.#store = store;
    this.#consumer = consumer;
  }

  set(key: Bytes, value: Bytes): void {
    this.#requireOpen();
    this.#reserve(1, checkSet(key, value));
    this.#push({ type: 'set', key: copyOf(key), value: copyOf(value) });
  }

  delete(key: Bytes): void {
    this.#requireOpen();
    this.#reserve(1, checkDelete(key));
    this.#push({ type: 'delete', key: copyOf(key) });
  }

  write(operations: readonly WriteOperation[]): void {
    this.#requireOpen();
    const batch = checkBatchOperations(operations);
    this.#reserve(batch.operations.length + batch.checks.length, batch.bytes + batch.checkBytes);
    for (const check of batch.checks) this.#checks.push({ ...check, key: copyOf(check.key) });
    for (const line of batch.operations) {
      if (line.type === 'delete') this.#push({ type: 'delete', key: copyOf(line.key) });
      else this.#push({ type: 'set', key: copyOf(line.key), value: copyOf(line.value) });
    }
  }

  get(key: Bytes): Operation<Uint8Array | undefined> {
    checkKey(key);
    const wanted = Uint8Array.from(toBytes(key));
    const name = keyText(wanted);
    return new Operation((sink) => {
      if (this.#isOver) {
        sink.fail(this.#over());
        return undefined;
      }
      const written = this.#ownWrites();
      if (written.has(name)) {
        sink.succeed(written.get(name)?.slice());
        return undefined;
      }
      const subscription = this.#store.entry(wanted).subscribe({
        next: (entry) => {
          if (this.#isOver) return sink.fail(this.#over());
          try {
            this.#noteRead(name, wanted, entry?.sequence ?? 'absent');
          } catch (error) {
            return sink.fail(error);
          }
          sink.succeed(entry?.value);
        },
        error: (error: unknown) => sink.fail(error),
      });
      return () => subscription.unsubscribe();
    });
  }

  /** From now on it takes and reads nothing more. */
  end(): void {
    this.#isOver = true;
  }

  /** Lets go of what was written. */
  discard(): void {
    this.#isOver = true;
    this.#lines = [];
    this.#checks = [];
    this.#bytes = 0;
    this.#written = undefined;
    this.#read = undefined;
  }

  get checks(): readonly CheckOperation[] {
    return this.#checks;
  }

  get lines(): readonly Line[] {
    return this.#lines;
  }

  /** Of keys and values, roughly. */
  get bytes(): number {
    return this.#bytes;
  }

  #push(line: Line): void {
    this.#lines.push(line);
    this.#written?.set(keyText(toBytes(line.key)), line.type === 'set' ? toBytes(line.value) : undefined);
  }

  #reserve(lines: number, bytes: number): void {
    const total = this.#lines.length + this.#checks.length + lines;
    if (total > TRANSACTION_LINES_MAX) {
      throw new OutOfRangeError('lines of the transaction', `at most ${TRANSACTION_LINES_MAX}`, total);
    }
    if (this.#bytes + bytes > VALUE_BYTES_MAX) {
      throw new ValueTooLargeError('batch', this.#bytes + bytes, VALUE_BYTES_MAX);
    }
    this.#bytes += bytes;
  }

  #noteRead(name: string, key: Uint8Array, sequence: PresentSequence): void {
    const read = (this.#read ??= new Map<string, PresentSequence>());
    if (read.has(name)) return;
    this.#reserve(1, key.length);
    read.set(name, sequence);
    this.#checks.push({ type: 'check', key, sequence });
  }

  #ownWrites(): Map<string, Uint8Array | undefined> {
    if (this.#written !== undefined) return this.#written;
    const written = new Map<string, Uint8Array | undefined>();
    for (const line of this.#lines) {
      written.set(keyText(toBytes(line.key)), line.type === 'set' ? toBytes(line.value) : undefined);
    }
    this.#written = written;
    return written;
  }

  #requireOpen(): void {
    if (this.#isOver) throw this.#over();
  }

  #over(): ConsumerError {
    return new ConsumerError(this.#consumer, 'the delivery is over, and its transaction takes and reads nothing more.');
  }
}

const copyOf = (data: Bytes): Bytes => (typeof data === 'string' ? data : Uint8Array.from(data));
