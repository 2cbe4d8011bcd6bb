/** A question for tables, and its answer. Used again for each table asked, and for the next question. */
import { bloomHash } from '../codec/bloom.ts';

const NO_BYTES = new Uint8Array(0);

export class Lookup {
  /** The user key is `key[keyStart, keyEnd)`; it must not change while a table is being asked. */
  key: Uint8Array = NO_BYTES;
  keyStart = 0;
  keyEnd = 0;
  /** The key's Bloom hash, computed once for all tables. */
  hash = 0;
  /** Newer entries are not seen. */
  sequence = 0;

  /** `'absent'`: no entry in the tables asked so far. `'deleted'`: the newest one is a tombstone. */
  state: 'absent' | 'deleted' | 'found' = 'absent';
  /** Of the entry, unless absent. */
  foundSequence = 0;
  /** If found, the value is `valueBytes[valueStart, valueEnd)`. These bytes never change. */
  valueBytes: Uint8Array = NO_BYTES;
  valueStart = 0;
  valueEnd = 0;

  /** Asks anew: the newest entry of a user key with a sequence of at most `sequence`. */
  reset(key: Uint8Array, keyStart: number, keyEnd: number, sequence: number): void {
    this.key = key;
    this.keyStart = keyStart;
    this.keyEnd = keyEnd;
    this.hash = bloomHash(key, keyStart, keyEnd);
    this.sequence = sequence;
    this.state = 'absent';
    this.foundSequence = 0;
    this.valueBytes = NO_BYTES;
    this.valueStart = 0;
    this.valueEnd = 0;
  }
}
