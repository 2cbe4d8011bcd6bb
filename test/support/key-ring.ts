/** A key provider for tests: keys that are added, made current and destroyed. */
import { randomBytes, randomUUID } from 'node:crypto';
import { EncryptionKey, type KeyProvider } from '../../src/index.ts';

export const newKey = (): EncryptionKey => new EncryptionKey(randomUUID(), randomBytes(32));

export class KeyRing implements KeyProvider {
  readonly #keys = new Map<string, EncryptionKey>();
  #current: EncryptionKey;
  /** Ids that were asked for. */
  readonly asked: string[] = [];

  constructor(current: EncryptionKey = newKey(), ...others: readonly EncryptionKey[]) {
    for (const key of [current, ...others]) this.#keys.set(key.id, key);
    this.#current = current;
  }

  current(): EncryptionKey {
    return this.#current;
  }

  byId(id: string): EncryptionKey | undefined {
    this.asked.push(id);
    return this.#keys.get(id);
  }

  /** Makes a new key current. @returns the one before it */
  rotate(next: EncryptionKey = newKey()): EncryptionKey {
    const before = this.#current;
    this.#keys.set(next.id, next);
    this.#current = next;
    return before;
  }

  add(key: EncryptionKey): void {
    this.#keys.set(key.id, key);
  }

  destroy({ id }: EncryptionKey): void {
    this.#keys.delete(id);
  }
}
